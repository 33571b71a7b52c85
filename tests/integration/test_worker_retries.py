"""A job that raises runs again after its back-off, until its attempts are used up."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Reporter, change, make_app, make_due, pause_of, row, work
from tomqueue import State, TomQueue

ABOUT = 1.0
"""Seconds between the decision and its commit, on a slow machine."""


def failing(tq: TomQueue, **options: Any) -> int:
    """Enqueue a job that always fails and run it once."""

    @tq.job(name="failing", **options)
    def failing() -> None:
        raise OSError("no route")

    job = failing.enqueue()
    work(tq)
    return job.id


def test_the_pause_grows_with_the_fourth_power_of_the_attempts(tq: TomQueue) -> None:
    """Delayed::Job's default: ``attempts**4 + 5`` seconds, and the error is kept beside it."""
    job = failing(tq)
    for attempt in (1, 2, 3):
        assert row(tq, job).attempts == attempt
        assert pause_of(tq, job) == pytest.approx(attempt**4 + 5, abs=ABOUT)
        make_due(tq, job)
        work(tq)
    found = tq.jobs.get(job)
    assert found.state is State.SCHEDULED
    assert found.last_error is not None
    assert "OSError: no route" in found.last_error
    assert "in failing" in found.last_error


@pytest.mark.parametrize(
    ("backoff", "first", "third"),
    [
        (60, 60, 60),
        ([10, 20], 10, 20),
        (lambda attempt: attempt * 100, 100, 300),
        (lambda attempt: timedelta(minutes=attempt), 60, 180),
        (10.0**9, 7 * 86400, 7 * 86400),
    ],
    ids=["number", "list", "callable", "timedelta", "cap"],
)
def test_the_pause_is_what_the_job_says(tq: TomQueue, backoff: Any, first: float, third: float) -> None:
    """A number, a list whose last repeats, or a callable of the attempt; never more than the cap."""
    job = failing(tq, backoff=backoff)
    assert pause_of(tq, job) == pytest.approx(first, abs=ABOUT)
    change(tq, job, attempts=2)
    make_due(tq, job)
    work(tq)
    assert pause_of(tq, job) == pytest.approx(third, abs=ABOUT)


def test_jitter_only_lengthens_the_pause(tq: TomQueue) -> None:
    """With a jitter of a half the pause lies between the back-off and one and a half of it."""
    job = failing(tq, backoff=1000, jitter=0.5)
    assert 1000 - ABOUT <= pause_of(tq, job) <= 1500 + ABOUT


def test_the_instance_says_when_to_run_again(tq: TomQueue) -> None:
    """``reschedule_at`` of a class job gets the time and the attempt."""

    @tq.job
    class Stubborn:
        def process(self) -> None:
            raise OSError

        def reschedule_at(self, now: datetime, attempt: int) -> datetime:
            return now + timedelta(hours=attempt)

    job = tq.enqueue(Stubborn())
    work(tq)
    assert pause_of(tq, job.id) == pytest.approx(3600, abs=ABOUT)


def broken(attempt: int) -> float:
    """Be a back-off with a mistake in it."""
    raise ZeroDivisionError(f"attempt {attempt}")


@pytest.mark.parametrize("backoff", [broken, lambda _: float("nan"), lambda _: "soon"], ids=["raises", "nan", "str"])
def test_a_broken_backoff_is_reported_and_replaced(tq: TomQueue, reporter: Reporter, backoff: Any) -> None:
    """The default pause takes its place, and the job's own error is kept."""
    job = failing(tq, backoff=backoff)
    assert pause_of(tq, job) == pytest.approx(6, abs=ABOUT)
    assert "OSError" in row(tq, job).last_error
    assert len(reporter.errors) == 2


def from_settings(folder: Path) -> tuple[TomQueue, int]:
    """Say it in the settings."""
    tq = make_app(folder / "jobs.db", max_attempts=2)
    return tq, failing(tq)


def from_definition(folder: Path) -> tuple[TomQueue, int]:
    """Say it where the job is declared."""
    tq = make_app(folder / "jobs.db", max_attempts=9)
    return tq, failing(tq, max_attempts=2)


def from_row(folder: Path) -> tuple[TomQueue, int]:
    """Say it at the enqueue."""
    tq = make_app(folder / "jobs.db")

    @tq.job(max_attempts=9)
    def fail() -> None:
        raise OSError

    job = fail.using(max_attempts=2).enqueue()
    work(tq)
    return tq, job.id


def from_instance(folder: Path) -> tuple[TomQueue, int]:
    """Say it by a method."""
    tq = make_app(folder / "jobs.db")

    @tq.job(max_attempts=9)
    class Fail:
        def process(self) -> None:
            raise OSError

        def max_attempts(self) -> int:
            return 2

    job = tq.enqueue(Fail())
    work(tq)
    return tq, job.id


@pytest.mark.parametrize("said", [from_settings, from_definition, from_row, from_instance])
def test_the_attempts_are_used_up(tmp_path: Path, said: Callable[[Path], tuple[TomQueue, int]]) -> None:
    """After two attempts of two the job is failed and kept, with its error."""
    tq, job = said(tmp_path)
    assert tq.jobs.get(job).state is State.SCHEDULED
    make_due(tq, job)
    work(tq)
    found = tq.jobs.get(job)
    assert (found.state, found.attempts) == (State.FAILED, 2)
    assert found.last_error is not None
    tq.close()


def test_an_instance_that_says_nothing_leaves_it_to_the_definition(tq: TomQueue) -> None:
    """A method that returns None says nothing, as in Delayed::Job."""

    @tq.job(name="silent", max_attempts=1, max_run_time=30)
    class Silent:
        def process(self) -> None:
            raise OSError("its own error")

        def max_attempts(self) -> None: ...
        def max_run_time(self) -> None: ...

    job = tq.enqueue(Silent())
    work(tq)
    assert row(tq, job.id).failed_at is not None
    assert "its own error" in row(tq, job.id).last_error


def test_failed_jobs_can_be_deleted(tmp_path: Path) -> None:
    """With ``delete_failed_jobs`` nothing is kept."""
    tq = make_app(tmp_path / "jobs.db", delete_failed_jobs=True)
    assert row(tq, failing(tq, max_attempts=1)) is None
    tq.close()


@pytest.mark.parametrize(
    ("error", "state"),
    [(ConnectionError(), State.SCHEDULED), (KeyError(), State.FAILED), (FileNotFoundError(), State.FAILED)],
)
def test_only_named_errors_are_retried(tq: TomQueue, error: Exception, state: State) -> None:
    """``retry_on`` retries its errors and those derived from them; ``discard_on`` goes first."""

    @tq.job(retry_on=(OSError,), discard_on=(FileNotFoundError,))
    def picky() -> None:
        raise error

    job = picky.enqueue()
    work(tq)
    assert tq.jobs.get(job.id).state is state
