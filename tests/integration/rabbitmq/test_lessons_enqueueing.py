"""What the original lost between an enqueue and a worker: here nobody waits, nobody is told off, nothing is lost.

docs/explanation/lessons.md tells which line of it each test is about.
"""

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from tests.harness import Reporter, happens, make_app, work, working
from tests.integration.transactional_enqueue.application import install
from tests.news import arriving, connected, ids, is_sent, is_served, told_in, waiting_in
from tests.rabbitmq_server import Broker
from tomqueue import TomQueue
from tomqueue.definition import Definition

MakeApp = Callable[..., TomQueue]
DIES_BEFORE_THE_NEWS = """
import os, signal, sys
from tomqueue import TomQueue

tq = TomQueue(sys.argv[1], broker_url=sys.argv[2], prefix=sys.argv[3])

@tq.job(name="note")
def note(number: int) -> None: ...

def die(request, proceed):
    os.kill(os.getpid(), signal.SIGKILL)

tq.enqueue_layers.insert(die, before="Publish")
note.enqueue(7)
"""


@pytest.fixture
def make(tmp_path: Path, prefix: str) -> Iterator[MakeApp]:
    """Make applications on one database and one prefix, as the processes of one application are."""
    made: list[TomQueue] = []

    def act(broker_url: str, **settings: Any) -> TomQueue:
        made.append(make_app(tmp_path / "jobs.db", broker_url=broker_url, **{"prefix": prefix, **settings}))
        return made[-1]

    yield act
    for tq in made:
        tq.close()


def noting(tq: TomQueue) -> tuple[list[int], Definition[..., ..., None]]:
    """Declare a job that writes its number down."""
    ran: list[int] = []

    @tq.job(name="note")
    def note(number: int) -> None:
        ran.append(number)

    return ran, note


def is_published(tq: TomQueue) -> bool:
    """Say whether the broker has all news of an application."""
    return is_sent(tq.tools().publisher)


def test_news_from_before_any_worker_waits_for_the_first(
    make: MakeApp, rabbitmq_url: str, rabbitmq_prefix: str
) -> None:
    """Whoever publishes declares the queues: nothing that is sent can have nowhere to go."""
    tq = make(rabbitmq_url, prefix=rabbitmq_prefix)
    ran, note = noting(tq)
    tq.enqueue_many(note.prepare(number) for number in range(3))
    assert happens(lambda: is_published(tq))
    assert waiting_in(rabbitmq_url, f"{rabbitmq_prefix}.default.normal") == 1
    with working(tq.tools()):
        assert happens(lambda: ran == [0, 1, 2])
        assert happens(lambda: waiting_in(rabbitmq_url, f"{rabbitmq_prefix}.default.normal") == 0)


def test_a_job_of_the_future_is_no_message(make: MakeApp, rabbitmq_url: str, rabbitmq_prefix: str) -> None:
    """It is a row until its time comes: the broker holds nothing that a time-out or a restart could reach."""
    tq = make(rabbitmq_url, prefix=rabbitmq_prefix)
    _, note = noting(tq)
    future, now = note.using(delay=3600).enqueue(1), note.enqueue(2)
    consumer = connected(tq.tools().transport.consumer(lambda: ["default"]))
    assert ids(arriving(consumer, 1)) == [now.id]
    assert happens(lambda: is_published(tq))
    assert consumer.receive(1) == []
    assert tq.jobs.get(future.id).announced_at is None
    consumer.close()


def test_a_process_that_is_killed_between_commit_and_news(
    make: MakeApp, rabbitmq_url: str, rabbitmq_prefix: str, tmp_path: Path
) -> None:
    """The row is committed and no message will ever come: a worker whose queue is silent finds it in the database."""
    tq = make(rabbitmq_url, prefix=rabbitmq_prefix)
    ran, _ = noting(tq)
    with working(tq.tools()) as worker:
        assert happens(lambda: is_served(worker))
        arguments = [f"sqlite:///{tmp_path / 'jobs.db'}", rabbitmq_url, rabbitmq_prefix]
        done = subprocess.run([sys.executable, "-c", DIES_BEFORE_THE_NEWS, *arguments], timeout=60, check=False)
        assert done.returncode == -signal.SIGKILL
        assert happens(lambda: ran == [7])


def test_thousands_of_enqueues_keep_one_channel(make: MakeApp, broker: Broker, prefix: str) -> None:
    """More than a connection may have channels: each has its row and its news, and only one channel is open."""
    reporter = Reporter()
    tq = make(broker.add_vhost(prefix))
    tq.exception_reporter = reporter
    _, note = noting(tq)
    jobs = [note.enqueue(number) for number in range(2500)]
    assert happens(lambda: is_published(tq))
    assert broker.ctl("list_channels", "--vhost", prefix, "number").split()[1:] == ["1"]
    consumer = connected(tq.tools().transport.consumer(lambda: ["default"]))
    told: list[int] = []
    while len(told) < len(jobs):  # pytest's time-out ends it
        deliveries = arriving(consumer, 1)
        told += ids(deliveries)
        for delivery in deliveries:
            consumer.ack(delivery)
    assert told == [job.id for job in jobs]
    assert reporter.errors == []
    consumer.close()


def test_an_application_boots_while_the_broker_is_away(make: MakeApp) -> None:
    """It enqueues and works by its database alone."""
    tq = make("amqp://127.0.0.1:1")
    ran, note = noting(tq)
    note.enqueue(1)
    with working(tq.tools()):
        assert happens(lambda: ran == [1])
        note.enqueue(2)
        assert happens(lambda: ran == [1, 2])


@pytest.mark.usefixtures("only_by_news")
def test_an_enqueue_while_the_broker_is_away(make: MakeApp, broker: Broker) -> None:
    """It commits and raises nothing; a waiting worker has it from the database, and later ones by news again."""
    tq = make(broker.url)
    ran, note = noting(tq)
    with working(tq.tools()) as worker:
        assert happens(lambda: is_served(worker))
        note.enqueue(1)
        assert happens(lambda: ran == [1])
        broker.stop()
        note.enqueue(2)
        assert happens(lambda: ran == [1, 2])
        broker.start()
        assert happens(lambda: is_served(worker) and is_published(tq))
        note.enqueue(3)
        assert happens(lambda: ran == [1, 2, 3])
    assert tq.jobs.list() == []


def test_an_enqueue_while_nobody_else_is_there(make: MakeApp, broker: Broker, prefix: str) -> None:
    """Nobody works and the broker is away: what lives on publishes later, what ended meanwhile is found by its row."""
    lasting, ending = make(broker.url), make(broker.url)
    broker.stop()
    noting(lasting)[1].enqueue(1)
    noting(ending)[1].enqueue(2)
    ending.close()
    assert len(lasting.jobs.list()) == 2
    broker.start()
    assert happens(lambda: is_published(lasting))
    assert waiting_in(broker.url, f"{prefix}.default.normal") == 1
    later = make(broker.url)
    ran, _ = noting(later)
    work(later)
    assert sorted(ran) == [1, 2]


def test_an_enqueue_while_the_broker_stands_still(make: MakeApp, broker: Broker, prefix: str) -> None:
    """It returns; the broker then dies with what was in its sockets, and every job has its news once it is back."""
    tq = make(f"{broker.url}?heartbeat=1")
    ran, note = noting(tq)
    note.enqueue(0)
    assert happens(lambda: is_published(tq))
    with broker.frozen():
        jobs = [note.enqueue(number) for number in range(1, 7)]
        assert [job.id for job in jobs] == sorted(job.id for job in tq.jobs.list())[1:]
        broker.kill()
        broker.start()
    assert happens(lambda: is_published(tq))
    assert told_in(broker.url, f"{prefix}.default.normal") >= {job.id for job in jobs}
    work(tq)
    assert Counter(ran) == Counter(range(7))


def test_only_what_was_committed_is_told(
    make: MakeApp, rabbitmq_url: str, rabbitmq_prefix: str, postgres_url: str
) -> None:
    """Two transactions side by side, and a savepoint that is taken back: each commit tells of its own jobs only."""
    install(postgres_url)
    engine = create_engine(postgres_url)
    tq = TomQueue(engine=engine, broker_url=rabbitmq_url, prefix=rabbitmq_prefix)
    ran, note = noting(tq)
    with working(tq.tools()), Session(engine) as first, Session(engine) as second:
        note.using(session=first).enqueue(1)
        savepoint = first.begin_nested()
        note.using(session=first).enqueue(2)
        savepoint.rollback()
        note.using(session=second).enqueue(3)
        second.commit()
        assert happens(lambda: ran == [3])
        first.commit()
        assert happens(lambda: ran == [3, 1])
        note.enqueue(4)
        assert happens(lambda: ran == [3, 1, 4])
    tq.close()
    engine.dispose()
