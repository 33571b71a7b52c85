"""How many jobs run at once, how often, and whose turn it is: what a declaration says, and the key of a call. Pure."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from tomqueue.definition.options import Options, number_problem
from tomqueue.errors import DefinitionError, EnqueueError

__all__ = [
    "FAIR",
    "LONGEST_KEY",
    "Counted",
    "Limit",
    "Limiting",
    "concurrency_problem",
    "limiting_of",
    "name_of_key",
    "rate_interval",
]

MOST_AT_ONCE = 1_000_000
MOST_OFTEN = 1000.0
"""Starts a second: each has a moment of its own, and a transaction lets in those of the next seconds."""
UNITS = {
    "s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600, "d": 86400, "day": 86400,
}  # fmt: skip
RATE = re.compile(r"\s*(\d{1,9})\s*/\s*([a-z]+)\s*")
LONGEST_KEY = 200
"""Characters: as long as its column."""
FAIR = "/fair"
"""What follows a queue's name in the name of its fair sharing; the name of a job has no such letter."""
KEYS = ("concurrency_key", "rate_key", "fair_key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What a job's declaration allows, for each of its keys: so many at once, one start in so long a time."""

    name: str
    """The job's."""
    concurrency: int | None = None
    every: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a call counts in: a limit, or without one the fair sharing of its queue; and its key there."""

    job_name: str
    limit: Limit | None
    key: str | None = field(repr=False)

    def limit_key(self, queue: str) -> str:
        """Return what the row holds. Raises EnqueueError for what is too long."""
        name = f"{queue}{FAIR}" if self.limit is None else self.limit.name
        whole = name if self.key is None else f"{name}:{self.key}"
        if len(whole) > LONGEST_KEY:
            raise EnqueueError(
                f"{self.job_name}: the key of its limit, with the name {name!r}, has {len(whole)} characters, and "
                f"{LONGEST_KEY} are the most: use a shorter one, such as an id or a digest"
            )
        return whole


class Limiting:
    """A declaration's limit or fair sharing: says what a call counts in.

    No message of one that ``is_discreet`` quotes a value.
    """

    def __init__(
        self, job_name: str, limit: Limit | None, option: str | None, key: Any, *, is_discreet: bool = False
    ) -> None:
        self.limit = limit
        self._job_name = job_name
        self._option = option
        self._is_discreet = is_discreet
        self._key: Callable[..., Any] | None = key
        self._takes = () if key is None else tuple(inspect.signature(key).parameters)

    def counted(self, values: Callable[[], Mapping[str, Any]]) -> Counted:
        """Return what the call with these arguments, by name, counts in. Raises EnqueueError."""
        return Counted(
            job_name=self._job_name, limit=self.limit, key=None if self._key is None else self._ask(values())
        )

    def _ask(self, values: Mapping[str, Any]) -> str:
        assert self._key is not None
        try:
            said = self._key(**{name: values[name] for name in self._takes if name in values})
        except Exception as error:
            what = f"{self._job_name}: {self._option} raised {type(error).__name__}"
            if self._is_discreet:
                raise EnqueueError(what) from None
            raise EnqueueError(f"{what}: {error}") from error
        key: object = str(said) if isinstance(said, int | UUID) else said
        if not isinstance(key, str) or not key or key != key.strip() or not key.isprintable():
            returned = f"a value of type {type(said).__name__}" if self._is_discreet else repr(said)
            raise EnqueueError(
                f"{self._job_name}: {self._option} returned {returned}, and a key is a number, a UUID, or printable "
                "text without space around it"
            )
        return key


def limiting_of(job_name: str, options: Options, parameters: Mapping[str, inspect.Parameter]) -> Limiting | None:
    """Return the limit that a declaration says, if any; raise DefinitionError that names what cannot work."""
    every = None
    problems = {"concurrency": concurrency_problem(options.concurrency)}
    if options.rate is not None:
        try:
            every = rate_interval(options.rate)
        except ValueError as error:
            problems["rate"] = str(error)
    problems |= {name: key_problem(getattr(options, name), parameters) for name in KEYS}
    for option, problem in problems.items():
        if problem:
            raise DefinitionError(f"{job_name}: {option}={getattr(options, option)!r} {problem}")
    if conflict := conflict_of(options):
        raise DefinitionError(f"{job_name}: {conflict}")
    keyed = next((name for name in KEYS if getattr(options, name) is not None), None)
    key = None if keyed is None else getattr(options, keyed)
    if options.concurrency is None and every is None:
        return None if key is None else Limiting(job_name, None, keyed, key, is_discreet=options.secrecy.discreet)
    limit = Limit(name=job_name, concurrency=options.concurrency, every=every)
    return Limiting(job_name, limit, keyed, key, is_discreet=options.secrecy.discreet)


def concurrency_problem(concurrency: object) -> str:
    """Say why so many jobs cannot run at once; empty if they can, or for None."""
    return number_problem(concurrency, least=1, most=MOST_AT_ONCE, whole=True)


def conflict_of(options: Options) -> str:
    """Say which options do not go together; empty if all do."""
    if options.fair_key is not None and not (options.concurrency is None and options.rate is None):
        return (
            "fair_key shares a queue, and concurrency or rate limits a job: a job has one of them; a concurrency_key "
            "for each tenant is fair by itself"
        )
    if options.concurrency_key is not None and options.concurrency is None:
        cure = "for a rate it is called rate_key" if options.rate is not None else "say how many: concurrency=1"
        return f"concurrency_key without concurrency: {cure}"
    if options.rate_key is not None and options.rate is None:
        return "rate_key without rate: say how often, such as rate='100/min'"
    if options.rate_key is not None and options.concurrency is not None:
        return "concurrency and rate of one job count by the same key: give it as concurrency_key"
    return ""


def rate_interval(rate: object) -> timedelta:
    """Return the time between two starts that a rate such as ``100/min`` means; raise ValueError for what is none."""
    found = RATE.fullmatch(rate) if isinstance(rate, str) else None
    if found is None or found[2] not in UNITS:
        raise ValueError("is no rate: it looks like 10/s, 100/min, 1000/h or 5000/day")
    count, seconds = int(found[1]), UNITS[found[2]]
    if count == 0:
        raise ValueError("lets no job start: it must be at least 1")
    if count > MOST_OFTEN * seconds:
        raise ValueError(f"is more than {MOST_OFTEN:,.0f} a second, which is the most")
    return timedelta(seconds=seconds) / count


def key_problem(key: object, parameters: Mapping[str, inspect.Parameter]) -> str:
    """Say why ``key`` gives no key of a call; empty if it does, or is None."""
    if key is None:
        return ""
    if not callable(key):
        return "must be a function of the job's arguments, such as lambda account_id: account_id"
    try:
        takes = inspect.signature(key).parameters.values()
    except (TypeError, ValueError):
        return "must be a function whose parameters can be seen: write a lambda"
    for one in takes:
        if one.kind not in {one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY}:
            return f"takes {one}: it is called with arguments of the job by their names"
        if one.name not in parameters and one.default is one.empty:
            known = ", ".join(parameters) or "no parameters"
            return f"takes {one.name!r}, and the job has {known}"
    return ""


def name_of_key(limit_key: str) -> str:
    """Return the name of the limit that a row's key counts in."""
    return limit_key.partition(":")[0]
