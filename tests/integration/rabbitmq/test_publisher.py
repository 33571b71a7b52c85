"""What becomes of news on its way to the broker."""

import logging
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from tests.harness import happens
from tests.news import (
    PATIENCE,
    arriving,
    connected,
    ids,
    is_sent,
    news,
    publish_singly,
    rabbit,
    raw_channel,
    sender_of,
    waiting_in,
)
from tomqueue.job import NewJob
from tomqueue.store.sql import SqlStore
from tomqueue.transport.base import Notification
from tomqueue.transport.rabbitmq import publication, sender
from tomqueue.transport.rabbitmq.consumer import RabbitConsumer
from tomqueue.transport.rabbitmq.message import MOST_JOBS
from tomqueue.transport.rabbitmq.publisher import RabbitPublisher

NOWHERE = "amqp://guest:guest@127.0.0.1:1/"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait only a moment for a confirm."""
    monkeypatch.setattr(publication, "CONFIRM_SECONDS", 0.1)


def stamped(store: SqlStore, *, age: float = 0) -> Notification:
    """Insert a row that was announced ``age`` seconds ago; return its news."""
    (row,) = store.insert([NewJob(name="greet", queue="default", priority=1, payload="{}")])
    jobs = store.tables.jobs
    stamp = store.now() - timedelta(seconds=age)
    with store.writing() as connection:
        connection.execute(update(jobs).where(jobs.c.id == row.id).values(announced_at=stamp))
    return Notification(row.id, "default", 1, stamp)


def stamp_of(store: SqlStore, job_id: int) -> Any:
    """Return when a row was announced."""
    jobs = store.tables.jobs
    with store.reading() as connection:
        return connection.execute(select(jobs.c.announced_at).where(jobs.c.id == job_id)).scalar_one()


def test_what_came_in_one_call_travels_together(
    publisher: RabbitPublisher, rabbitmq_url: str, rabbitmq_prefix: str
) -> None:
    """At most 64 jobs of one queue, priority and stamp a message; the broker has confirmed each."""
    publisher.publish([news(number) for number in range(1, 131)] + [news(131, priority=2)])
    assert happens(lambda: is_sent(publisher))
    assert waiting_in(rabbitmq_url, f"{rabbitmq_prefix}.default.normal") == 3
    assert waiting_in(rabbitmq_url, f"{rabbitmq_prefix}.default.low") == 1


def test_a_stream_of_calls_becomes_few_messages(
    publisher: RabbitPublisher, rabbitmq_url: str, rabbitmq_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While calls follow each other it looks for news as often as it says, however often the broker confirms."""
    monkeypatch.setattr(sender, "GATHER", 0.1)
    publisher.publish([news(1)])
    assert happens(lambda: is_sent(publisher))
    began = time.monotonic()
    for number in range(2, 302):
        publisher.publish([news(number)])
        time.sleep(0.001)  # the pace of the stream: confirms come in between
    assert happens(lambda: is_sent(publisher))
    seconds = time.monotonic() - began
    looks = seconds / 0.1 + seconds + 3  # with those of every second, and those at the begin and end
    assert waiting_in(rabbitmq_url, f"{rabbitmq_prefix}.default.normal") <= looks + 301 / MOST_JOBS


def test_a_message_says_what_the_contract_says(
    publisher: RabbitPublisher, rabbitmq_url: str, rabbitmq_prefix: str
) -> None:
    """Small JSON, persistent, with the announcing stamp: other programs may read it."""
    publisher.publish([Notification(7, "default", 0, news(7).stamp, "v1:abc")])
    assert happens(lambda: is_sent(publisher))
    with raw_channel(rabbitmq_url) as channel:
        _method, properties, body = channel.basic_get(f"{rabbitmq_prefix}.default.high", auto_ack=True)
    assert body == b'{"job_id":7,"checksum":"v1:abc"}'
    assert (properties.content_type, properties.delivery_mode) == ("application/json", 2)
    assert properties.timestamp == int(news(7).stamp.timestamp())
    assert properties.headers == {"priority": "high", "stamp": news(7).stamp.isoformat()}
    assert properties.message_id


def test_a_queue_that_was_deleted_is_declared_again(
    publisher: RabbitPublisher, rabbitmq_url: str, rabbitmq_prefix: str
) -> None:
    """The broker returns what no queue takes; it is published once more."""
    publisher.publish([news(1)])
    assert happens(lambda: is_sent(publisher))
    with raw_channel(rabbitmq_url) as channel:
        channel.queue_delete(f"{rabbitmq_prefix}.default.normal")
    publisher.publish([news(2)])
    assert happens(lambda: is_sent(publisher))
    assert waiting_in(rabbitmq_url, f"{rabbitmq_prefix}.default.normal") == 1


def test_an_exchange_that_was_deleted_is_declared_again(
    publisher: RabbitPublisher, rabbitmq_url: str, rabbitmq_prefix: str
) -> None:
    """The broker closes the channel; what it had not confirmed is published on the next."""
    publisher.publish([news(1)])
    assert happens(lambda: is_sent(publisher))
    with raw_channel(rabbitmq_url) as channel:
        channel.exchange_delete(f"{rabbitmq_prefix}.work")
    publisher.publish([news(2)])
    assert happens(lambda: is_sent(publisher))
    assert happens(lambda: waiting_in(rabbitmq_url, f"{rabbitmq_prefix}.default.normal") == 2)


@pytest.mark.usefixtures("hasty")
def test_a_queue_that_refuses_has_its_jobs_announced_again(
    store: SqlStore,
    publisher: RabbitPublisher,
    rabbitmq_url: str,
    rabbitmq_prefix: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Somebody's full queue: used as it is, with one line that names the cure; its refusals are found in time."""
    queue = f"{rabbitmq_prefix}.default.normal"
    arguments = {"x-queue-type": "classic", "x-max-length": 1, "x-overflow": "reject-publish"}
    with raw_channel(rabbitmq_url) as channel:
        channel.queue_declare(queue, durable=True, arguments=arguments)
    fits, too_many = stamped(store), stamped(store)
    publisher.publish([fits])
    assert happens(lambda: is_sent(publisher))
    publisher.publish([too_many])
    assert happens(lambda: stamp_of(store, too_many.job_id) is None)
    assert stamp_of(store, fits.job_id) == fits.stamp
    (line,) = [record for record in caplog.records if "refuses the queue" in record.message]
    assert queue in line.message
    assert "delete it at the broker" in line.message


def test_what_was_refused_is_tried_once_more_by_another_channel(
    publisher: RabbitPublisher, rabbitmq_url: str, rabbitmq_prefix: str
) -> None:
    """A channel that was opened while a quorum queue had no leader may be refused for ever; here a queue is full."""
    queue = f"{rabbitmq_prefix}.default.normal"
    arguments = {"x-queue-type": "classic", "x-max-length": 1, "x-overflow": "reject-publish"}
    with raw_channel(rabbitmq_url) as channel:
        channel.queue_declare(queue, durable=True, arguments=arguments)
        publish_singly(publisher, news(1))
        publisher.publish([news(2), news(3, "mailers")])
        sender = sender_of(publisher)
        assert happens(lambda: sender._publication._nacked)
        refused_by = sender._publication._channel
        assert b'"job_id":1,' in channel.basic_get(queue, auto_ack=True)[2]
        assert happens(lambda: is_sent(publisher))
        assert b'"job_id":2,' in channel.basic_get(queue, auto_ack=True)[2]
        assert sender._publication._channel is not refused_by


def test_fresh_news_does_not_wait_for_old(
    store: SqlStore, publisher: RabbitPublisher, consumer: RabbitConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an outage much is old, and the database is asked about it: what was enqueued since is told at once."""
    old = [stamped(store, age=20) for _ in range(50)]
    asked, answering = threading.Event(), threading.Event()
    restamp = store.restamp

    def slow(ids: Sequence[int], stamp: datetime) -> tuple[datetime, list[int]]:
        asked.set()
        answering.wait(PATIENCE)
        return restamp(ids, stamp)

    monkeypatch.setattr(store, "restamp", slow)
    publisher.publish(old)
    assert asked.wait(PATIENCE)
    fresh = stamped(store)
    publisher.publish([fresh])
    assert ids(arriving(consumer, 1)) == [fresh.job_id]
    assert publisher.flush(0)
    answering.set()
    assert sorted(ids(arriving(consumer, 50))) == [one.job_id for one in old]
    assert happens(lambda: publisher.flush(0) == 0)


def test_old_news_of_jobs_that_are_done_is_dropped_in_one_look(
    store: SqlStore, publisher: RabbitPublisher, consumer: RabbitConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers did them while the broker was away: there is nothing to stamp anew."""
    old = [stamped(store, age=20) for _ in range(50)]
    left = old[7]
    with store.writing() as connection:
        connection.execute(delete(store.tables.jobs).where(store.tables.jobs.c.id != left.job_id))
    restamped: list[int] = []
    restamp = store.restamp

    def counting(ids: Sequence[int], stamp: datetime) -> tuple[datetime, list[int]]:
        restamped.extend(ids)
        return restamp(ids, stamp)

    monkeypatch.setattr(store, "restamp", counting)
    publisher.publish(old)
    assert ids(arriving(consumer, 1)) == [left.job_id]
    assert happens(lambda: publisher.flush(0) == 0)
    assert restamped == [left.job_id]


def test_a_late_commit_is_stamped_anew_first(
    store: SqlStore, publisher: RabbitPublisher, consumer: RabbitConsumer
) -> None:
    """More than 15 s after its stamp a row may have been announced by others: only what is still ours is published."""
    late, taken = stamped(store, age=20), stamped(store, age=20)
    jobs = store.tables.jobs
    with store.writing() as connection:
        connection.execute(update(jobs).where(jobs.c.id == taken.job_id).values(announced_at=store.now()))
    publisher.publish([late, taken])
    (delivery,) = arriving(consumer, 1)
    assert delivery.notification.job_id == late.job_id
    assert delivery.notification.stamp == stamp_of(store, late.job_id) > late.stamp
    assert happens(lambda: is_sent(publisher))
    assert consumer.receive(1) == []


def test_without_a_broker_the_oldest_is_dropped_and_nothing_is_unannounced(
    store: SqlStore, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The buffer is bounded; one line says that the broker is away, one that something was dropped."""
    publisher = rabbit(store, NOWHERE, prefix, publish_buffer=10).publisher()
    row = stamped(store)
    publisher.publish([row])
    for number in range(1, 31):
        publisher.publish([news(number)])
    assert happens(lambda: sender_of(publisher)._link.away)
    assert len(sender_of(publisher)._outbox) == 10
    publisher.close()
    assert stamp_of(store, row.job_id) == row.stamp
    assert len([record for record in caplog.records if "is away" in record.message]) == 1
    assert len([record for record in caplog.records if "was dropped" in record.message]) == 1


@pytest.mark.parametrize(
    ("url", "reason"), [(NOWHERE, "ConnectionRefusedError: "), ("amqp://nobody.invalid/", "gaierror: ")]
)
def test_why_the_broker_is_away_is_told_once(
    store: SqlStore, prefix: str, caplog: pytest.LogCaptureFixture, url: str, reason: str
) -> None:
    """With the reason behind pika's own errors, and without pika's own lines."""
    publisher = rabbit(store, url, prefix).publisher()
    publisher.publish([stamped(store)])
    assert happens(lambda: sender_of(publisher)._link._failures > 1)
    publisher.close()
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert reason in record.message


def test_a_queue_whose_name_no_broker_can_have_harms_nobody(
    publisher: RabbitPublisher, consumer: RabbitConsumer, caplog: pytest.LogCaptureFixture
) -> None:
    """Plain SQL may write any name into a row."""
    publisher.publish([news(1, "#"), news(2, "x" * 300), news(3)])
    assert ids(arriving(consumer, 1)) == [3]
    assert "can have no queue of that name" in caplog.text


def test_after_its_end_a_publisher_drops_news(store: SqlStore, rabbitmq_url: str, rabbitmq_prefix: str) -> None:
    """It never raises; the database knows of the job."""
    publisher = rabbit(store, rabbitmq_url, rabbitmq_prefix).publisher()
    publisher.close()
    publisher.publish([news(1)])
    publisher.close()


def test_two_prefixes_share_a_broker(store: SqlStore, rabbitmq_url: str, rabbitmq_prefix: str, prefix: str) -> None:
    """What one system publishes, the other never sees."""
    ours, theirs = rabbit(store, rabbitmq_url, rabbitmq_prefix), rabbit(store, rabbitmq_url, prefix)
    publisher, neighbour = ours.publisher(), theirs.publisher()
    consumer = connected(ours.consumer(lambda: ["default"]))
    neighbour.publish([news(1)])
    publisher.publish([news(2)])
    assert happens(lambda: is_sent(neighbour) and is_sent(publisher))
    assert ids(arriving(consumer, 1)) == [2]
    assert consumer.receive(1) == []
    for side in (publisher, neighbour, consumer):
        side.close()
