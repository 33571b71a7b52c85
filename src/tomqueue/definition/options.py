"""What can be said about a job: options at its declaration, overrides at one enqueue."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any, TypedDict

from tomqueue.definition.uniqueness import Rule, unique_problem, until_problem
from tomqueue.errors import DefinitionError, EnqueueError, SettingsError, TomQueueError
from tomqueue.payload import Secrecy
from tomqueue.priority import Priority
from tomqueue.settings import check_name
from tomqueue.times import CENTURY

__all__ = [
    "CallersOptions",
    "JobOptions",
    "Options",
    "OverrideOptions",
    "Overrides",
    "check_option_names",
    "checked_name",
    "number_problem",
    "seconds_of",
]

MILLISECOND = 0.001
MOST_ATTEMPTS = 2**31 - 1
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9001, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of ``@tq.job``. None means: as the queue or the settings say. Durations are in seconds."""

    queue: str | None = None
    priority: Priority | str | int | None = None
    max_attempts: int | None = None
    max_run_time: float | timedelta | None = None
    """Longest run; it can only lower the setting of the same name (Delayed::Job)."""
    retry_on: tuple[type[BaseException], ...] | None = None
    """Only these are retried, any other fails the job for good; None retries every Exception."""
    discard_on: tuple[type[BaseException], ...] = ()
    """These fail the job for good at once, also when ``retry_on`` names them."""
    backoff: float | Sequence[float] | Callable[[int], float | timedelta] | None = None
    """Pause before the next attempt: always the same, one per attempt (the last repeats), or computed."""
    jitter: float | None = None
    """Share of the pause that is drawn at random on top of it, 0 to 1."""
    expires: float | timedelta | None = None
    """A job that has not started this long after it was due is failed as expired."""
    atomic: bool = False
    """The job's own database writes and its finish commit in one transaction."""
    cron: str | None = None
    """Enqueue it at these times: minute, hour, day of the month, month, day of the week."""
    timezone: str | None = None
    """The time zone of ``cron``; None is UTC."""
    every: float | timedelta | None = None
    """Enqueue it once in so long, from the first start of a worker that knows it."""
    misfire: str | None = None
    """What becomes of ticks that were missed: ``skip``, ``once`` (None) or ``all``."""
    delete_failed_jobs: bool | None = None
    """Whether a worker deletes the job when it fails for good (Delayed::Job), or keeps it."""
    unique: Rule | None = None
    """At most one job of this name holds a key: a str, True for the arguments, or a callable of the arguments."""
    unique_until: str | None = None
    """Until when the key is held: ``start`` (None), when a worker takes the job, or ``finish``, when it has ended."""
    unique_for: float | timedelta | None = None
    """How long the key is held at most, from the enqueue on."""
    concurrency: int | None = None
    """So many run at once in the whole cluster, of the job or of each key."""
    concurrency_key: Callable[..., Any] | None = None
    """The key of a call, of its arguments by their names: ``lambda account_id: account_id``. Also that of ``rate``."""
    rate: str | None = None
    """So many start in a time, evenly spread: ``10/s``, ``100/min``, ``1000/h``, ``5000/day``."""
    rate_key: Callable[..., Any] | None = None
    """The key of a call where there is a rate only."""
    fair_key: Callable[..., Any] | None = None
    """The tenant of a call: tenants take turns in the queue, however many jobs each has waiting."""
    result_ttl: float | timedelta | None = None
    """How long what it returned can be asked for; None: its result is not kept."""
    keep_completed: bool | float | timedelta | None = None
    """How long its history is kept once it has succeeded: True is for good; None as the settings say."""
    redact: tuple[str, ...] = ()
    """Arguments or fields that are never shown; ``user.email`` is a field of an argument."""
    encrypt: bool | None = None
    """Whether the database keeps the arguments encrypted; needs ``encryption_keys``."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Options":
        """Return the options of a declaration. Raises DefinitionError for a name that is none."""
        check_option_names("@tq.job", given, JobOptions, AT_THE_ENQUEUE, DefinitionError)
        return cls(**given)

    @property
    def secrecy(self) -> Secrecy:
        """What is not to be shown of the arguments."""
        return Secrecy(tuple(self.redact), discreet=bool(self.redact or self.encrypt))

    def check(self, job_name: str) -> None:
        """Raise DefinitionError that names the job and the first option that cannot work."""
        limits = {
            "max_attempts": number_problem(self.max_attempts, least=1, most=MOST_ATTEMPTS, whole=True),
            "max_run_time": number_problem(self.max_run_time, least=MILLISECOND),
            "retry_on": exceptions_problem(self.retry_on),
            "discard_on": exceptions_problem(self.discard_on),
            "backoff": backoff_problem(self.backoff),
            "jitter": number_problem(self.jitter, least=0, most=1),
            "expires": number_problem(self.expires, least=MILLISECOND),
            "priority": priority_problem(self.priority),
            "delete_failed_jobs": flag_problem(self.delete_failed_jobs),
            **unique_problems(self),
            "result_ttl": number_problem(self.result_ttl, least=MILLISECOND),
            "keep_completed": keeping_problem(self.keep_completed),
            "redact": names_problem(self.redact),
            "encrypt": flag_problem(self.encrypt),
        }
        for option, problem in limits.items():
            if problem:
                raise DefinitionError(f"{job_name}: {option}={getattr(self, option)!r} {problem}")
        if self.queue is not None:
            checked_name(f"{job_name}: queue", self.queue, DefinitionError)


class JobOptions(TypedDict, total=False):
    """The keyword arguments of ``@tq.job``; see Options."""

    queue: str | None
    priority: Priority | str | int | None
    max_attempts: int | None
    max_run_time: float | timedelta | None
    retry_on: tuple[type[BaseException], ...] | None
    discard_on: tuple[type[BaseException], ...]
    backoff: float | Sequence[float] | Callable[[int], float | timedelta] | None
    jitter: float | None
    expires: float | timedelta | None
    atomic: bool
    cron: str | None
    timezone: str | None
    every: float | timedelta | None
    misfire: str | None
    delete_failed_jobs: bool | None
    unique: Rule | None
    unique_until: str | None
    unique_for: float | timedelta | None
    concurrency: int | None
    concurrency_key: Callable[..., Any] | None
    rate: str | None
    rate_key: Callable[..., Any] | None
    fair_key: Callable[..., Any] | None
    result_ttl: float | timedelta | None
    keep_completed: bool | float | timedelta | None
    redact: tuple[str, ...]
    encrypt: bool | None


class CallersOptions(TypedDict, total=False):
    """The keyword arguments that name the caller's own transaction; see Overrides."""

    session: Any
    connection: Any


class OverrideOptions(TypedDict, total=False):
    """The keyword arguments of ``using``; see Overrides."""

    run_at: datetime | None
    delay: float | timedelta | None
    priority: Priority | str | int | None
    queue: str | None
    max_attempts: int | None
    expires: float | timedelta | None
    unique: Rule | None
    unique_until: str | None
    unique_for: float | timedelta | None
    session: Any
    connection: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What one enqueue says differently from the declaration; raises EnqueueError for what cannot work.

    ``run_at`` needs a time zone. ``delay`` (seconds or timedelta) is counted on the database's clock; a
    negative one means now. ``session`` or ``connection`` enqueues in the caller's own transaction. ``unique=False`` is
    not unique whatever the declaration says.
    """

    run_at: datetime | None = None
    delay: float | timedelta | None = None
    priority: Priority | str | int | None = None
    queue: str | None = None
    max_attempts: int | None = None
    expires: float | timedelta | None = None
    unique: Rule | None = None
    unique_until: str | None = None
    unique_for: float | timedelta | None = None
    session: Any = None
    connection: Any = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Overrides":
        """Return the terms of one enqueue. Raises EnqueueError for a name that is none, and as the class does."""
        check_option_names("an enqueue", given, OverrideOptions, AT_THE_DECLARATION, EnqueueError)
        return cls(**given)

    def __post_init__(self) -> None:
        limits = {
            "run_at": run_at_problem(self.run_at),
            "delay": number_problem(self.delay, least=-CENTURY),
            "max_attempts": number_problem(self.max_attempts, least=1, most=MOST_ATTEMPTS, whole=True),
            "expires": number_problem(self.expires, least=MILLISECOND),
            **unique_problems(self),
        }
        for option, problem in limits.items():
            if problem:
                raise EnqueueError(f"{option}={getattr(self, option)!s} {problem}")
        for one, other in (("run_at", "delay"), ("session", "connection")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise EnqueueError(f"{one} and {other} are both given: give one of them")
        if self.queue is not None:
            checked_name("queue", self.queue, EnqueueError)

    @property
    def delay_seconds(self) -> float | None:
        """The delay in seconds, never negative; None when none was given."""
        return None if self.delay is None else max(0.0, seconds_of(self.delay))


AT_THE_ENQUEUE = dict.fromkeys(
    set(OverrideOptions.__annotations__) - set(JobOptions.__annotations__), "say it at the enqueue: using({}=…)"
)
AT_THE_DECLARATION = dict.fromkeys(
    set(JobOptions.__annotations__) - set(OverrideOptions.__annotations__), "say it at the declaration: @tq.job({}=…)"
)


def check_option_names(
    what: str, given: Iterable[str], known: type, elsewhere: Mapping[str, str], error: type[TomQueueError]
) -> None:
    """Raise ``error`` for an option that there is not here, with where it belongs or what was probably meant."""
    names = list(known.__annotations__)
    for name in given:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
            raise error(f"{what}: no option is called {name!r}: {elsewhere.get(name, meant).format(name)}")


def seconds_of(duration: float | timedelta) -> float:
    """Return a duration (seconds or timedelta) in seconds."""
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


def checked_name(what: str, value: str, error: type[TomQueueError]) -> str:
    """Return ``value`` if it can name a queue or a job; raise ``error`` otherwise."""
    if not isinstance(value, str):
        raise error(f"{what}={value!r} must be a str")
    try:
        return check_name(what, value)
    except SettingsError as cause:
        raise error(str(cause)) from cause


def number_problem(value: object, *, least: float, most: float = CENTURY, whole: bool = False) -> str:
    """Say why ``value`` is no number or duration between ``least`` and ``most``; empty if it is, or is None."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float | timedelta):
        return "must be a whole number" if whole else "must be a number (seconds) or a timedelta"
    amount = value.total_seconds() if isinstance(value, timedelta) else value
    # NaN compares false with everything, so it is refused here as well.
    return "" if least <= amount <= most else f"must be between {least:.10g} and {most:.10g}"


def unique_problems(terms: Options | Overrides) -> dict[str, str]:
    """Say by option why a job cannot be unique so; empty for each that it can."""
    return {
        "unique": unique_problem(terms.unique),
        "unique_until": until_problem(terms.unique_until),
        "unique_for": number_problem(terms.unique_for, least=MILLISECOND),
    }


def exceptions_problem(value: object) -> str:
    """Say why ``value`` is no tuple of exception classes; empty if it is, or is None."""
    if value is None or (isinstance(value, tuple) and all(map(is_exception, value))):
        return ""
    return "must be a tuple of exception classes, such as (OSError, TimeoutError)"


def is_exception(value: object) -> bool:
    """Whether ``value`` is a class that can be raised."""
    return isinstance(value, type) and issubclass(value, BaseException)


def backoff_problem(value: object) -> str:
    """Say why ``value`` gives no pauses between attempts; empty if it does, or is None."""
    if callable(value):
        return ""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return number_problem(value, least=0)
    if not value:
        return "must hold at least one pause"
    problems = ("must be a number" if pause is None else number_problem(pause, least=0) for pause in value)
    return next((f"has a pause that {problem}" for problem in problems if problem), "")


def priority_problem(value: object) -> str:
    """Say why ``value`` is no priority; empty if it is, or is None, or an int (which goes through the map)."""
    if value is None or isinstance(value, int) or value in tuple(Priority):
        return ""
    return f"is unknown: use one of {', '.join(Priority)}, or map a number"


def flag_problem(value: object) -> str:
    """Say why ``value`` is neither yes nor no; empty if it is, or is None."""
    return "" if value is None or isinstance(value, bool) else "must be True or False"


def names_problem(value: object) -> str:
    """Say why ``value`` is no tuple of names; empty if it is."""
    if isinstance(value, tuple) and all(isinstance(name, str) and all(name.split(".")) for name in value):
        return ""
    return "must be a tuple of names, such as ('password', 'user.email')"


def keeping_problem(value: object) -> str:
    """Say why nothing can be kept for ``value``; empty if it is a duration, yes, no, or None."""
    if value is None or isinstance(value, bool):
        return ""
    return number_problem(value, least=MILLISECOND) and "must be True, False, or how long: seconds or a timedelta"


def run_at_problem(value: object) -> str:
    """Say why a job cannot run at ``value``; empty if it can, or is None."""
    if value is None:
        return ""
    if not isinstance(value, datetime):
        return "must be a datetime"
    if value.utcoffset() is None:
        return "has no time zone: use datetime.now(UTC) + timedelta(...), or delay="
    return "" if EARLIEST <= value < LATEST else "is out of range: from 1970 to 9000"
