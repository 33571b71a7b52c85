"""Consumers of foreign exchanges on a broker that is restarted, declared otherwise, or has policies."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import PATIENCE, happens, make_app, record_events, working
from tests.news import raw_channel, waiting_in
from tests.rabbitmq_server import Broker
from tomqueue import Discard, Message, TomQueue
from tomqueue.transport.topology import Topology


@pytest.fixture(params=["classic", "quorum"])
def queue_type(request: pytest.FixtureRequest) -> str:
    """Give both kinds of queues."""
    return str(request.param)


@pytest.fixture
def app(broker: Broker, prefix: str, tmp_path: Path, queue_type: str) -> Iterator[TomQueue]:
    """Give an application on a node of our own."""
    made = make_app(tmp_path / "app.db", broker_url=broker.url, prefix=prefix, queue_type=queue_type)
    yield made
    made.close()


def exchange_of(app: TomQueue) -> str:
    """Return the name of another program's exchange."""
    return f"{app.settings.prefix}.orders"


def wait_for_consumer(app: TomQueue, broker: Broker) -> str:
    """Wait until the worker consumes; return the name of its queue."""
    queue = Topology(app.settings.prefix).consumer_queue("mine")

    def consumes() -> bool:
        listed = broker.ctl("list_queues", "name", "consumers", "--no-table-headers")
        return f"{queue}\t1" in listed.splitlines()

    assert happens(consumes)
    return queue


def test_a_restart_redelivers_what_was_not_acked(app: TomQueue, broker: Broker) -> None:
    """A handler that runs meanwhile is let to its end; its message comes once more, and the others as ever."""
    begun, go = threading.Event(), threading.Event()
    handled: list[str] = []

    @app.consumer(name="mine", exchange=exchange_of(app))
    def handle(message: Message) -> None:
        if message.body == b'"slow"' and not message.redelivered:
            begun.set()
            go.wait(PATIENCE)
        handled.append(message.json())

    producer = app.producer(exchange=exchange_of(app))
    with working(app.tools()):
        wait_for_consumer(app, broker)
        producer.publish("slow")
        assert begun.wait(PATIENCE)
        producer.publish("waits")
        broker.stop()
        go.set()
        assert happens(lambda: handled == ["slow"])
        broker.start()
        assert happens(lambda: sorted(handled) == ["slow", "slow", "waits"])
        wait_for_consumer(app, broker)


def test_what_failed_comes_first(app: TomQueue, broker: Broker) -> None:
    """It goes back to the head of its queue, and a policy may dead-letter what is discarded."""
    handled: list[str] = []
    seen = record_events(app)
    begun, go = threading.Event(), threading.Event()

    @app.consumer(name="mine", exchange=exchange_of(app))
    def handle(message: Message) -> None:
        handled.append(message.json())
        if message.json() == "bad":
            if message.redelivered:
                raise Discard("twice bad")
            raise ValueError
        if message.json() == "gate":
            begun.set()
            go.wait(PATIENCE)

    queue = Topology(app.settings.prefix).consumer_queue("mine")
    pattern, dead = f"^{queue}$", f"{app.settings.prefix}.dead"
    broker.ctl("set_policy", dead, pattern, f'{{"dead-letter-exchange":"{dead}"}}')
    with raw_channel(broker.url) as channel:
        channel.exchange_declare(dead, "fanout")
        channel.queue_declare(dead)
        channel.queue_bind(dead, dead)
    producer = app.producer(exchange=exchange_of(app))
    with working(app.tools()):
        wait_for_consumer(app, broker)
        for body in ("bad", "gate"):
            producer.publish(body)
        assert begun.wait(PATIENCE)
        producer.publish("later")
        assert happens(lambda: waiting_in(broker.url, queue) == 2)  # the bad one is back, before the later one
        go.set()
        assert happens(lambda: seen.count("message.handled") == 2)
        assert happens(lambda: waiting_in(broker.url, dead) == 1)
    assert handled == ["bad", "gate", "bad", "later"]
    broker.ctl("clear_policy", dead)


@pytest.mark.parametrize("queue_type", ["classic"], indirect=True)
def test_what_exists_otherwise_is_used_as_it_is(
    app: TomQueue, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """The exchange of another type, the queue of another: one error each says what to do, and messages come."""
    queue = Topology(app.settings.prefix).consumer_queue("mine")
    with raw_channel(broker.url) as channel:
        channel.exchange_declare(exchange_of(app), "fanout", durable=True)
        channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_bind(queue, exchange_of(app))
        channel.basic_publish(exchange_of(app), "any", b"1")
    handled: list[Message] = []
    app.consumer(name="mine", exchange=exchange_of(app))(handled.append)
    with working(app.tools()):
        assert happens(lambda: handled)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert ["exchange" in text for text in told] == [True, False]
    assert "declare the consumer or producer with the type that it has" in told[0]
    assert "empty it before you delete it" in told[1]
