"""How a job says itself how it ends, and that no way of ending it ends the worker."""

from datetime import timedelta
from typing import Any

import pytest

from tests.harness import Reporter, change, make_due, pause_of, row, work
from tomqueue import Discard, JobContext, Retry, Snooze, State, TomQueue

ABOUT = 1.0
"""Seconds between the decision and its commit, on a slow machine."""
SOON: Any = "soon"


def test_a_job_asks_for_a_retry(tq: TomQueue) -> None:
    """``Retry(delay=)`` counts as an attempt, is no error to report, and fails the job at its last attempt."""

    @tq.job(max_attempts=2, retry_on=())
    def later() -> None:
        raise Retry("the file is not there yet", delay=timedelta(minutes=2))

    job = later.enqueue()
    work(tq)
    assert (row(tq, job.id).attempts, row(tq, job.id).last_error) == (1, "the file is not there yet")
    assert pause_of(tq, job.id) == pytest.approx(120, abs=ABOUT)
    make_due(tq, job.id)
    work(tq)
    assert tq.jobs.get(job.id).state is State.FAILED


def test_a_job_snoozes(tq: TomQueue, reporter: Reporter) -> None:
    """``Snooze`` runs it later and does not count."""

    @tq.job(max_attempts=1)
    def sleepy(ctx: JobContext) -> None:
        raise Snooze(90)

    job = sleepy.enqueue()
    for _ in range(3):
        make_due(tq, job.id)
        work(tq)
    assert (row(tq, job.id).attempts, row(tq, job.id).failed_at) == (0, None)
    assert pause_of(tq, job.id) == pytest.approx(90, abs=ABOUT)
    assert reporter.errors == []


@pytest.mark.parametrize("verdict", [Retry(delay=float("nan")), Snooze(1e15), Snooze(SOON), Retry(delay=timedelta.max)])
def test_a_delay_that_is_none_is_the_jobs_mistake(tq: TomQueue, verdict: Exception) -> None:
    """The row is not lost: it is retried after the default pause, and says what was wrong."""

    @tq.job
    def confused() -> None:
        raise verdict

    job = confused.enqueue()
    work(tq)
    found = row(tq, job.id)
    assert (found.locked_by, found.attempts, found.failed_at) == (None, 1, None)
    assert pause_of(tq, job.id) == pytest.approx(6, abs=ABOUT)
    assert "Error" in found.last_error


def test_a_job_discards_itself(tq: TomQueue, reporter: Reporter) -> None:
    """``Discard`` fails the job for good with its reason, and is no error to report."""

    @tq.job
    def pointless() -> None:
        raise Discard("the user is gone")

    job = pointless.enqueue()
    work(tq)
    found = tq.jobs.get(job.id)
    assert (found.state, found.last_error) == (State.FAILED, "the user is gone")
    assert reporter.errors == []


def test_a_job_that_starts_too_late_is_failed(tq: TomQueue) -> None:
    """``expires`` is counted from when the job was due; one in time runs."""
    ran = []

    @tq.job(expires=60)
    def fresh(number: int) -> None:
        ran.append(number)

    late, good = fresh.enqueue(1), fresh.enqueue(2)
    change(tq, late.id, expires_at=late.created_at)
    work(tq)
    assert ran == [2]
    found = tq.jobs.get(late.id)
    assert found.state is State.FAILED
    assert str(found.last_error).startswith("expired")
    assert row(tq, good.id) is None


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), BaseException("bare"), GeneratorExit()])
@pytest.mark.parametrize("threads", [1, 2])
def test_no_exception_ends_the_worker(tq: TomQueue, error: BaseException, threads: int) -> None:
    """What would end a program is one job's failed attempt, and the next job runs."""
    ran = []

    @tq.job
    def drastic() -> None:
        raise error

    @tq.job
    def next_one() -> None:
        ran.append(1)

    job = drastic.enqueue()
    next_one.enqueue()
    work(tq, threads=threads)
    assert ran == [1]
    assert type(error).__name__ in row(tq, job.id).last_error
    assert row(tq, job.id).attempts == 1
