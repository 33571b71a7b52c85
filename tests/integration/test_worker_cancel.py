"""A person cancels a job while a worker has it: it is interrupted, and not run again, however it takes that."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tests.harness import Reporter, happens, record_events, row, store_of, work
from tests.integration.test_worker_timeouts import HOPELESS, in_lock, in_python, in_sleep, in_socket
from tomqueue import JobCancelled, JobContext, Retry, Snooze, State, TomQueue
from tomqueue.errors import JobNotFound
from tomqueue.store.base import Want
from tomqueue.worker import cancels
from tomqueue.worker.board import Board
from tomqueue.worker.cancels import Cancels
from tomqueue.worker.claims import Claims


@contextmanager
def cancelling(tq: TomQueue, job_id: int) -> Iterator[threading.Event]:
    """Cancel a job from another thread once the event that this gives is set."""
    started = threading.Event()

    def cancel() -> None:
        if started.wait(HOPELESS):
            tq.jobs.cancel(job_id)

    thread = threading.Thread(target=cancel)
    thread.start()
    yield started
    thread.join()


def is_asked(tq: TomQueue, job_id: int) -> bool:
    """Say whether somebody has cancelled a job."""
    return row(tq, job_id).cancelled_at is not None


def check_cancelled(tq: TomQueue, job_id: int, *, attempts: int = 1) -> None:
    """Check that a job has failed for good because it was cancelled."""
    job = tq.jobs.get(job_id)
    assert (job.state, job.last_error, job.attempts, job.crashes) == (State.FAILED, "cancelled", attempts, 0)
    assert job.locked_by is None


@pytest.mark.parametrize("hang", [in_sleep, in_socket, in_python, in_lock])
def test_a_running_job_is_interrupted(tq: TomQueue, reporter: Reporter, hang: Callable[[], None]) -> None:
    """Wherever it hangs in the main thread; it may clean up, that is an event and no error, and the next one runs."""
    cleaned: list[int] = []
    ran: list[int] = []

    @tq.job(max_attempts=5)
    def hanging() -> None:
        started.set()
        try:
            hang()
        finally:
            cleaned.append(1)

    @tq.job
    def next_one() -> None:
        ran.append(1)

    job = hanging.enqueue()
    next_one.enqueue()
    seen = record_events(tq)
    began = time.monotonic()
    with cancelling(tq, job.id) as started:
        work(tq)
    assert time.monotonic() - began < HOPELESS / 2
    check_cancelled(tq, job.id)
    assert (cleaned, ran, reporter.errors) == ([1], [1], [])
    assert [event for event in seen if event.startswith("job.")].count("job.cancelled") == 1
    assert "job.failed" not in seen


def test_a_job_in_a_thread_is_interrupted(tq: TomQueue) -> None:
    """Its neighbours are not."""
    ends: list[str] = []
    both = threading.Barrier(2)

    @tq.job
    def hanging(event: str) -> None:
        both.wait()
        begun.set()
        try:
            if event == "cancelled":
                in_python()
            else:
                happens(lambda: ends)
            ends.append(event)
        except JobCancelled:
            ends.append("interrupted")
            raise

    job = hanging.enqueue("cancelled")
    neighbour = hanging.enqueue("neighbour")
    with cancelling(tq, job.id) as begun:
        work(tq, threads=2)
    assert ends == ["interrupted", "neighbour"]
    check_cancelled(tq, job.id)
    with pytest.raises(JobNotFound):
        tq.jobs.get(neighbour.id)


def test_a_coroutine_is_cancelled(tq: TomQueue) -> None:
    """It can clean up, also by awaiting."""
    cleaned: list[int] = []

    @tq.job
    async def hanging() -> None:
        started.set()
        try:
            await asyncio.sleep(HOPELESS)
        finally:
            await asyncio.sleep(0)
            cleaned.append(1)

    job = hanging.enqueue()
    with cancelling(tq, job.id) as started:
        work(tq)
    assert cleaned == [1]
    check_cancelled(tq, job.id)


def test_an_atomic_job_is_rolled_back(tq: TomQueue) -> None:
    """What it wrote and what it enqueued is gone with it."""
    engine = create_engine(store_of(tq).engine.url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE notes (text VARCHAR(10))"))

    @tq.job
    def follow_up() -> None: ...

    @tq.job(atomic=True)
    def writes(ctx: JobContext) -> None:
        started.set()
        assert happens(lambda: is_asked(tq, ctx.id))  # SQLite has one lock to write: the cancel first
        ctx.connection.execute(text("INSERT INTO notes VALUES ('mine')"))
        follow_up.enqueue()
        in_sleep()

    job = writes.enqueue()
    with cancelling(tq, job.id) as started:
        work(tq)
    check_cancelled(tq, job.id)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT * FROM notes")).all() == []
    assert tq.jobs.count(name=follow_up.name) == 0
    engine.dispose()


def test_a_job_that_returns_has_finished(tq: TomQueue) -> None:
    """Also when it heard of the cancel and went on, or was never told of it."""
    ends: list[str] = []

    @tq.job
    def stubborn() -> None:
        started.set()
        with suppress(JobCancelled):
            in_sleep()
        ends.append("went on")

    @tq.job
    def quick(ctx: JobContext) -> None:
        assert tq.jobs.cancel(ctx.id).state is State.RUNNING
        ends.append("was quick")

    job = stubborn.enqueue()
    quick.enqueue()
    seen = record_events(tq)
    with cancelling(tq, job.id) as started:
        work(tq)
    assert ends == ["went on", "was quick"]
    assert tq.jobs.count() == 0
    assert (seen.count("job.finished"), seen.count("job.cancelled")) == (2, 0)


@pytest.mark.parametrize("error", [ValueError("no"), Retry(delay=0), Snooze(0), JobCancelled()])
def test_a_cancel_and_a_retry_race(tq: TomQueue, error: BaseException) -> None:
    """A job that fails before it is told of the cancel is not retried: the event is that of a cancelled job."""
    runs = []

    @tq.job
    def fails(ctx: JobContext) -> None:
        runs.append(ctx.attempt)
        tq.jobs.cancel(ctx.id)
        raise error

    job = fails.enqueue()
    seen = record_events(tq)
    work(tq)
    assert runs == [1]
    check_cancelled(tq, job.id, attempts=0 if isinstance(error, Snooze) else 1)
    assert [event for event in seen if event.startswith("job.")] == ["job.started", "job.cancelled"]


def test_a_job_can_say_that_it_is_cancelled(tq: TomQueue) -> None:
    """It ends as one that a person cancelled; its class hears of it as of every end for good, and hooks see why."""
    heard: list[Any] = []

    @tq.job(name="class")
    class Sync:
        def process(self) -> None:
            raise JobCancelled("the account is closed")

        def error(self, _ctx: JobContext, exception: BaseException) -> None:
            heard.append(type(exception))

        def failure(self, _ctx: JobContext) -> None:
            heard.append("failure")

    job = tq.enqueue(Sync())
    work(tq)
    found = tq.jobs.get(job.id)
    assert (found.state, found.last_error, found.cancelled_at) == (State.FAILED, "the account is closed", None)
    assert heard == [JobCancelled, "failure"]


def test_a_waiting_job_is_cancelled_where_it_is_asked(tq: TomQueue) -> None:
    """There is no worker to tell of it."""

    @tq.job
    def waits() -> None: ...

    job = waits.enqueue()
    seen = record_events(tq)
    assert tq.jobs.cancel(job.id).state is State.FAILED
    assert seen == ["job.cancelled"]
    tq.jobs.retry(job.id)
    assert tq.jobs.get(job.id).cancelled_at is None


@pytest.fixture
def claims(tq: TomQueue) -> Iterator[Claims]:
    """Give the claims of a process without slots."""
    tools, board = tq.tools(), Board.create()
    yield Claims(
        tools.store, board, 7, tools.events, tools.logger,
        report=tools.reporting.report, keep_place=True, die=lambda: None,
    )  # fmt: skip
    board.close()


def test_what_is_claimed_ahead_does_not_start(tq: TomQueue, claims: Claims, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that wait for a slot from one look to the next are given back when they are cancelled; the others stay."""
    monkeypatch.setattr(cancels, "LOOK_EVERY", 0.0)

    @tq.job
    def quick(number: int) -> None: ...

    jobs = [quick.enqueue(number) for number in range(3)]
    seen = record_events(tq)
    assert len(claims.take(Want(("default",), 10, 7))) == 3
    looks = Cancels([], claims, tq.tools().catalog)
    looks.look()
    tq.jobs.cancel(jobs[1].id)
    looks.look()
    assert [waiting.id for waiting in claims.waiting()] == [jobs[0].id, jobs[2].id]
    check_cancelled(tq, jobs[1].id, attempts=0)
    assert seen == ["job.cancelled"]


def test_what_is_given_back_is_not_claimed_again(tq: TomQueue, claims: Claims) -> None:
    """A row that was cancelled while it waited behind a long job."""

    @tq.job
    def quick() -> None: ...

    job = quick.enqueue()
    claims.take(Want(("default",), 10, 7))
    tq.jobs.cancel(job.id)
    claims.give_back()
    check_cancelled(tq, job.id, attempts=0)


def test_quick_jobs_are_not_asked_for(tq: TomQueue, claims: Claims, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not held from one look to the next costs no statement."""
    monkeypatch.setattr(cancels, "LOOK_EVERY", 0.0)
    asked: list[Any] = []

    class Catalog:
        def cancelled(self, rows: Any) -> set[tuple[int, int]]:
            asked.append(rows)
            return set()

    @tq.job
    def quick() -> None: ...

    looks = Cancels([], claims, Catalog())  # type: ignore[arg-type]
    for _ in range(3):
        quick.enqueue()
        looks.look()
        claims.take(Want(("default",), 10, 7))
        looks.look()
        claims.give_back()
    looks.look()
    assert asked == []
