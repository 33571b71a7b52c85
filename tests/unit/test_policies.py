"""What settings, definition, instance and row together say."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tomqueue.definition import Loaded, Options
from tomqueue.errors import DefinitionError
from tomqueue.job import Claimed
from tomqueue.payload import ReturnCodec
from tomqueue.redaction import Path
from tomqueue.settings import Settings
from tomqueue.worker.finish import Policy
from tomqueue.worker.policies import Policies, backoff_of

NOW = datetime(2030, 1, 1, tzinfo=UTC)
JOB = Claimed(7, "default", 1, "job", "{}", 1, None, NOW, NOW, None, 0, suspect=False, meta=None, tied=False, token=1)


class Declared:
    """A definition that has options only."""

    name = place = "job"
    is_async = wants_context = False
    result: ReturnCodec | None = None
    redacted: tuple[Path, ...] = ()

    def __init__(self, **options: Any) -> None:
        self.options = Options(**options)

    def load(self, payload: str) -> Loaded:
        raise NotImplementedError


def policy_of(definition: Declared, target: object = None, job: Claimed = JOB, **settings: Any) -> Policy:
    """Return the policy of a job."""
    return Policies(Settings(**settings), keep_place=True).of(definition, target, job)


def test_the_settings_are_the_default() -> None:
    """Where nobody says anything else."""
    policy = policy_of(Declared(), max_attempts=3, max_run_time=60.0, backoff_cap=9.0, backoff_jitter=0.5)
    assert (policy.max_attempts, policy.max_run_time, policy.cap, policy.jitter) == (3, 60, 9, 0.5)
    assert (policy.retry_on, policy.discard_on, policy.delete_failed) == (None, (), False)
    assert policy.backoff(2, NOW) == 21


def test_the_definition_goes_before_the_settings() -> None:
    """Its run time may only be lower; no jitter is a jitter, too."""
    declared = Declared(max_attempts=2, max_run_time=timedelta(minutes=1), jitter=0.0, retry_on=(), backoff=7)
    policy = policy_of(declared, backoff_jitter=0.5)
    assert (policy.max_attempts, policy.max_run_time, policy.jitter, policy.retry_on) == (2, 60, 0, ())
    assert policy.backoff(9, NOW) == 7
    assert policy_of(declared, max_run_time=5.0).max_run_time == 5


class Wrong:
    """An instance whose methods give what they must not."""

    def __init__(self, **gives: Any) -> None:
        for name, value in gives.items():
            setattr(self, name, lambda *_given, value=value: value)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (Wrong(max_attempts="3"), r"Wrong.max_attempts\(\) returned a value of type str: it must be a whole number"),
        (Wrong(max_run_time="1h"), r"Wrong.max_run_time\(\) .* of type str: it must be seconds or a timedelta"),
        (Wrong(reschedule_at=5), r"Wrong.reschedule_at\(\) .* of type int: it must be a datetime"),
        (Wrong(reschedule_at=datetime(2030, 1, 1)), r"Wrong.reschedule_at\(\) returned a time without a zone"),  # noqa: DTZ001
    ],
)
def test_a_method_that_gives_what_it_must_not_is_named(target: Wrong, told: str) -> None:
    """In the job's error: the traceback ends in code that is not the application's."""
    with pytest.raises(DefinitionError, match=told):
        policy_of(Declared(), target).backoff(1, NOW)


def test_a_backoff_that_gives_nothing_is_named() -> None:
    """A function that forgets its return, for example."""
    with pytest.raises(DefinitionError, match="backoff returned a value of type NoneType"):
        policy_of(Declared(backoff=lambda _attempt: None)).backoff(1, NOW)


def test_the_instance_goes_before_the_definition() -> None:
    """By its methods; the run time is lowered only, and None says nothing."""

    class Target:
        def max_attempts(self) -> int:
            return 4

        def max_run_time(self) -> timedelta:
            return timedelta(seconds=30)

        def reschedule_at(self, now: datetime, attempt: int) -> datetime:
            return now + timedelta(minutes=attempt)

    policy = policy_of(Declared(max_attempts=2, max_run_time=60), Target())
    assert (policy.max_attempts, policy.max_run_time, policy.backoff(3, NOW)) == (4, 30, 180)
    assert policy_of(Declared(max_run_time=10), Target()).max_run_time == 10

    class Silent:
        def max_attempts(self) -> None: ...
        def max_run_time(self) -> None: ...

    policy = policy_of(Declared(max_attempts=2, max_run_time=60), Silent())
    assert (policy.max_attempts, policy.max_run_time) == (2, 60)


def test_the_row_goes_before_all() -> None:
    """What was said at the enqueue counts."""

    class Target:
        def max_attempts(self) -> int:
            return 4

    assert policy_of(Declared(max_attempts=2), Target(), replace(JOB, max_attempts=9)).max_attempts == 9


@pytest.mark.parametrize(
    ("backoff", "pauses"),
    [
        (None, [6, 21, 86]),
        (8, [8, 8, 8]),
        (timedelta(minutes=1), [60, 60, 60]),
        ([1, timedelta(seconds=2)], [1, 2, 2]),
        (lambda attempt: timedelta(seconds=attempt), [1, 2, 3]),
    ],
)
def test_backoffs(backoff: Any, pauses: list[float]) -> None:
    """A number, a list, a callable, or Delayed::Job's formula."""
    pause = backoff_of(backoff)
    assert [pause(attempt, NOW) for attempt in (1, 2, 3)] == pauses
