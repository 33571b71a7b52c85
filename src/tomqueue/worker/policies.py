"""What settings, definition and instance together say about how a job runs and ends."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tomqueue.definition import JobDefinition, Options, said, seconds_of
from tomqueue.errors import DefinitionError
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
    name = type(target).__name__
    if hasattr(target, "max_attempts") and (most := target.max_attempts()) is not None:
        terms["max_attempts"] = number(f"{name}.max_attempts()", most)
    if hasattr(target, "max_run_time") and (longest := target.max_run_time()) is not None:
        terms["max_run_time"] = min(pause(f"{name}.max_run_time()", longest), policy.max_run_time)
    if (delete := said(target, "delete_failed_jobs")) is not None:
        terms["delete_failed"] = bool(delete)
    if hasattr(target, "reschedule_at"):
        terms["backoff"] = lambda attempt, now: (
            moment(f"{name}.reschedule_at()", target.reschedule_at(now, attempt)) - now
        ).total_seconds()
    return terms


def number(what: str, value: object) -> int:
    """Return a whole number that the application gave. Raises DefinitionError."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise DefinitionError(f"{what} returned a value of type {type(value).__name__}: it must be a whole number")
    return value


def pause(what: str, value: object) -> float:
    """Return a duration that the application gave, in seconds. Raises DefinitionError."""
    if isinstance(value, bool) or not isinstance(value, int | float | timedelta):
        kind = type(value).__name__
        raise DefinitionError(f"{what} returned a value of type {kind}: it must be seconds or a timedelta")
    return seconds_of(value)


def moment(what: str, value: object) -> datetime:
    """Return a time that the application gave. Raises DefinitionError."""
    if not isinstance(value, datetime):
        raise DefinitionError(f"{what} returned a value of type {type(value).__name__}: it must be a datetime")
    if value.utcoffset() is None:
        raise DefinitionError(f"{what} returned a time without a zone: add to the one that it is given, or use UTC")
    return value


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
        return lambda attempt, _now: pause("backoff", backoff(attempt))
    if isinstance(backoff, Sequence):
        return lambda attempt, _now: seconds_of(backoff[min(attempt, len(backoff)) - 1])
    always = seconds_of(backoff)
    return lambda _attempt, _now: always
