"""Methods that are always called later: ``@tq.handle_asynchronously`` above a ``def`` (Delayed::Job)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Generic, ParamSpec, Protocol, TypedDict, TypeVar

from tomqueue.definition.delayed import DelayedCall
from tomqueue.definition.options import JobOptions, Options, Overrides, check_option_names
from tomqueue.definition.prepared import NO_OVERRIDES, Prepared
from tomqueue.definition.uniqueness import Rule
from tomqueue.errors import DefinitionError, EnqueueError
from tomqueue.job import Job
from tomqueue.priority import Priority

__all__ = ["Asynchronous", "AsynchronousCall", "AsynchronousOptions", "Delays"]

CallP = ParamSpec("CallP")
P = ParamSpec("P")
R = TypeVar("R")

AT_THE_CALL = ("run_at", "delay", "session", "connection")
"""What is said anew at each call, whether or not it is a callable."""
MAY_BE_ASKED = ("queue", "priority", "expires", "max_attempts")
"""What a callable may say at each call, and else is the declaration's."""
NOT_OF_METHODS = dict.fromkeys(
    set(JobOptions.__annotations__), "{} is for jobs that are functions or classes: call the method from one"
)
EXCLUSIVE = ({"run_at", "delay"}, {"session", "connection"})


class AsynchronousOptions(TypedDict, total=False):
    """The keyword arguments of ``handle_asynchronously``: those of ``@tq.job``, and of one enqueue.

    The ones that may be callables are called at each call, with the object (or the class) as argument.
    """

    run_at: datetime | Callable[[Any], datetime | None] | None
    delay: float | timedelta | Callable[[Any], float | timedelta | None] | None
    session: Callable[[Any], Any] | None
    connection: Callable[[Any], Any] | None
    queue: str | Callable[[Any], str | None] | None
    priority: Priority | str | int | Callable[[Any], Priority | str | int | None] | None
    expires: float | timedelta | Callable[[Any], float | timedelta | None] | None
    max_attempts: int | Callable[[Any], int | None] | None
    max_run_time: float | timedelta | None
    retry_on: tuple[type[BaseException], ...] | None
    discard_on: tuple[type[BaseException], ...]
    backoff: float | Sequence[float] | Callable[[int], float | timedelta] | None
    jitter: float | None
    atomic: bool
    delete_failed_jobs: bool | None
    unique: Rule | None
    unique_until: str | None
    unique_for: float | timedelta | None
    result_ttl: float | timedelta | None
    keep_completed: bool | float | timedelta | None
    redact: tuple[str, ...]
    encrypt: bool | None


class Delays(Protocol):
    """What makes a delayed call of an object's method."""

    def call_of(self, receiver: object, method: str, overrides: Overrides) -> DelayedCall[...]:
        """Return the call of ``method``; ``receiver`` is an object or a class."""


class Asynchronous(Generic[CallP, P, R]):
    """A method whose calls are enqueued; ``without_delay`` calls it here and now.

    ``wrapped`` is the function, classmethod or staticmethod that is under the decorator. Raises DefinitionError.
    """

    def __init__(self, wrapped: Any, delays: Delays, options: dict[str, Any]) -> None:
        if not callable(wrapped) and not isinstance(wrapped, classmethod | staticmethod):
            raise DefinitionError(f"handle_asynchronously stands above a method, not above {wrapped!r}")
        self.wrapped = wrapped
        self.name: str = wrapped.__name__
        self._delays = delays
        above = f"handle_asynchronously above {self.name}"
        check_option_names(above, options, AsynchronousOptions, NOT_OF_METHODS, DefinitionError)
        asked = {name: value for name, value in options.items() if is_asked(name, value)}
        self._asked = asked
        self.options = Options(**{name: value for name, value in options.items() if name not in asked})
        check_fixed({name: value for name, value in asked.items() if not callable(value)}, self.name)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<asynchronous {self.name}>"

    def __get__(self, instance: object | None, owner: type) -> "AsynchronousCall[CallP, P, R]":
        """Return the call for an object, or for the class."""
        receiver = owner if instance is None else instance
        return AsynchronousCall(self.wrapped.__get__(instance, owner), self._delays, receiver, self.name)

    def terms(self, receiver: object, given: Overrides) -> Overrides:
        """Return the terms of one call: what the caller gave, else what the declaration says of ``receiver``."""
        said = {name: getattr(given, name) for name in (*AT_THE_CALL, *MAY_BE_ASKED)}
        taken = {name for name, value in said.items() if value is not None}
        for pair in EXCLUSIVE:
            taken |= pair if taken & pair else set()
        asked = {name: value for name, value in self._asked.items() if name not in taken}
        if not asked:
            return given
        return replace(given, **{name: value(receiver) if callable(value) else value for name, value in asked.items()})


class AsynchronousCall(Generic[CallP, P, R]):
    """A method of one object, whose calls are enqueued."""

    def __init__(self, direct: Callable[CallP, R], delays: Delays, receiver: object, name: str) -> None:
        self.without_delay = direct
        """The method itself, here and now."""
        self._delays = delays
        self._receiver = receiver
        self._name = name

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Enqueue the call and return its job; raises EnqueueError."""
        return self._later()(*args, **kwargs)

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Enqueue the call from asynchronous code."""
        return await self._later().aenqueue(*args, **kwargs)

    def prepare(self, *args: P.args, **kwargs: P.kwargs) -> Prepared:
        """Check the call and return what ``enqueue_many`` takes."""
        return self._later().prepare(*args, **kwargs)

    def _later(self) -> DelayedCall[...]:
        return self._delays.call_of(self._receiver, self._name, NO_OVERRIDES)


def is_asked(name: str, value: object) -> bool:
    """Say whether an option counts at the call, and not at the declaration."""
    return name in AT_THE_CALL or (name in MAY_BE_ASKED and callable(value))


def check_fixed(terms: dict[str, Any], method: str) -> None:
    """Raise DefinitionError for a term that is no callable and cannot work: here, where it is written."""
    try:
        Overrides(**terms)
    except EnqueueError as error:
        raise DefinitionError(f"handle_asynchronously above {method}: {error}") from error
