"""What settings, definition and instance together say about how a job runs and ends."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tomqueue.definition import JobDefinition, Options, said, seconds_of
from tomqueue.job import Claimed
from tomqueue.settings import Settings
from tomqueue.worker.finish import Policy, default_backoff

__all__ = ["Policies"]


class Policies:
    """Makes the Policy of an attempt; that of a definition is made once."""

    def __init__(self, settings: Settings, *, keep_place: bool) -> None:
        self._settings = settings
        self._keep_place = keep_place
        self._known: dict[JobDefinition, Policy] = {}

    def of(self, definition: JobDefinition, target: object | None, job: Claimed) -> Policy:
        """Return how ``job`` may run and end; the row's own ``max_attempts`` goes first, then the instance's."""
        policy = self._known.get(definition)
        if policy is None:
            policy = self._known[definition] = self._of_definition(definition.options)
        if target is not None:
            policy = replace(policy, **said_by(target, policy))
        if job.max_attempts is not None:
            policy = replace(policy, max_attempts=job.max_attempts)
        return policy

    def _of_definition(self, options: Options) -> Policy:
        settings = self._settings
        longest = settings.max_run_time
        wanted = longest if options.max_run_time is None else seconds_of(options.max_run_time)
        return Policy(
            max_attempts=options.max_attempts or settings.max_attempts,
            max_run_time=min(wanted, longest),
            retry_on=options.retry_on,
            discard_on=options.discard_on,
            backoff=backoff_of(options.backoff),
            cap=settings.backoff_cap,
            jitter=settings.backoff_jitter if options.jitter is None else options.jitter,
            delete_failed=first_said(options.delete_failed_jobs, settings.delete_failed_jobs),
            keep_place=self._keep_place,
        )


def said_by(target: Any, policy: Policy) -> dict[str, Any]:
    """Return what the methods of a class job say: max_attempts, max_run_time, reschedule_at, delete_failed_jobs.

    One that returns None says nothing. The names are Delayed::Job's, whose last one is ``destroy_failed_jobs?``.
    """
    terms: dict[str, Any] = {}
    if hasattr(target, "max_attempts") and (most := target.max_attempts()) is not None:
        terms["max_attempts"] = most
    if hasattr(target, "max_run_time") and (longest := target.max_run_time()) is not None:
        terms["max_run_time"] = min(seconds_of(longest), policy.max_run_time)
    if (delete := said(target, "delete_failed_jobs")) is not None:
        terms["delete_failed"] = bool(delete)
    if hasattr(target, "reschedule_at"):
        terms["backoff"] = lambda attempt, now: (target.reschedule_at(now, attempt) - now).total_seconds()
    return terms


def first_said(own: bool | None, usual: bool) -> bool:
    """Return what a job says itself, else what is usual."""
    return usual if own is None else own


def backoff_of(
    backoff: float | timedelta | Sequence[float] | Callable[[int], float | timedelta] | None,
) -> Callable[[int, datetime], float]:
    """Return the pause of an option: always the same, one for each attempt (the last repeats), or computed."""
    if backoff is None:
        return lambda attempt, _now: default_backoff(attempt)
    if callable(backoff):
        return lambda attempt, _now: seconds_of(backoff(attempt))
    if isinstance(backoff, Sequence):
        return lambda attempt, _now: seconds_of(backoff[min(attempt, len(backoff)) - 1])
    pause = seconds_of(backoff)
    return lambda _attempt, _now: pause
