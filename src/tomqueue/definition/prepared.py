"""A call on its way to a row (Prepared), and a row on its way to a call (Loaded)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from tomqueue.definition.limit import Counted, Limiting
from tomqueue.definition.options import Options, Overrides
from tomqueue.definition.schedule import Schedule, Tick
from tomqueue.job import Job, Unique
from tomqueue.payload import ReturnCodec
from tomqueue.redaction import Path

__all__ = ["NO_OVERRIDES", "Enqueuer", "JobDefinition", "Loaded", "NamedDefinition", "Prepared"]

NO_OVERRIDES = Overrides()


@dataclass(slots=True, kw_only=True)
class Loaded:
    """A job that was read from its row and can be run.

    ``target`` is the instance whose hooks count; a function has none.
    """

    call: Callable[..., Any] = field(repr=False)
    args: list[Any] = field(default_factory=list, repr=False)
    kwargs: dict[str, Any] = field(default_factory=dict, repr=False)
    wants_context: bool
    target: object | None = field(default=None, repr=False)

    def run(self, context: object) -> Any:
        """Call the job, with ``context`` first if it wants it; an async job returns its coroutine."""
        if self.wants_context:
            return self.call(context, *self.args, **self.kwargs)
        return self.call(*self.args, **self.kwargs)


class JobDefinition(Protocol):
    """What functions, classes and methods have in common once they are declared as jobs."""

    name: str
    options: Options
    is_async: bool
    wants_context: bool
    result: ReturnCodec | None
    """How what it returns is kept as a result; None where it is not."""
    place: str
    """Where it is declared, for messages: module and qualified name."""

    @property
    def redacted(self) -> tuple[Path, ...]:
        """What of a payload is not to be shown; asked only where ``options.redact`` names something."""

    def load(self, payload: str) -> Loaded:
        """Return the job of a stored payload; raises UnreadableArguments."""


class NamedDefinition(JobDefinition, Protocol):
    """A job with a declaration of its own, which may say that it is periodic: a function or a class, not a method."""

    schedule: Schedule | None
    """When it is enqueued by itself; None for a job that is not periodic."""
    limiting: Limiting | None
    """What its calls count in, if anything."""

    def without_arguments(self) -> "Prepared":
        """Return what a tick enqueues: a call without arguments, or an instance made without any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A call that was checked and can be enqueued, alone or by ``enqueue_many``.

    ``instance`` is the object itself when the job is a class, for its ``enqueue`` hook. ``tick`` is what a
    periodic job is enqueued for. ``unique`` is the key that the job is to hold.
    """

    definition: JobDefinition
    payload: str = field(repr=False)
    overrides: Overrides = NO_OVERRIDES
    instance: object | None = field(default=None, repr=False)
    tick: Tick | None = None
    unique: Unique | None = None
    counted: Counted | None = None
    """What it counts in, where its job is limited."""


class Enqueuer(Protocol):
    """What turns a prepared call into a row."""

    def enqueue(self, prepared: Prepared) -> Job:
        """Insert the job and return it."""

    async def aenqueue(self, prepared: Prepared) -> Job:
        """Insert the job from asynchronous code and return it."""
