"""A worker that handles messages of other programs beside its jobs, over the real broker."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pika.exceptions import ChannelClosedByBroker

from tests.harness import PATIENCE, Reporter, happens, make_app, record_events, work, working
from tests.news import all_are_here, raw_channel, waiting_in
from tomqueue import Discard, JobTimeout, Message, Priority, Retry, Snooze, TomQueue
from tomqueue.transport.topology import Topology
from tomqueue.worker.attempt import Attempt


class Orders:
    """Another program's exchange, and what is to be seen at the broker."""

    def __init__(self, url: str, prefix: str, exchange: str) -> None:
        self.exchange = exchange
        self._url = url
        self._prefix = prefix

    def publish(self, *bodies: str, routing_key: str = "order.paid") -> None:
        """Publish as the other program does."""
        with raw_channel(self._url) as channel:
            for body in bodies:
                channel.basic_publish(self.exchange, routing_key, body.encode())

    def bind(self, name: str = "mine", key: str = "#") -> str:
        """Declare the queue of a consumer as an earlier worker did, so that messages wait there."""
        with raw_channel(self._url) as channel:
            channel.exchange_declare(self.exchange, "topic", durable=True)
            channel.queue_declare(self.queue(name), durable=True, arguments={"x-queue-type": "classic"})
            channel.queue_bind(self.queue(name), self.exchange, key)
        return self.queue(name)

    def queue(self, name: str = "mine") -> str:
        """Return the name of a consumer's queue."""
        return Topology(self._prefix).consumer_queue(name)

    def delete(self) -> None:
        """Delete the queue."""
        with raw_channel(self._url) as channel:
            channel.queue_delete(self.queue())

    def waiting(self, name: str = "mine") -> int:
        """Return how many messages are ready in a consumer's queue."""
        return waiting_in(self._url, self.queue(name))

    def consumers(self, name: str = "mine") -> int:
        """Return how many consume a consumer's queue."""
        with raw_channel(self._url) as channel:
            return int(channel.queue_declare(self.queue(name), passive=True).method.consumer_count)

    def is_declared(self) -> bool:
        """Say whether the queue is there."""
        try:
            self.waiting()
        except ChannelClosedByBroker:
            return False
        return True


@pytest.fixture
def orders(rabbitmq_url: str, rabbitmq_prefix: str, exchange: str) -> Orders:
    """Give another program's exchange."""
    return Orders(rabbitmq_url, rabbitmq_prefix, exchange)


def bodies(messages: list[Message]) -> list[str]:
    """Return what messages say."""
    return [message.body.decode() for message in messages]


def test_a_handler_gets_the_message_and_may_enqueue_jobs(tq: TomQueue, orders: Orders) -> None:
    """Body, headers and what stands beside them; when it has returned, the message is gone."""
    charged: list[int] = []
    messages: list[Message] = []
    seen = record_events(tq)

    @tq.job(name="job")
    def charge(order: int) -> None:
        charged.append(order)

    @tq.consumer(name="mine", exchange=orders.exchange, routing_key="order.*")
    def on_order(message: Message) -> None:
        messages.append(message)
        charge.enqueue(message.json()["id"])

    orders.bind(key="order.*")
    producer = tq.producer(exchange=orders.exchange)
    producer.publish({"id": 1}, routing_key="refund.paid")
    producer.publish({"id": 7}, routing_key="order.paid", headers={"by": "shop"}, message_id="m-1", mandatory=True)
    with working(tq.tools()):
        assert happens(lambda: charged == [7])
        assert happens(lambda: "message.handled" in seen)
    (message,) = messages
    assert (message.routing_key, message.exchange, message.message_id) == ("order.paid", orders.exchange, "m-1")
    assert (message.headers, message.content_type, message.redelivered) == ({"by": "shop"}, "application/json", False)
    assert message.timestamp is not None
    assert message.timestamp.tzinfo is not None
    assert orders.waiting() == 0


def test_the_queue_is_declared_by_the_worker(tq: TomQueue, orders: Orders) -> None:
    """Exchange, queue and bindings come with its first start; the named queue need not have had a job."""
    handled: list[Message] = []
    tq.consumer(name="mine", exchange=orders.exchange, routing_key=["a", "b"], queue="never-used")(handled.append)
    with working(tq.tools()):
        assert happens(orders.is_declared)
        assert happens(lambda: published(orders, "a", "1", handled))
        assert happens(lambda: published(orders, "b", "2", handled[-1:] if bodies(handled)[-1] == "2" else []))
        orders.publish("3", routing_key="c")
        orders.publish("4", routing_key="a")
        assert happens(lambda: "4" in bodies(handled))
    assert set(bodies(handled)) == {"1", "2", "4"}


def published(orders: Orders, key: str, body: str, handled: list[Message]) -> bool:
    """Publish, and say whether something was handled: the bindings come a moment after the queue."""
    orders.publish(body, routing_key=key)
    return bool(handled)


def test_asynchronous_handlers_run_in_the_workers_loop(tq: TomQueue, orders: Orders) -> None:
    """As asynchronous jobs do."""
    handled: list[bytes] = []

    @tq.consumer(name="mine", exchange=orders.exchange)
    async def handle(message: Message) -> None:
        await asyncio.sleep(0)
        handled.append(message.body)

    orders.bind()
    orders.publish("1")
    with working(tq.tools()):
        assert happens(lambda: handled == [b"1"])


def test_the_more_urgent_goes_first_whatever_it_is(
    tq: TomQueue, orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages and jobs by their priorities, once they have arrived; of the same one they take turns."""
    monkeypatch.setattr("tomqueue.worker.housekeeper.HOARD", 3600.0)
    order: list[str] = []
    begun, go = threading.Event(), threading.Event()

    @tq.job(name="job")
    def job(name: str) -> None:
        order.append(name)

    @tq.job(name="gate")
    def gate() -> None:
        begun.set()
        go.wait(PATIENCE)

    names = ("mine", "other", "third")
    priorities = (Priority.LOW, Priority.HIGH, Priority.NORMAL)
    for name, priority in zip(names, priorities, strict=True):
        tq.consumer(name=name, exchange=orders.exchange, priority=priority)(appending(order, f"message {priority}"))
        orders.bind(name)
    gate.enqueue()
    with working(tq.tools()) as worker:
        assert begun.wait(PATIENCE)
        orders.publish("")
        for priority in priorities:
            job.using(priority=priority).enqueue(f"job {priority}")
        assert happens(lambda: [orders.waiting(name) for name in names] == [0, 0, 0])
        all_are_here(worker._consumer, 3)
        go.set()
        assert happens(lambda: len(order) == 6)
    assert order == [f"{kind} {rank}" for rank in ("high", "normal", "low") for kind in ("message", "job")]


def appending(order: list[str], text: str) -> Callable[[Message], None]:
    """Return a handler that writes down that it was called."""
    return lambda message: order.append(text)


def test_a_paused_queue_pauses_its_consumers(tq: TomQueue, orders: Orders) -> None:
    """Its messages wait at the broker; jobs and consumers of other queues go on."""
    handled: list[Message] = []
    tq.consumer(name="mine", exchange=orders.exchange, queue="mailers")(handled.append)
    tq.consumer(name="other", exchange=orders.exchange, queue="reports")(handled.append)
    orders.bind("mine")
    orders.bind("other")
    catalog = tq.tools().catalog
    with working(tq.tools()):
        orders.publish("1")
        assert happens(lambda: bodies(handled) == ["1", "1"])
        catalog.queues.pause("mailers")
        assert happens(lambda: orders.consumers() == 0)
        orders.publish("2")
        assert happens(lambda: bodies(handled) == ["1", "1", "2"])
        assert orders.waiting() == 1
        assert orders.waiting("other") == 0
        catalog.queues.resume("mailers")
        assert happens(lambda: bodies(handled) == ["1", "1", "2", "2"])


def test_only_workers_of_its_queue_consume(tq: TomQueue, orders: Orders) -> None:
    """A worker of other queues does not even connect; one that works off jobs and ends leaves messages alone."""
    handled: list[Message] = []
    tq.consumer(name="mine", exchange=orders.exchange, queue="mailers")(handled.append)
    orders.bind()
    orders.publish("1")
    work(tq)
    with working(tq.tools(), queues=("other",)) as worker:
        assert worker._messages._mailbox is None
    assert orders.waiting() == 1
    with working(tq.tools(), queues=("mailers", "other")):
        assert happens(lambda: bodies(handled) == ["1"])


# How it ends ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [ValueError("a secret"), SystemExit(1), Retry(delay=0.05), Snooze(0.05), Retry(delay="soon")],  # type: ignore[arg-type]
)
def test_a_message_whose_handler_fails_comes_again(
    tq: TomQueue, orders: Orders, caplog: Any, error: BaseException
) -> None:
    """After a pause, and redelivered; an error is reported, a verdict is not. The slot goes on meanwhile."""
    reporter = tq.exception_reporter = Reporter()
    handled: list[Message] = []
    seen = record_events(tq)

    @tq.consumer(name="mine", exchange=orders.exchange)
    def handle(message: Message) -> None:
        handled.append(message)
        if message.body == b"bad" and not message.redelivered:
            raise error

    orders.bind()
    orders.publish("bad", "good")
    with working(tq.tools()), caplog.at_level(logging.INFO, "tomqueue"):
        assert happens(lambda: seen.count("message.handled") == 2)
    assert bodies(handled) == ["bad", "good", "bad"]
    assert [message.redelivered for message in handled] == [False, False, True]
    assert seen.count("message.failed") == 1
    assert "again in" in caplog.text
    if not isinstance(error, Retry | Snooze):
        assert reporter.errors == [error]
    elif error.delay != "soon":
        assert reporter.errors == []


def test_a_message_may_be_discarded(tq: TomQueue, orders: Orders) -> None:
    """By a verdict or by an error that was declared: it is dropped, counted and told."""
    reporter = tq.exception_reporter = Reporter()
    told: list[tuple[str, type[BaseException]]] = []
    tq.on("message.discarded", lambda consumer, error, message: told.append((consumer, type(error))))

    @tq.consumer(name="mine", exchange=orders.exchange, discard_on=(KeyError,))
    def handle(message: Message) -> None:
        raise KeyError(7) if message.body == b"1" else Discard("not ours")

    orders.bind()
    orders.publish("1", "2")
    with working(tq.tools()):
        assert happens(lambda: told == [("mine", KeyError), ("mine", Discard)])
    assert orders.waiting() == 0
    assert [type(error) for error in reporter.errors] == [KeyError]


def test_a_handler_is_ended_at_its_max_run_time(tq: TomQueue, orders: Orders) -> None:
    """As a job is; the message comes again."""
    reporter = tq.exception_reporter = Reporter()
    handled: list[bool] = []

    @tq.consumer(name="mine", exchange=orders.exchange, max_run_time=0.3)
    def handle(message: Message) -> None:
        handled.append(message.redelivered)
        while not message.redelivered:
            time.sleep(0.01)

    orders.bind()
    orders.publish("1")
    with working(tq.tools()):
        assert happens(lambda: handled == [False, True])
    (error,) = reporter.errors
    assert isinstance(error, JobTimeout)
    assert "max_run_time of 0.3 s" in str(error)


def test_failures_in_a_row_pause_longer(tq: TomQueue, orders: Orders, caplog: Any) -> None:
    """1, 2, 4 … seconds, so that many messages of a handler that cannot work make no hot loop."""

    @tq.consumer(name="mine", exchange=orders.exchange)
    def handle(message: Message) -> None:
        raise ValueError

    orders.bind()
    orders.publish("1", "2", "3")
    with working(tq.tools()), caplog.at_level(logging.INFO, "tomqueue"):
        assert happens(lambda: "again in 4 s" in caplog.text)
    assert "again in 1 s" in caplog.text
    assert "again in 2 s" in caplog.text


# Slots, drains and layers --------------------------------------------------------------------------------


def test_what_no_slot_is_free_for_is_given_back(tq: TomQueue, orders: Orders) -> None:
    """A worker that is busy holds nothing: another could handle it. It consumes again once it has a slot."""
    begun, go = threading.Event(), threading.Event()
    handled: list[Message] = []

    @tq.consumer(name="mine", exchange=orders.exchange)
    def handle(message: Message) -> None:
        handled.append(message)
        begun.set()
        go.wait(PATIENCE)

    tq.consumer(name="other", exchange=orders.exchange, routing_key="other")(handled.append)
    orders.bind("mine")
    orders.bind("other", "other")
    with working(tq.tools()):
        orders.publish("1", routing_key="mine")
        assert begun.wait(PATIENCE)
        orders.publish("2", routing_key="other")  # goes to both queues
        assert happens(lambda: orders.waiting("other") == 1 and orders.consumers() == 0)
        go.set()
        assert happens(lambda: sorted(bodies(handled)) == ["1", "2", "2"])


def test_a_drain_gives_back_at_once(tq: TomQueue, orders: Orders) -> None:
    """What was held after a failure, and what waits; a handler that runs is let to its end, and its message acked."""
    begun, go = threading.Event(), threading.Event()

    @tq.consumer(name="mine", exchange=orders.exchange)
    def handle(message: Message) -> None:
        if message.body == b"bad":
            raise Retry(delay=3600)
        begun.set()
        go.wait(PATIENCE)

    orders.bind()
    orders.publish("bad", "slow", "waits")
    with working(tq.tools()) as worker:
        assert begun.wait(PATIENCE)
        worker.stop()
        assert happens(lambda: orders.waiting() == 2)
        go.set()
    assert orders.waiting() == 2


def test_layers_see_the_message(tq: TomQueue, orders: Orders) -> None:
    """It goes through the same stack; what is a job's alone says that there is none."""
    seen: list[Any] = []

    def look(attempt: Attempt, proceed: Callable[[Attempt], bool]) -> bool:
        seen.append(attempt.message and attempt.message.body)
        if attempt.message is not None:
            with pytest.raises(AttributeError, match="look at attempt"):
                attempt.job  # noqa: B018 - reading it is the test
        return proceed(attempt)

    tq.worker_layers.insert(look, after="Claim")
    handled: list[Message] = []
    tq.consumer(name="mine", exchange=orders.exchange)(handled.append)

    @tq.job(name="job")
    def job() -> None: ...

    orders.bind()
    job.enqueue()
    orders.publish("1")
    with working(tq.tools()):
        assert happens(lambda: sorted(map(str, seen)) == ["None", "b'1'"])
        assert happens(lambda: handled)


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_layer_that_does_not_proceed_decides_only_inside_of_claim(tq: TomQueue, orders: Orders, place: str) -> None:
    """Outside, nothing is lost: the message comes again, as a job that did not reach Claim does. Inside, it is done."""
    skipped: list[int] = []
    seen = record_events(tq)

    def skip(attempt: Attempt, proceed: Callable[[Attempt], bool]) -> bool:
        skipped.append(1)
        return True if len(skipped) == 1 else proceed(attempt)

    if place == "before":
        tq.worker_layers.insert(skip, before="Claim")
    else:
        tq.worker_layers.insert(skip, after="Claim")
    handled: list[Message] = []
    tq.consumer(name="mine", exchange=orders.exchange)(handled.append)
    orders.bind()
    orders.publish("1")
    with working(tq.tools()):
        assert happens(lambda: "message.handled" in seen)
    assert len(handled) == (place == "before")
    assert orders.waiting() == 0


def test_many_slots_handle_many_messages(tq: TomQueue, orders: Orders) -> None:
    """At a time as many as there are slots, and each just once."""
    handled: list[Message] = []
    together = threading.Barrier(3)

    @tq.consumer(name="mine", exchange=orders.exchange)
    def handle(message: Message) -> None:
        if message.body == b"meet":
            together.wait(PATIENCE)
        handled.append(message)

    orders.bind()
    orders.publish("meet", "meet", "meet", *map(str, range(200)))
    with working(tq.tools(), threads=3):
        assert happens(lambda: len(handled) == 203)
    assert sorted(bodies(handled)) == sorted(["meet"] * 3 + list(map(str, range(200))))
    assert orders.waiting() == 0


def test_a_queue_that_is_deleted_is_made_again(tq: TomQueue, orders: Orders) -> None:
    """The broker cancels the consumer; within a moment it is back."""
    handled: list[Message] = []
    tq.consumer(name="mine", exchange=orders.exchange)(handled.append)
    orders.bind()
    with working(tq.tools()):
        assert happens(lambda: orders.consumers() == 1)
        orders.delete()
        assert happens(lambda: published(orders, "a", "1", handled))


def test_without_a_broker_a_worker_says_that_nothing_comes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line, with the setting that is missing; jobs run as ever."""
    app = make_app(tmp_path / "app.db")
    app.consumer(name="mine", exchange="orders")(lambda message: None)
    with working(app.tools()):
        assert happens(lambda: "no messages come to mine: there is no broker, set broker_url" in caplog.text)
    app.close()
