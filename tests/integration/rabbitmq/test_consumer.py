"""What a worker sees of the broker, and what others do to its queues."""

import pickle

import pytest

from tests.harness import happens
from tests.news import (
    STAMP,
    all_are_here,
    arriving,
    connected,
    ids,
    is_sent,
    news,
    publish_singly,
    put_raw,
    raw_channel,
    waiting_in,
)  # fmt: skip
from tomqueue.transport.rabbitmq import RabbitTransport
from tomqueue.transport.rabbitmq.consumer import RabbitConsumer
from tomqueue.transport.rabbitmq.publisher import RabbitPublisher

NO_NEWS = [
    b"",
    b"{",
    pickle.dumps({"job_id": 1}),
    b"[" * 5000,
    b'{"job_id": 1, "checksum": "' + b"x" * 70_000 + b'"}',
    {"job_id": 0},
    {"job_id": 2**63},
    {"job_id": "1"},
    {"job_id": True},
    {"jobs": []},
    {"jobs": [[1]]},
    {"jobs": [[1, "v1:a"]] * 65},
    {"job_id": 1, "jobs": [[1, "v1:a"]]},
    [1],
]


def test_bad_messages_are_acked_counted_and_logged_once(
    consumer: RabbitConsumer, rabbitmq_url: str, rabbitmq_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Bodies are data: what is no news of ours harms nobody, and does not come again."""
    queue = f"{rabbitmq_prefix}.default.normal"
    for body in NO_NEWS:
        put_raw(rabbitmq_url, queue, body)
    put_raw(rabbitmq_url, queue, {"job_id": 1}, headers={})
    put_raw(rabbitmq_url, queue, {"job_id": 1}, headers={"stamp": "yesterday"})
    put_raw(rabbitmq_url, queue, {"job_id": 1}, headers={"stamp": 7})
    put_raw(rabbitmq_url, queue, {"job_id": 9, "new": "field"})
    (good,) = arriving(consumer, 1)
    assert good.notification.job_id == 9
    assert consumer.bad_messages == len(NO_NEWS) + 3
    assert len([record for record in caplog.records if "is no news" in record.message]) == 1
    consumer.ack(good)
    consumer.close()
    assert waiting_in(rabbitmq_url, queue) == 0


def test_a_message_about_many_is_settled_with_its_last(
    transport: RabbitTransport, publisher: RabbitPublisher, consumer: RabbitConsumer
) -> None:
    """Requeued when one of its jobs was: the others' rows are gone by then."""
    publisher.publish([news(1), news(2), news(3)])
    one, two, three = arriving(consumer, 3)
    consumer.ack(one)
    consumer.requeue(two)
    assert consumer.receive(1) == []
    consumer.ack(three)
    for delivery in arriving(consumer, 3):
        consumer.ack(delivery)
    consumer.close()
    again = connected(transport.consumer(lambda: ["default"]))
    assert again.receive(1) == []
    again.close()


def test_a_deleted_queue_is_declared_and_consumed_again(
    publisher: RabbitPublisher, consumer: RabbitConsumer, rabbitmq_url: str, rabbitmq_prefix: str
) -> None:
    """A worker whose consumer the broker ended would be deaf; until it hears again it asks the database."""
    with raw_channel(rabbitmq_url) as channel:
        channel.queue_delete(f"{rabbitmq_prefix}.default.normal")
    assert happens(lambda: consumer.asks_database)
    connected(consumer)
    publisher.publish([news(1)])
    assert ids(arriving(consumer, 1)) == [1]


def test_queues_come_and_go(transport: RabbitTransport, publisher: RabbitPublisher) -> None:
    """A new queue is served without a restart; what was fetched of a paused one goes to others."""
    served = ["default", "mailers"]
    consumer = connected(transport.consumer(lambda: list(served)))
    publish_singly(publisher, news(1, "mailers"), news(2, "mailers"), news(3))
    all_are_here(consumer, 3)
    served[:] = ["default", "other"]
    neighbour = connected(transport.consumer(lambda: ["mailers"]))
    assert sorted(ids(arriving(neighbour, 2))) == [1, 2]
    publisher.publish([news(4, "other")])
    assert sorted(ids(arriving(consumer, 2))) == [3, 4]
    consumer.close()
    neighbour.close()


def test_a_worker_fetches_only_so_much_ahead(transport: RabbitTransport, publisher: RabbitPublisher) -> None:
    """Of each queue and priority ``prefetch``: others get the rest."""
    transport._settings = transport._settings.__class__(
        broker_url=transport._settings.broker_url, prefix=transport._settings.prefix, prefetch=3
    )
    greedy = connected(transport.consumer(lambda: ["default"]))
    publish_singly(publisher, *(news(number) for number in range(1, 6)))
    assert happens(lambda: is_sent(publisher))
    all_are_here(greedy, 3)
    neighbour = connected(transport.consumer(lambda: ["default"]))
    assert ids(arriving(neighbour, 2)) == [4, 5]
    assert ids(greedy.receive(10)) == [1, 2, 3]
    greedy.close()
    neighbour.close()


def test_queues_take_turns_within_a_priority(consumer: RabbitConsumer, publisher: RabbitPublisher) -> None:
    """A long queue does not starve a short one."""
    publish_singly(publisher, *(news(number) for number in range(1, 5)), news(5, "mailers"), news(6, "mailers"))
    all_are_here(consumer, 6)
    received = consumer.receive(4)
    assert {delivery.notification.queue for delivery in received[:2]} == {"default", "mailers"}
    assert {delivery.notification.queue for delivery in received[2:]} == {"default", "mailers"}


def test_a_delivery_of_a_closed_channel_cannot_be_requeued(
    consumer: RabbitConsumer, publisher: RabbitPublisher
) -> None:
    """The broker gave it to somebody else, who found its row claimed: the row must be announced again."""
    publisher.publish([news(1)])
    (delivery,) = arriving(consumer, 1)
    consumer.suspend()
    assert not consumer.requeue(delivery)
    consumer.ack(delivery)
    (again,) = arriving(consumer, 1)
    assert consumer.requeue(again)


def test_a_goodbye_is_proof_that_what_was_requeued_is_back(consumer: RabbitConsumer) -> None:
    """The broker answers on the same channel, after everything that was said before."""
    assert not consumer.closed_cleanly
    consumer.close()
    assert consumer.closed_cleanly


def test_news_carries_the_stamp_to_the_microsecond(consumer: RabbitConsumer, publisher: RabbitPublisher) -> None:
    """Rows are found by it."""
    stamp = STAMP.replace(microsecond=123456)
    publisher.publish([news(1, stamp=stamp)])
    (delivery,) = arriving(consumer, 1)
    assert delivery.notification.stamp == stamp


def test_a_channel_that_is_opened_again_begins_with_the_most_urgent(
    transport: RabbitTransport, publisher: RabbitPublisher
) -> None:
    """Whichever queue delivers first; and two queues of one priority take turns from channel to channel."""
    consumer = connected(transport.consumer(lambda: ["default", "mailers"]))
    publish_singly(publisher, *(news(number) for number in range(1, 11)), news(11, "mailers"), news(12, "mailers"))
    publish_singly(publisher, news(13, "mailers", priority=0), news(14, "mailers", priority=0))
    assert happens(lambda: is_sent(publisher))
    started = []
    for _ in range(6):
        consumer.suspend()
        (first,) = arriving(consumer, 1)
        consumer.ack(first)
        assert isinstance(consumer, RabbitConsumer)
        assert happens(lambda: not consumer._hand._acked and not consumer._flushing)
        started.append(first.notification)
    assert [news.job_id for news in started[:2]] == [13, 14]
    assert {news.queue for news in started[2:4]} == {news.queue for news in started[4:6]} == {"default", "mailers"}
    consumer.close()
