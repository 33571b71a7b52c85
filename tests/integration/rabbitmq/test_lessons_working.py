"""What stopped, blocked or doubled the original's workers: here a job runs once, and the worker goes on.

docs/explanation/lessons.md tells which line of it each test is about.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pika.exceptions import ChannelClosedByBroker

from tests.harness import PATIENCE, Reporter, change, happens, make_app, row, working
from tests.integration.transactional_enqueue.application import install
from tests.news import is_served, raw_channel, waiting_in
from tests.rabbitmq_server import Broker
from tests.server_admin import ServerAdmin
from tomqueue import TomQueue
from tomqueue.daemon.deferred import Deferred
from tomqueue.daemon.leadership import Leadership
from tomqueue.store.leases import Leases
from tomqueue.worker.worker import Worker

pytestmark = pytest.mark.usefixtures("only_by_news")
TOO_LONG = """
application:set_env(rabbit, consumer_timeout, 5000), application:set_env(rabbit, channel_tick_interval, 500).
"""
"""Long enough that a busy machine takes a delivery and acks it within."""
AS_USUAL = """
application:set_env(rabbit, consumer_timeout, 1800000), application:set_env(rabbit, channel_tick_interval, 60000).
"""


@pytest.fixture
def reporter() -> Reporter:
    """Give what hears of every error."""
    return Reporter()


@pytest.fixture
def shared(rabbitmq_url: str, rabbitmq_prefix: str, tmp_path: Path) -> Iterator[TomQueue]:
    """Give an application whose news goes by the shared broker."""
    tq = make_app(tmp_path / "jobs.db", broker_url=rabbitmq_url, prefix=rabbitmq_prefix)
    yield tq
    tq.close()


@pytest.fixture
def tq(broker: Broker, prefix: str, tmp_path: Path, reporter: Reporter) -> Iterator[TomQueue]:
    """Give an application whose broker may be stopped."""
    tq = make_app(tmp_path / "jobs.db", broker_url=broker.url, prefix=prefix)
    tq.exception_reporter = reporter
    yield tq
    tq.close()


@contextmanager
def served(tq: TomQueue) -> Iterator[Worker]:
    """Let a worker run that gets its news from the broker."""
    with working(tq.tools()) as worker:
        assert happens(lambda: is_served(worker))
        yield worker


@contextmanager
def announcing(tq: TomQueue) -> Iterator[None]:
    """Let a deferred process run beside the test."""
    tools = tq.tools()
    leadership = Leadership(Leases(tools.store), heartbeat=5.0, lease=20.0)
    deferred = Deferred(tools.store, tools.publisher, leadership, tools.reporting.report)
    thread = threading.Thread(target=deferred.run, name="deferred")
    thread.start()
    try:
        yield
    finally:
        deferred.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


class Steps:
    """Jobs that say that they began, and end when they may."""

    def __init__(self, tq: TomQueue) -> None:
        self.ran: list[int] = []
        self.began = threading.Event()
        self.go_on = threading.Event()

        @tq.job(name="step")
        def step(number: int, waits: bool) -> None:
            if waits:
                self.began.set()
                assert self.go_on.wait(PATIENCE)
            self.ran.append(number)

        self.job = step

    @contextmanager
    def under_way(self, number: int) -> Iterator[None]:
        """Have a job run that ends when the block does."""
        self.job.enqueue(number, waits=True)
        try:
            assert self.began.wait(PATIENCE)
            yield
        finally:
            self.go_on.set()


@pytest.mark.parametrize("back", ["before it ends", "after it ended"])
def test_a_broker_that_goes_away_while_a_job_runs(tq: TomQueue, broker: Broker, reporter: Reporter, back: str) -> None:
    """It was acked when it began, so nothing is owed to the broker: it runs once, and the worker goes on."""
    steps = Steps(tq)
    with served(tq) as worker:
        with steps.under_way(1):
            broker.kill()
            if back == "before it ends":
                broker.start()
        assert happens(lambda: steps.ran == [1])
        steps.job.enqueue(2, waits=False)
        assert happens(lambda: steps.ran == [1, 2])
        broker.start()
        assert happens(lambda: is_served(worker))
        steps.job.enqueue(3, waits=False)
        assert happens(lambda: steps.ran == [1, 2, 3])
        assert happens(lambda: tq.jobs.list() == [])
    assert not [error for error in reporter.errors if "step" in str(error)]


def test_a_broker_that_restarts_while_the_deferred_process_holds_jobs(tq: TomQueue, broker: Broker) -> None:
    """What it holds are rows, not messages: each runs once, and a later one is announced as ever."""
    ran: list[int] = []

    @tq.job(name="note")
    def note(number: int) -> None:
        ran.append(number)

    with served(tq) as worker, announcing(tq):
        tq.enqueue_many(note.using(delay=1 + number / 100).prepare(number) for number in range(200))
        note.enqueue(200)
        assert happens(lambda: 200 in ran)
        broker.stop()
        broker.start()
        assert happens(lambda: is_served(worker) and len(ran) >= 201)
        note.using(delay=0.5).enqueue(201)
        assert happens(lambda: 201 in ran)
        assert happens(lambda: tq.jobs.list() == [])
    assert Counter(ran) == Counter(range(202))


def test_a_job_longer_than_the_brokers_patience(tq: TomQueue, broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    """Its delivery was acked when it began; another that stays unacked shows that the broker's time-out has struck."""
    steps = Steps(tq)
    broker.ctl("eval", TOO_LONG)
    try:
        with served(tq), steps.under_way(1), raw_channel(broker.url) as channel:
            mine = channel.queue_declare("", exclusive=True).method.queue
            channel.basic_publish("", mine, b"held")
            with pytest.raises(ChannelClosedByBroker):
                for _held in channel.consume(mine):
                    pass
            steps.go_on.set()
            assert happens(lambda: steps.ran == [1])
            steps.job.enqueue(2, waits=False)
            assert happens(lambda: steps.ran == [1, 2])
            assert happens(lambda: tq.jobs.list() == [])
    finally:
        broker.ctl("eval", AS_USUAL)
    assert not [record for record in caplog.records if "is away" in record.message]


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_a_database_that_ends_every_session(
    kind: str, request: pytest.FixtureRequest, rabbitmq_url: str, rabbitmq_prefix: str
) -> None:
    """Under a running job and under a waiting worker: it connects again, nothing is lost and nothing runs twice."""
    url = request.getfixturevalue(f"{kind}_url")
    install(url)
    tq = TomQueue(url, broker_url=rabbitmq_url, prefix=rabbitmq_prefix)
    steps, admin = Steps(tq), ServerAdmin(url)
    with served(tq):
        with steps.under_way(1):
            admin.end_sessions()
        assert happens(lambda: tq.jobs.list() == [])
        admin.end_sessions()
        steps.job.enqueue(2, waits=False)
        assert happens(lambda: steps.ran == [1, 2])
        assert happens(lambda: tq.jobs.list() == [])
    tq.close()


@pytest.mark.parametrize("column", ["payload", "max_attempts", "updated_at", "priority", "queue"])
def test_a_row_that_was_changed_after_its_news(
    shared: TomQueue, rabbitmq_url: str, rabbitmq_prefix: str, column: str
) -> None:
    """By plain SQL, which publishes nothing: it runs as it is now, and its old news does no harm."""
    steps = Steps(shared)
    with served(shared), announcing(shared):
        with steps.under_way(1):
            job = steps.job.enqueue(2, waits=False)
            now = row(shared, job.id).updated_at
            values: dict[str, Any] = {
                "payload": job.payload.replace("2", "3"),
                "max_attempts": 7, "updated_at": now.replace(year=2020), "priority": 3, "queue": "other",
            }  # fmt: skip
            change(shared, job.id, **{column: values[column]})
        expected = [1, 3] if column == "payload" else [1, 2]
        assert happens(lambda: steps.ran == expected)
        assert happens(lambda: shared.jobs.list() == [])
        assert happens(lambda: waiting_in(rabbitmq_url, f"{rabbitmq_prefix}.default.normal") == 0)


def test_an_error_that_never_ends_is_no_loop(shared: TomQueue, rabbitmq_url: str, rabbitmq_prefix: str) -> None:
    """Its attempts are used up by row and back-off, the broker gets no message back, and it ends in failed."""
    attempts: list[int] = []

    @shared.job(name="broken", max_attempts=3, backoff=0.1)
    def broken() -> None:
        attempts.append(1)
        raise ValueError("as ever")

    with served(shared), announcing(shared):
        job = broken.enqueue()
        assert happens(lambda: row(shared, job.id).failed_at is not None)
        assert happens(lambda: waiting_in(rabbitmq_url, f"{rabbitmq_prefix}.default.normal") == 0)
    assert (len(attempts), row(shared, job.id).attempts) == (3, 3)
