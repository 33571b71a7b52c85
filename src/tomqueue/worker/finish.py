"""How a job ends: one table that turns (row, outcome, now) into the row's next state. Pure."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tomqueue.errors import Discard, Interruption, JobCancelled, JobInterrupted, Parked, Retry, Snooze
from tomqueue.job import Claimed
from tomqueue.store.base import Delete, Ending, Release
from tomqueue.store.parked import LONGEST_PARK

__all__ = ["Policy", "Settled", "default_backoff", "park_delay", "settle"]


def default_backoff(attempt: int) -> float:
    """Return the seconds before the next attempt after ``attempt`` attempts (Delayed::Job: ``attempts**4 + 5``)."""
    return attempt * attempt * attempt * attempt + 5.0


def park_delay(parks: int) -> float:
    """Return the seconds until a parked job is offered again: 5, 10, 20, … at most five minutes."""
    return min(5.0 * 2.0 ** min(parks, 10), LONGEST_PARK.total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a definition says about how its jobs end."""

    max_attempts: int = 25
    max_run_time: float = 4 * 3600.0
    retry_on: tuple[type[BaseException], ...] | None = None
    discard_on: tuple[type[BaseException], ...] = ()
    backoff: Callable[[int, datetime], float] = lambda attempt, _now: default_backoff(attempt)
    """Seconds before the next attempt, of the attempts so far and the database's time."""
    cap: float = 7 * 86400.0
    jitter: float = 0.0
    delete_failed: bool = False
    keep_place: bool = True
    """Whether a row that is given back keeps its stamp, and with it its place in the line."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The ending of a row, and the event that tells of it."""

    ending: Ending
    event: str


def settle(job: Claimed, error: BaseException | None, policy: Policy, now: datetime, text: str | None) -> Settled:
    """Decide what becomes of ``job`` after it ended with ``error`` (None: it succeeded). ``text`` is what is kept."""
    if error is None:
        return Settled(Delete(job.id, job.token, job.tied, job.attempts > 1), "job.finished")
    refunded = job.attempts - 1
    if isinstance(error, Parked):
        later = now + timedelta(seconds=park_delay(job.parks))
        parked = release(job, refunded, run_at=later, parked=True, parks=job.parks + 1, last_error=text)
        return Settled(parked, "job.parked")
    if isinstance(error, JobInterrupted):
        return Settled(given_back(job, keep_place=policy.keep_place), "job.interrupted")
    if isinstance(error, JobCancelled):  # kept whatever the policy says: a person did that, and may look for it
        return Settled(release(job, job.attempts, failed=True, last_error=text), "job.cancelled")
    if isinstance(error, Snooze):
        later = now + seconds(error.delay)
        return Settled(release(job, refunded, run_at=later), "job.snoozed")
    if is_final(job, error, policy):
        return Settled(failed(job, policy, text), "job.failed")
    later = now + pause(job, error, policy, now)
    return Settled(release(job, job.attempts, run_at=later, last_error=text), "job.retried")


def release(job: Claimed, attempts: int, **terms: Any) -> Release:
    """Return the ending of a row that stays, with so many attempts counted."""
    return Release(id=job.id, token=job.token, tied=job.tied, attempts=attempts, **terms)


def given_back(job: Claimed, *, keep_place: bool) -> Release:
    """Return the ending of a job that did not run, or was cut short by a drain: uncharged, as if never claimed."""
    return release(job, job.attempts - 1, parks=job.parks, keep_announced=keep_place, keep_crashes=True)


def is_final(job: Claimed, error: BaseException, policy: Policy) -> bool:
    """Say whether the job fails for good."""
    most = policy.max_attempts if job.max_attempts is None else job.max_attempts
    if isinstance(error, (Discard, *policy.discard_on)) or job.attempts >= most:
        return True
    if isinstance(error, Retry | Interruption) or policy.retry_on is None:
        return False
    return not isinstance(error, policy.retry_on)


def failed(job: Claimed, policy: Policy, text: str | None) -> Ending:
    """Return the ending of a job that will not run again."""
    if policy.delete_failed:
        return Delete(job.id, job.token, job.tied, job.attempts > 1, failed=True, error=text)
    return release(job, job.attempts, failed=True, last_error=text)


def pause(job: Claimed, error: BaseException, policy: Policy, now: datetime) -> timedelta:
    """Return how long to wait before the next attempt: what Retry said, else the back-off, capped, with jitter."""
    if isinstance(error, Retry) and error.delay is not None:
        return seconds(error.delay)
    base = min(max(policy.backoff(job.attempts, now), 0.0), policy.cap)
    return timedelta(seconds=base * (1 + random.uniform(0, policy.jitter)))  # noqa: S311 - jitter, no secret


def seconds(delay: float | timedelta) -> timedelta:
    """Return a delay as a timedelta that is not negative."""
    delay = delay if isinstance(delay, timedelta) else timedelta(seconds=delay)
    return max(delay, timedelta())
