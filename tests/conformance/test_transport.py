"""Conformance of Transport: what every way to get the news must do, and what those that deliver do beside it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import happens
from tests.news import PATIENCE, STAMP, all_are_here, arriving, connected, ids, news, publish_singly, rabbit
from tomqueue.job import NewJob
from tomqueue.service import boot_time
from tomqueue.settings import Settings
from tomqueue.store.open import ready_store
from tomqueue.store.sql import SqlStore
from tomqueue.transport.base import Consumer, Delivery, Notification, Publisher, Transport
from tomqueue.transport.memory import MemoryTransport
from tomqueue.transport.polling import PollingTransport

FOREVER = 60.0
"""A wait that only news or a wake may end."""


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[SqlStore]:
    """Give a store on SQLite, which says when someone committed."""
    opened = ready_store(Settings(database_url=f"sqlite:///{tmp_path / 'jobs.db'}"))
    yield opened
    opened.close()


@pytest.fixture(params=["memory", "polling", "classic", "quorum"])
def transport(request: pytest.FixtureRequest, rows: SqlStore) -> Transport:
    """Give every transport; RabbitMQ's on both kinds of queues."""
    if request.param == "memory":
        return MemoryTransport()
    if request.param == "polling":
        return PollingTransport(rows, Settings())
    url, prefix = request.getfixturevalue("rabbitmq_url"), request.getfixturevalue("rabbitmq_prefix")
    return rabbit(rows, url, prefix, queue_type=request.param)


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
    yield connected(made) if transport.pushes else made
    made.close()


delivering = pytest.mark.parametrize("transport", ["memory", "classic", "quorum"], indirect=True)
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
    assert consumer.most_urgent() is None
    publisher.publish([news(1, priority=3), news(2), news(3, priority=0), news(4), news(5, "mailers", 0)])
    all_are_here(consumer, 5)
    assert not consumer.asks_database
    assert consumer.most_urgent() == 0
    assert set(ids(consumer.receive(2))) == {3, 5}
    assert consumer.most_urgent() == 1
    assert ids(consumer.receive(10)) == [2, 4, 1]
    assert consumer.receive(10) == []


@delivering
def test_much_news_at_once_keeps_its_order_and_loses_nothing(publisher: Publisher, consumer: Consumer) -> None:
    """What comes with it arrives as it was sent."""
    sent = [Notification(number, "default", 1, STAMP, f"v1:{number}") for number in range(1, 301)]
    publisher.publish(sent)
    received = arriving(consumer, len(sent))
    assert [delivery.notification for delivery in received] == sent


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
def test_only_the_priorities_that_are_served_are_delivered(transport: Transport, publisher: Publisher) -> None:
    """News of another priority waits for a worker that serves it, and of that this one knows nothing."""
    urgent = connected(transport.consumer(lambda: ["default"], range(2)))
    publisher.publish([news(number + 1, priority=number) for number in range(4)])
    all_are_here(urgent, 2)
    assert ids(urgent.receive(10)) == [1, 2]
    assert {rank for _, rank in urgent.empty_at()} <= {0, 1}
    rest = connected(transport.consumer(lambda: ["default"], range(2, 4)))
    all_are_here(rest, 2)
    assert rest.most_urgent() == 2
    assert ids(rest.receive(10)) == [3, 4]
    urgent.close()
    rest.close()


@delivering
def test_a_delivery_belongs_to_one_worker(transport: Transport, publisher: Publisher, consumer: Consumer) -> None:
    """What one has received, another does not see; acked, nobody does."""
    neighbour = connected(transport.consumer(lambda: ["default"]))
    publish_singly(publisher, *(news(number) for number in range(1, 21)))
    mine: list[Delivery] = []
    theirs: list[Delivery] = []
    while len(mine) + len(theirs) < 20:
        mine += consumer.receive(3)
        theirs += neighbour.receive(3)
        consumer.wait(0.01)
    assert sorted(ids(mine) + ids(theirs)) == list(range(1, 21))
    for delivery in mine:
        consumer.ack(delivery)
    consumer.close()
    neighbour.close()
    again = connected(transport.consumer(lambda: ["default"]))
    assert ids(arriving(again, len(theirs))) == ids(theirs)
    assert again.receive(10) == []
    again.close()


@delivering
def test_a_requeued_delivery_comes_again(publisher: Publisher, consumer: Consumer) -> None:
    """With another tag; a second requeue is nothing. Which of two requeued ones a broker gives first, nobody knows."""
    publish_singly(publisher, news(1), news(2), news(3))
    first, second = arriving(consumer, 2)
    assert consumer.requeue(second)
    assert consumer.requeue(first)
    consumer.requeue(first)
    again = arriving(consumer, 3)
    assert sorted(ids(again)) == [1, 2, 3]
    assert first.tag not in {delivery.tag for delivery in again}
    assert consumer.receive(10) == []


@delivering
def test_an_acked_delivery_is_done_with(publisher: Publisher, consumer: Consumer) -> None:
    """It cannot be requeued, and a second ack is nothing."""
    publish_singly(publisher, news(1), news(2))
    only, _ = arriving(consumer, 2)
    consumer.ack(only)
    consumer.ack(only)
    consumer.requeue(only)
    consumer.suspend()
    assert ids(arriving(consumer, 1)) == [2]
    assert consumer.receive(1) == []


@delivering
def test_a_suspended_worker_holds_nothing(transport: Transport, publisher: Publisher, consumer: Consumer) -> None:
    """A neighbour gets it, in its order; the worker itself gets news again when it asks for some."""
    publish_singly(publisher, *(news(number) for number in range(1, 6)))
    all_are_here(consumer, 5)
    received = consumer.receive(3)
    consumer.ack(received[0])
    consumer.suspend()
    consumer.suspend()
    neighbour = connected(transport.consumer(lambda: ["default"]))
    assert ids(arriving(neighbour, 4)) == [2, 3, 4, 5]
    publisher.publish([news(6, "mailers")])
    assert ids(arriving(consumer, 1)) == [6]
    neighbour.close()


@delivering
def test_a_closed_worker_gives_back_in_order(transport: Transport, publisher: Publisher, consumer: Consumer) -> None:
    """What was received and not settled is delivered to the next."""
    publish_singly(publisher, *(news(number) for number in range(1, 6)))
    all_are_here(consumer, 5)
    received = consumer.receive(4)
    consumer.ack(received[1])
    consumer.close()
    again = connected(transport.consumer(lambda: ["default"]))
    assert ids(arriving(again, 4)) == [1, 3, 4, 5]
    again.close()


@delivering
def test_a_queue_without_news_is_known_to_be_empty(
    publisher: Publisher, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In time; one whose news has arrived and was not received is not."""
    monkeypatch.setattr("tomqueue.transport.rabbitmq.silence.QUIET", 0.0)
    publisher.publish([news(1)])
    all_are_here(consumer, 1)
    before = boot_time()
    assert happens(lambda: consumer.empty_at().get(("mailers", 1), 0.0) >= before)
    assert ("default", 1) not in consumer.empty_at()
    assert ids(consumer.receive(10)) == [1]
    assert happens(lambda: consumer.empty_at().get(("default", 1), 0.0) >= before)


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
