"""The broker goes away, comes back, and misbehaves in between: nothing is lost for good, and nobody crashes."""

import logging
import threading
from itertools import count
from typing import Any

import pytest
from pika.adapters.utils.io_services_utils import _AsyncStreamConnector

from tests.harness import happens
from tests.news import PATIENCE, arriving, connected, ids, is_sent, news, rabbit, raw_channel, sender_of
from tests.rabbitmq_server import Broker
from tomqueue.store.sql import SqlStore
from tomqueue.transport.rabbitmq import RabbitTransport
from tomqueue.transport.rabbitmq.consumer import RabbitConsumer
from tomqueue.transport.rabbitmq.publisher import RabbitPublisher


@pytest.fixture
def transport(store: SqlStore, broker: Broker, prefix: str) -> RabbitTransport:
    """Give the transport over a node that may be stopped."""
    return rabbit(store, broker.url, prefix)


def lines(caplog: pytest.LogCaptureFixture, text: str, side: str) -> int:
    """Count lines of the log."""
    return len([record for record in caplog.records if text in record.message and side in record.message])


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_an_idle_broker_is_restarted(
    how: str,
    broker: Broker,
    publisher: RabbitPublisher,
    consumer: RabbitConsumer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Both sides come back by themselves; meanwhile the worker asks the database, and publishing returns at once."""
    publisher.publish([news(1)])
    (before,) = arriving(consumer, 1)
    consumer.ack(before)
    getattr(broker, how)()
    assert happens(lambda: consumer.asks_database)
    publisher.publish([news(2)])
    broker.start()
    connected(consumer)
    assert happens(lambda: 2 in ids(consumer.receive(10)))  # an ack or a confirm may have died with the broker
    for side in ("publisher", "consumer"):
        assert lines(caplog, "is away", side) == 1
        assert happens(lambda side=side: lines(caplog, "is back", side) == 1)  # type: ignore[misc]


def test_a_reset_while_it_connects_is_no_error_of_ours(
    transport: RabbitTransport, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Pika stumbles over one that comes at a certain moment: it is told as the loss that it is."""
    made = _AsyncStreamConnector.__init__
    stumbles = iter([ValueError("Expected connected socket, but getpeername() failed")])

    def stumble(*args: Any, **more: Any) -> None:
        for error in stumbles:
            raise error
        made(*args, **more)

    monkeypatch.setattr(_AsyncStreamConnector, "__init__", stumble)
    consumer = transport.consumer(lambda: ["default"])
    connected(consumer)
    assert [lines(caplog, text, "consumer") for text in ("is away", "is back")] == [1, 1]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    consumer.close()


def test_a_broker_is_restarted_under_load(broker: Broker, publisher: RabbitPublisher, consumer: RabbitConsumer) -> None:
    """What was not confirmed is published again, what was not acked is delivered again: every job is told of."""
    stopping, numbers, seen = threading.Event(), count(1), set[int]()
    last = 0

    def publish() -> None:
        nonlocal last
        while not stopping.wait(0.001):
            last = next(numbers)
            publisher.publish([news(last)])

    def work() -> None:
        for delivery in consumer.receive(100):
            seen.add(delivery.notification.job_id)
            consumer.ack(delivery)
        consumer.wait(0.05)

    thread = threading.Thread(target=publish)
    thread.start()
    while len(seen) < 100:
        work()
    broker.stop()
    broker.start()
    before = len(seen)
    while len(seen) < before + 100:
        work()
    stopping.set()
    thread.join(PATIENCE)
    while len(seen) < last:  # pytest's time-out ends it
        work()
    assert happens(lambda: is_sent(publisher))


def test_a_delivery_held_over_a_restart_cannot_be_requeued(
    broker: Broker, publisher: RabbitPublisher, consumer: RabbitConsumer
) -> None:
    """Its channel is gone, and what waited in the buffers with it."""
    publisher.publish([news(1)])
    publisher.publish([news(2)])
    (held, *_) = arriving(consumer, 1)
    broker.kill()
    assert happens(lambda: consumer.asks_database)
    assert consumer.receive(10) == []
    assert not consumer.requeue(held)
    consumer.ack(held)


def test_without_memory_the_broker_blocks_only_publishers(
    broker: Broker,
    publisher: RabbitPublisher,
    consumer: RabbitConsumer,
    prefix: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Publishing returns at once, acks go on, and when the alarm is over the news arrives."""
    for number in range(1, 11):
        publisher.publish([news(number)])
    held = arriving(consumer, 10)
    broker.ctl("set_vm_memory_high_watermark", "0.000001")
    try:
        publisher.publish([news(number) for number in range(11, 1000)])
        assert happens(lambda: lines(caplog, "takes no news", ""))
        publisher.publish([news(1000)])
        for delivery in held:
            consumer.ack(delivery)
        assert happens(lambda: f"{prefix}.default.normal\t0" in broker.ctl("list_queues", "name", "messages"))
        assert not consumer.asks_database
    finally:
        broker.ctl("set_vm_memory_high_watermark", "0.4")
    found: set[int] = set()
    while len(found) < 990:  # pytest's time-out ends it
        consumer.wait(0.1)
        found.update(ids(consumer.receive(2000)))
    assert found == set(range(11, 1001))
    assert lines(caplog, "takes news again", "") == 1


def test_a_delivery_held_too_long_for_the_broker(
    broker: Broker, transport: RabbitTransport, publisher: RabbitPublisher
) -> None:
    """The broker's consumer_timeout closes the channel: the worker opens another, and the news comes again."""
    broker.ctl("eval", "application:set_env(rabbit, consumer_timeout, 1000).")
    broker.ctl("eval", "application:set_env(rabbit, channel_tick_interval, 500).")
    try:
        consumer = connected(transport.consumer(lambda: ["default"]))
    finally:
        broker.ctl("eval", "application:set_env(rabbit, consumer_timeout, 1800000).")
    publisher.publish([news(1)])
    (held,) = arriving(consumer, 1)
    (again,) = arriving(consumer, 1)
    assert not consumer.requeue(held)
    consumer.ack(again)
    assert happens(lambda: not consumer.asks_database)
    broker.ctl("eval", "application:set_env(rabbit, channel_tick_interval, 60000).")
    consumer.close()


def test_foreign_queues_are_used_as_they_are(
    broker: Broker,
    transport: RabbitTransport,
    publisher: RabbitPublisher,
    prefix: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A queue of another type: each side says once how to cure it, and goes on with what is there."""
    queue = f"{prefix}.default.normal"
    with raw_channel(broker.url) as channel:
        channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
    consumer = connected(transport.consumer(lambda: ["default"]))
    publisher.publish([news(1)])
    assert ids(arriving(consumer, 1)) == [1]
    assert len([record for record in caplog.records if "refuses the queue" in record.message]) == 2
    assert not sender_of(publisher)._link.away
    consumer.close()


def test_a_broker_that_stands_still_is_noticed_by_its_silence(broker: Broker, store: SqlStore, prefix: str) -> None:
    """No heartbeat comes: the worker asks the database until the broker moves again."""
    transport = rabbit(store, f"{broker.url}?heartbeat=1", prefix)
    publisher, consumer = transport.publisher(), connected(transport.consumer(lambda: ["default"]))
    publisher.publish([news(1)])
    assert ids(arriving(consumer, 1)) == [1]
    with broker.frozen():
        assert happens(lambda: consumer.asks_database)
        publisher.publish([news(2)])
    connected(consumer)
    assert happens(lambda: 2 in ids(consumer.receive(10)))
    consumer.close()
    publisher.close()
