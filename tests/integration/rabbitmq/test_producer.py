"""A producer sends messages to an exchange of another program: now, or after the caller's commit."""

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tests.harness import PATIENCE, Reporter, happens, make_app, work
from tests.news import raw_channel
from tests.rabbitmq_server import Broker
from tomqueue import JobContext, TomQueue, configure_sqlite
from tomqueue.enqueue.producer import Producer
from tomqueue.errors import ArgumentsError, EnqueueError, PublishError


class Reader:
    """A queue of another program, bound to everything of an exchange."""

    def __init__(self, channel: Any, exchange: str, kind: str = "topic") -> None:
        self._channel = channel
        channel.exchange_declare(exchange, kind, durable=True)
        self._queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(self._queue, exchange, "#")

    def next(self) -> Any:
        """Return the next message as pika gives it."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            method, properties, body = self._channel.basic_get(self._queue, auto_ack=True)
            if method is not None:
                return method, properties, body
            time.sleep(0.01)
        raise AssertionError("no message came")

    def is_empty(self) -> bool:
        """Say whether nothing is there."""
        return bool(self._channel.basic_get(self._queue, auto_ack=True)[0] is None)


@pytest.fixture
def reader(rabbitmq_url: str, exchange: str) -> Any:
    """Give who reads what is published."""
    with raw_channel(rabbitmq_url) as channel:
        yield Reader(channel, exchange)


def test_what_is_published_is_with_the_broker(tq: TomQueue, exchange: str, reader: Reader) -> None:
    """When the call returns; JSON, persistent, with headers, an id and a time. No database is needed for it."""
    tq.producer(exchange=exchange).publish({"id": 7}, routing_key="order.paid", headers={"by": "shop", "try": 1})
    method, properties, body = reader.next()
    assert (method.routing_key, body) == ("order.paid", b'{"id":7}')
    assert (properties.content_type, properties.delivery_mode) == ("application/json", 2)
    assert properties.headers == {"by": "shop", "try": 1}
    assert len(properties.message_id) == 32
    assert abs(properties.timestamp - time.time()) < 3600
    assert tq._parts._store is None


def test_bytes_are_sent_as_they_are(tq: TomQueue, exchange: str, reader: Reader) -> None:
    """With the content type and the id that the caller says."""
    tq.producer(exchange=exchange).publish(b"\x00\xff", content_type="image/x", message_id="m-1")
    _, properties, body = reader.next()
    assert (body, properties.content_type, properties.message_id) == (b"\x00\xff", "image/x", "m-1")


def test_the_exchange_is_declared_by_whoever_comes_first(tq: TomQueue, exchange: str, rabbitmq_url: str) -> None:
    """Durable and of the type that was said, though nobody reads yet: what is published then is dropped by AMQP."""
    tq.producer(exchange=exchange, type="fanout").publish(1)
    with raw_channel(rabbitmq_url) as channel:
        channel.exchange_declare(exchange, "fanout", durable=True)


def test_an_exchange_that_is_otherwise_is_used_as_it_is(
    tq: TomQueue, exchange: str, rabbitmq_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One error says what to write; the message arrives all the same."""
    with raw_channel(rabbitmq_url) as channel:
        reader = Reader(channel, exchange, "fanout")
        for number in range(3):
            tq.producer(exchange=exchange, type="topic").publish(number)
        assert [reader.next()[2] for _ in range(3)] == [b"0", b"1", b"2"]
    (told,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "declare the consumer or producer with the type that it has" in told.getMessage()


def test_an_exchange_that_was_deleted_is_declared_again(tq: TomQueue, exchange: str, rabbitmq_url: str) -> None:
    """The message that found out is sent again."""
    producer = tq.producer(exchange=exchange)
    producer.publish(1)
    with raw_channel(rabbitmq_url) as channel:
        channel.exchange_delete(exchange)
        producer.publish(2)
        channel.exchange_declare(exchange, passive=True)


def test_a_message_that_no_queue_gets_is_an_error_if_mandatory(tq: TomQueue, exchange: str) -> None:
    """Else AMQP drops it, as ever."""
    producer = tq.producer(exchange=exchange)
    producer.publish(1, routing_key="nobody")
    with pytest.raises(PublishError, match="no queue gets messages"):
        producer.publish(1, routing_key="nobody", mandatory=True)


@pytest.mark.parametrize("headers", [{"share": 0.5}, {"x" * 256: 1}, {"object": object()}, {"number": 2**70}])
def test_what_amqp_cannot_carry_is_refused_at_the_call(tq: TomQueue, exchange: str, headers: dict[str, Any]) -> None:
    """And harms no other message."""
    producer = tq.producer(exchange=exchange)
    with pytest.raises(PublishError, match="AMQP cannot carry"):
        producer.publish(1, headers=headers)
    with pytest.raises(PublishError, match="AMQP cannot carry"):
        producer.publish(1, routing_key="x" * 256)
    with pytest.raises(ArgumentsError, match="cannot be JSON"):
        producer.publish(object())
    producer.publish(1)


def test_without_a_broker_there_is_an_error_at_the_call(tmp_path: Path) -> None:
    """It says which setting is missing; with a session too, before anything is committed."""
    app = make_app(tmp_path / "app.db")
    with pytest.raises(PublishError, match="set broker_url"):
        app.producer(exchange="orders").publish(1)
    with pytest.raises(EnqueueError, match="give one of them"):
        app.producer(exchange="orders").publish(1, session=1, connection=2)
    app.close()


def test_inline_applications_publish_too(tq: TomQueue, exchange: str, reader: Reader) -> None:
    """``delay_jobs = False`` is about jobs."""
    tq.delay_jobs = False
    tq.producer(exchange=exchange).publish(1)
    assert reader.next()[2] == b"1"


# In the caller's transaction ------------------------------------------------------------------------------


@pytest.fixture
def session(tq: TomQueue, tmp_path: Path) -> Any:
    """Give a session of the application's database."""
    tq.tools()  # makes the tables
    engine = create_engine(f"sqlite:///{tmp_path / 'app.db'}")
    configure_sqlite(engine)
    with Session(engine) as opened:
        yield opened
    engine.dispose()


def test_with_a_session_it_is_sent_after_the_commit(
    tq: TomQueue, exchange: str, reader: Reader, session: Session
) -> None:
    """And never when that transaction, or a savepoint in it, rolled back."""
    producer = tq.producer(exchange=exchange)
    session.execute(text("CREATE TABLE orders (id INTEGER)"))
    producer.publish("rolled back", session=session)
    session.rollback()
    with session.begin_nested() as savepoint:
        producer.publish("savepoint", session=session)
        savepoint.rollback()
    producer.publish("committed", session=session)
    assert reader.is_empty()
    session.commit()
    assert reader.next()[2] == b'"committed"'
    assert reader.is_empty()


def test_in_an_atomic_job_it_is_sent_after_the_jobs_commit(tq: TomQueue, exchange: str, reader: Reader) -> None:
    """As jobs that it enqueues: an attempt that failed has sent nothing."""
    producer = tq.producer(exchange=exchange)

    @tq.job(atomic=True, backoff=0)
    def pay(ctx: JobContext) -> None:
        producer.publish(ctx.attempt)
        if ctx.attempt == 1:
            raise ValueError

    pay.enqueue()
    work(tq)
    assert reader.next()[2] == b"2"
    assert reader.is_empty()


def test_asynchronous_code_publishes(tq: TomQueue, exchange: str, reader: Reader, tmp_path: Path) -> None:
    """At once, or after the commit of an AsyncSession."""
    producer = tq.producer(exchange=exchange)

    async def publish() -> None:
        await producer.apublish(1)
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'app.db'}")
        async with AsyncSession(engine) as session:
            await session.execute(text("SELECT 1"))
            await producer.apublish(2, session=session)
            await session.commit()
        await engine.dispose()

    asyncio.run(publish())
    assert [reader.next()[2], reader.next()[2]] == [b"1", b"2"]


# Trouble ------------------------------------------------------------------------------------------------


@pytest.fixture
def app(broker: Broker, tmp_path: Path, prefix: str) -> Any:
    """Give an application on a node that may be stopped."""
    made = make_app(
        tmp_path / "own.db", broker_url=broker.url, prefix=prefix, broker_timeout=3.0, broker_connect_timeout=1.0
    )
    made.exception_reporter = Reporter()
    yield made
    made.close()


def publish_in_transaction(producer: Producer, app: TomQueue, body: int) -> None:
    """Publish in a transaction that commits."""
    engine = create_engine(app.settings.database_url)
    with Session(engine) as session:
        producer.publish(body, session=session)
        session.commit()
    engine.dispose()


def test_a_broker_that_is_away_is_an_error_and_comes_back(app: TomQueue, broker: Broker) -> None:
    """At once for who waits; what was sent after a commit is kept, and sent when it is back."""
    producer = app.producer(exchange="orders")
    producer.publish(1)
    with raw_channel(broker.url) as channel:
        queue = channel.queue_declare("durable", durable=True).method.queue
        channel.queue_bind(queue, "orders", "#")
    broker.stop()
    with pytest.raises(PublishError, match="is not sent"):
        producer.publish(2)
    with pytest.raises(PublishError, match="RabbitMQ is away"):
        producer.publish(3)
    publish_in_transaction(producer, app, 5)
    broker.start()
    with raw_channel(broker.url) as channel:
        until = time.monotonic() + PATIENCE
        bodies: list[bytes] = []
        while b"5" not in bodies and time.monotonic() < until:
            _, _, body = channel.basic_get("durable", auto_ack=True)
            bodies += [] if body is None else [body]
        assert b"5" in bodies
        assert b"3" not in bodies
        channel.queue_delete("durable")
    producer.publish(6)


def test_a_broker_that_does_not_answer_costs_its_time_out(app: TomQueue, broker: Broker) -> None:
    """The caller is told that the message may or may not be there."""
    producer = app.producer(exchange="orders")
    producer.publish(1)
    with broker.frozen():
        with pytest.raises(PublishError, match="may or may not be there"):
            producer.publish(2)


def test_a_broker_in_alarm_takes_nothing(app: TomQueue, broker: Broker) -> None:
    """It says so at the first message that it does not take; from then on the error comes at once."""
    producer = app.producer(exchange="orders")
    producer.publish(1)
    broker.ctl("set_vm_memory_high_watermark", "0.00001")
    try:
        with pytest.raises(PublishError, match="may or may not be there"):
            producer.publish(2)
        with pytest.raises(PublishError, match=r"takes no messages for now|is away"):
            producer.publish(3)
    finally:
        broker.ctl("set_vm_memory_high_watermark", "0.9")


def test_what_was_under_way_after_a_commit_is_sent_again(app: TomQueue, broker: Broker) -> None:
    """A connection that is lost before the confirm says nothing of a message: nobody waits for it, so it goes again."""
    reporter = app.exception_reporter
    assert isinstance(reporter, Reporter)
    producer = app.producer(exchange="orders")
    producer.publish(1)
    with raw_channel(broker.url) as channel:
        queue = channel.queue_declare("durable", durable=True).method.queue
        channel.queue_bind(queue, "orders", "#")
    broker.ctl("set_vm_memory_high_watermark", "0.00001")
    try:
        publish_in_transaction(producer, app, 2)
        assert happens(lambda: any("Blocked" in str(error) for error in reporter.errors))
    finally:
        broker.ctl("set_vm_memory_high_watermark", "0.9")
    with raw_channel(broker.url) as channel:
        assert happens(lambda: channel.basic_get("durable", auto_ack=True)[2] == b"2")
        channel.queue_delete("durable")
    assert not [error for error in reporter.errors if isinstance(error, PublishError)]


def test_what_was_committed_and_cannot_be_sent_is_reported(app: TomQueue, broker: Broker) -> None:
    """The caller has gone on: only the exception reporter can know."""
    reporter = app.exception_reporter
    assert isinstance(reporter, Reporter)
    producer = app.producer(exchange="orders")
    producer.publish(1)
    broker.stop()
    publish_in_transaction(producer, app, 2)
    app.close()
    assert any("the process ended before RabbitMQ had it" in str(error) for error in reporter.errors)
