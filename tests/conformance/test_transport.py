"""Conformance of Transport: what every way to get the news must do, and what those that deliver do beside it."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tomqueue.job import NewJob
from tomqueue.settings import Settings
from tomqueue.store.open import ready_store
from tomqueue.store.sql import SqlStore
from tomqueue.transport.base import Consumer, Delivery, Notification, Publisher, Transport
from tomqueue.transport.memory import MemoryTransport
from tomqueue.transport.polling import PollingTransport

STAMP = datetime(2030, 1, 1, tzinfo=UTC)
PATIENCE = 10.0
FOREVER = 60.0
"""A wait that only news or a wake may end."""


def news(job_id: int, queue: str = "default", priority: int = 1) -> Notification:
    """Return news of a job."""
    return Notification(job_id, queue, priority, STAMP)


def ids(deliveries: list[Delivery]) -> list[int]:
    """Return what deliveries tell of."""
    return [delivery.notification.job_id for delivery in deliveries]


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[SqlStore]:
    """Give a store on SQLite, which says when someone committed."""
    opened = ready_store(Settings(database_url=f"sqlite:///{tmp_path / 'jobs.db'}"))
    yield opened
    opened.close()


@pytest.fixture(params=["memory", "polling"])
def transport(request: pytest.FixtureRequest, rows: SqlStore) -> Transport:
    """Give every transport."""
    return MemoryTransport() if request.param == "memory" else PollingTransport(rows, Settings())


@pytest.fixture
def publisher(transport: Transport) -> Iterator[Publisher]:
    """Give the enqueueing side."""
    made = transport.publisher()
    yield made
    made.close()


@pytest.fixture
def consumer(transport: Transport) -> Iterator[Consumer]:
    """Give the working side of a worker that serves two queues."""
    made = transport.consumer(lambda: ["default", "mailers"])
    yield made
    made.close()


delivering = pytest.mark.parametrize("transport", ["memory"], indirect=True)
asking = pytest.mark.parametrize("transport", ["polling"], indirect=True)


def waits(consumer: Consumer) -> threading.Thread:
    """Wait beside the test; the thread ends when the wait does."""
    thread = threading.Thread(target=consumer.wait, args=(FOREVER,))
    thread.start()
    return thread


def ends(thread: threading.Thread) -> bool:
    """Say whether a wait ends before its time."""
    thread.join(PATIENCE)
    return not thread.is_alive()


# Every transport -----------------------------------------------------------------------------------------


def test_publishing_never_raises_and_never_waits(publisher: Publisher) -> None:
    """Whether anyone listens or not; nothing is news as well."""
    publisher.publish([])
    publisher.publish([news(number) for number in range(1000)])


def test_receiving_does_not_wait(consumer: Consumer) -> None:
    """Without news there is nothing, at once."""
    assert consumer.receive(10) == []


def test_a_wait_ends_with_its_time(consumer: Consumer) -> None:
    """No news is no reason to wait any longer."""
    consumer.wait(0)
    consumer.wait(0.01)


def test_a_wake_ends_a_wait_once(consumer: Consumer) -> None:
    """Of a thread that waits, and of one that is about to."""
    consumer.wait(0.01)
    consumer.wake()
    assert ends(waits(consumer))
    waiting = waits(consumer)
    consumer.wake()
    assert ends(waiting)


def test_closing_ends_a_wait_and_may_be_repeated(consumer: Consumer) -> None:
    """A thread that waits sees the end."""
    waiting = waits(consumer)
    consumer.close()
    assert ends(waiting)
    consumer.close()


# Those that deliver --------------------------------------------------------------------------------------


@delivering
def test_news_is_delivered_most_urgent_first(publisher: Publisher, consumer: Consumer) -> None:
    """Within a priority and queue in the order of its publishing, and never more than asked for."""
    publisher.publish([news(1, priority=3), news(2), news(3, priority=0), news(4), news(5, "mailers", 0)])
    assert not consumer.asks_database
    assert set(ids(consumer.receive(2))) == {3, 5}
    assert ids(consumer.receive(10)) == [2, 4, 1]
    assert consumer.receive(10) == []


@delivering
def test_only_the_queues_that_are_served_are_delivered(publisher: Publisher, consumer: Consumer) -> None:
    """News of another queue waits for a worker that serves it, and wakes nobody."""
    publisher.publish([news(1, "other")])
    assert consumer.receive(10) == []
    waiting = waits(consumer)
    publisher.publish([news(2, "other")])
    publisher.publish([news(3, "mailers")])
    assert ends(waiting)
    assert ids(consumer.receive(10)) == [3]


@delivering
def test_a_delivery_belongs_to_one_worker(transport: Transport, publisher: Publisher, consumer: Consumer) -> None:
    """What one has received, another does not see; acked, nobody does."""
    neighbour = transport.consumer(lambda: ["default"])
    publisher.publish([news(1), news(2)])
    (first,) = consumer.receive(1)
    assert ids(neighbour.receive(10)) == [2]
    consumer.ack(first)
    consumer.close()
    neighbour.close()
    again = transport.consumer(lambda: ["default"])
    assert ids(again.receive(10)) == [2]
    again.close()


@delivering
def test_a_requeued_delivery_is_next(publisher: Publisher, consumer: Consumer) -> None:
    """It goes to the head of its queue, and comes again with another tag; a second requeue is nothing."""
    publisher.publish([news(1), news(2), news(3)])
    first, second = consumer.receive(2)
    consumer.requeue(second)
    consumer.requeue(first)
    consumer.requeue(first)
    again = consumer.receive(10)
    assert ids(again) == [1, 2, 3]
    assert first.tag not in {delivery.tag for delivery in again}


@delivering
def test_an_acked_delivery_is_done_with(publisher: Publisher, consumer: Consumer) -> None:
    """It cannot be requeued, and a second ack is nothing."""
    publisher.publish([news(1)])
    (only,) = consumer.receive(1)
    consumer.ack(only)
    consumer.ack(only)
    consumer.requeue(only)
    assert consumer.receive(1) == []


@delivering
def test_a_closed_worker_gives_back_in_order(transport: Transport, publisher: Publisher, consumer: Consumer) -> None:
    """What was received and not settled is delivered to the next."""
    publisher.publish([news(number) for number in range(5)])
    received = consumer.receive(4)
    consumer.ack(received[1])
    consumer.close()
    again = transport.consumer(lambda: ["default"])
    assert ids(again.receive(10)) == [0, 2, 3, 4]
    again.close()


@delivering
def test_news_ends_a_wait(publisher: Publisher, consumer: Consumer) -> None:
    """Also news that came before it."""
    waiting = waits(consumer)
    publisher.publish([news(1)])
    assert ends(waiting)
    assert ends(waits(consumer))


# Those that have the database asked ----------------------------------------------------------------------


@asking
def test_a_commit_ends_a_wait(rows: SqlStore, consumer: Consumer) -> None:
    """Nothing is delivered: the worker looks for itself, whenever someone has committed."""
    assert consumer.asks_database
    consumer.wait(0.01)
    waiting = waits(consumer)
    rows.insert([NewJob(name="greet", queue="default", priority=1, payload="{}")])
    assert ends(waiting)
    assert consumer.receive(10) == []
