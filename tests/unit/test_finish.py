"""The table that says what becomes of a job: every outcome, as data."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomqueue.errors import Discard, JobCancelled, JobInterrupted, JobTimeout, Retry, Snooze, UnknownJob
from tomqueue.job import Claimed
from tomqueue.store.base import Delete, Release
from tomqueue.worker.finish import Policy, default_backoff, given_back, park_delay, settle

NOW = datetime(2030, 1, 1, tzinfo=UTC)
JOB = Claimed(7, "default", 1, "job", "{}", 3, None, NOW, NOW, None, 2, suspect=False, meta=None, tied=False, token=99)
RETRIED = Release(id=7, token=99, attempts=3, run_at=NOW + timedelta(seconds=86), last_error="text")
FAILED = Release(id=7, token=99, attempts=3, failed=True, last_error="text")


@pytest.mark.parametrize(
    ("error", "ending", "event"),
    [
        (None, Delete(7, 99, retried=True), "job.finished"),
        (OSError(), RETRIED, "job.retried"),
        (SystemExit(), RETRIED, "job.retried"),
        (JobTimeout(), RETRIED, "job.retried"),
        (Retry(), RETRIED, "job.retried"),
        (Retry(delay=2), replace(RETRIED, run_at=NOW + timedelta(seconds=2)), "job.retried"),
        (Retry(delay=timedelta(days=99)), replace(RETRIED, run_at=NOW + timedelta(days=99)), "job.retried"),
        (Retry(delay=-2), replace(RETRIED, run_at=NOW), "job.retried"),
        (Snooze(9), Release(id=7, token=99, attempts=2, run_at=NOW + timedelta(seconds=9)), "job.snoozed"),
        (Discard("why"), FAILED, "job.failed"),
        (JobCancelled(), FAILED, "job.cancelled"),
        (
            UnknownJob(),
            Release(
                id=7, token=99, attempts=2, run_at=NOW + timedelta(seconds=20), parked=True, parks=3, last_error="text"
            ),
            "job.parked",
        ),
        (
            JobInterrupted(),
            Release(id=7, token=99, attempts=2, parks=2, keep_announced=True, keep_crashes=True),
            "job.interrupted",
        ),
    ],
)
def test_every_outcome_has_its_ending(error: BaseException | None, ending: object, event: str) -> None:
    """A job at its third attempt of 25."""
    settled = settle(JOB, error, Policy(), NOW, "text")
    assert (settled.ending, settled.event) == (ending, event)


@pytest.mark.parametrize("error", [OSError(), JobTimeout(), Retry(delay=5)])
def test_the_last_attempt_fails(error: BaseException) -> None:
    """The row's own limit goes before the policy's."""
    assert settle(JOB, error, Policy(max_attempts=3), NOW, "text").ending == FAILED
    assert settle(replace(JOB, max_attempts=3), error, Policy(), NOW, "text").ending == FAILED
    assert settle(replace(JOB, max_attempts=9), error, Policy(max_attempts=3), NOW, "text").event == "job.retried"


@pytest.mark.parametrize("error", [Snooze(5), JobInterrupted(), UnknownJob()])
def test_what_is_not_charged_never_fails(error: BaseException) -> None:
    """Also at the last attempt."""
    ending = settle(JOB, error, Policy(max_attempts=3), NOW, "text").ending
    assert isinstance(ending, Release)
    assert (ending.failed, ending.attempts) == (False, 2)


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (OSError(), "job.retried"),
        (ConnectionError(), "job.retried"),
        (KeyError(), "job.failed"),
        (FileNotFoundError(), "job.failed"),
        (JobTimeout(), "job.retried"),
        (Retry(), "job.retried"),
    ],
)
def test_named_errors_decide(error: BaseException, event: str) -> None:
    """``discard_on`` before ``retry_on``; a time-out and a Retry need no naming."""
    policy = Policy(retry_on=(OSError,), discard_on=(FileNotFoundError,))
    assert settle(JOB, error, policy, NOW, "text").event == event


def test_failed_jobs_are_deleted_on_request() -> None:
    """The setting says so."""
    settled = settle(JOB, Discard("why"), Policy(delete_failed=True), NOW, "text")
    assert (settled.ending, settled.event) == (Delete(7, 99, retried=True, failed=True, error="text"), "job.failed")


def test_a_place_that_is_not_kept() -> None:
    """With news, a row that had started is announced again."""
    ending = settle(JOB, JobInterrupted(), Policy(keep_place=False), NOW, None).ending
    assert ending == given_back(JOB, keep_place=False)
    assert isinstance(ending, Release)
    assert not ending.keep_announced


def test_the_default_pauses() -> None:
    """Delayed::Job's formula, and the doubling of parked jobs."""
    assert [default_backoff(attempt) for attempt in (0, 1, 2, 10)] == [5, 6, 21, 10_005]
    assert [park_delay(parks) for parks in (0, 1, 2, 6, 10**9)] == [5, 10, 20, 300, 300]


@given(
    attempts=st.integers(1, 10**6),
    base=st.floats(-1e9, 1e9),
    cap=st.floats(0, 1e7),
    jitter=st.floats(0, 1),
)
def test_a_pause_is_within_its_bounds(attempts: int, base: float, cap: float, jitter: float) -> None:
    """Never negative, never more than the cap and its jitter."""
    policy = Policy(max_attempts=10**7, backoff=lambda _attempt, _now: base, cap=cap, jitter=jitter)
    ending = settle(replace(JOB, attempts=attempts), OSError(), policy, NOW, "text").ending
    assert isinstance(ending, Release)
    assert ending.run_at is not None
    least = min(max(base, 0), cap)
    slack = timedelta(microseconds=2)
    assert timedelta(seconds=least) - slack <= ending.run_at - NOW <= timedelta(seconds=least * (1 + jitter)) + slack


def test_a_cancelled_job_is_kept_where_failed_ones_are_deleted() -> None:
    """A person did that, and may look for it."""
    assert settle(JOB, JobCancelled(), Policy(delete_failed=True), NOW, "text").ending == FAILED
