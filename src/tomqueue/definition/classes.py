"""Jobs that are classes, as in Delayed::Job: an instance is the arguments, ``process`` the work."""

import dataclasses
import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec

from tomqueue.definition.inspection import colour_of, name_of, place_of, result_of, wants_context
from tomqueue.definition.limit import limiting_of
from tomqueue.definition.options import Options, Overrides, checked_name
from tomqueue.definition.prepared import NO_OVERRIDES, Loaded, Prepared
from tomqueue.definition.schedule import check_needs_nothing, schedule_of
from tomqueue.definition.uniqueness import check_declared, is_plain, unique_of
from tomqueue.errors import ArgumentsError, DefinitionError, EnqueueError
from tomqueue.payload import InstanceCodec, field_names
from tomqueue.redaction import Path

__all__ = ["HOOKS", "ClassDefinition", "queue_said_by", "said"]

T = TypeVar("T")

HOOKS = ("enqueue", "before", "after", "success", "error", "failure")
"""Methods that are called around the work; an instance is the ``target`` of a Loaded job."""
WORK = ("process", "perform")
FIELDS_DECLARED = frozenset({"__dataclass_fields__", "__attrs_attrs__"})
"""Marks of a dataclass or attrs class; a plain subclass of one inherits them, but not in its own ``vars``."""
TERMS = ("max_attempts", "max_run_time", "reschedule_at")
"""Methods that say how the job runs and ends."""
SAYINGS = ("queue_name", "delete_failed_jobs", "display_name")
"""Methods that say something else about an instance; a field may have such a name, and is only a field then."""
TAKEN = {"error": ("job", "exception"), "max_attempts": (), "max_run_time": (), "reschedule_at": ("now", "attempts")}
"""What a method is called with beside self, where it is not the job alone."""
ITSELF = inspect.Parameter("instance", inspect.Parameter.POSITIONAL_ONLY)
"""What a callable that says a job's key is given."""
RESERVED = frozenset({*HOOKS, *WORK, *TERMS})
"""Names that a worker looks up as methods (Delayed::Job), so that no field may have them."""


class ClassDefinition(Generic[T]):
    """A class that is a job: ``tq.enqueue(Newsletter("hi", ["a@x"]))``.

    A plain class is made a dataclass; dataclasses, msgspec Structs and attrs classes stay as they are.
    Raises DefinitionError for a name, an option, a field or a method that cannot work.
    """

    def __init__(self, job_class: type[T], *, name: str | None = None, options: Options, context_type: type) -> None:
        self.name = name_of(job_class, name)
        self.place = place_of(job_class)
        self.options = options
        options.check(self.name)
        self.job_class = with_fields(self.name, job_class, options.redact)
        self._work = work_of(self.name, job_class)
        work = getattr(job_class, self._work)
        self.is_async = colour_of(self.name, work, options)
        self.result = result_of(self.name, work, options)
        self.wants_context = wants_context(work, context_type, skip_self=True)
        check_work(self.name, work, given=2 if self.wants_context else 1)
        check_hooks(self.name, job_class)
        self._codec = InstanceCodec.of_class(job_class, self.name, options.secrecy)
        check_declared(self.name, options, [ITSELF])
        self.limiting = limiting_of(self.name, options, inspect.signature(self.job_class).parameters)
        self.schedule = schedule_of(self.name, options)
        if self.schedule is not None:
            check_needs_nothing(self.name, job_class)

    def __repr__(self) -> str:
        return f"<job {self.name}>"

    @property
    def redacted(self) -> tuple[Path, ...]:
        """What of a payload is not to be shown."""
        return self._codec.redacted

    def prepare(self, instance: T, overrides: Overrides = NO_OVERRIDES) -> Prepared:
        """Check the fields of ``instance`` and return what ``enqueue_many`` takes; raises ArgumentsError."""
        if type(instance) is not self.job_class:
            raise ArgumentsError(
                f"{self.name}: expected an instance of {self.job_class.__name__}, got {type(instance).__name__}"
            )
        payload = self._codec.encode(instance)
        unique = None
        if not is_plain(self.options, overrides):
            fingerprint = partial(self._codec.fingerprint, payload)
            unique = unique_of(
                self.name, self.options, overrides, ask=lambda rule: rule(instance), fingerprint=fingerprint
            )
        counted = None if self.limiting is None else self.limiting.counted(lambda: values_of(instance))
        return Prepared(
            definition=self, payload=payload, overrides=overrides, instance=instance, unique=unique, counted=counted
        )

    def without_arguments(self) -> Prepared:
        """Return the instance that a tick enqueues, made at the tick: its defaults are of then."""
        return self.prepare(self.job_class())

    def load(self, payload: str) -> Loaded:
        """Return the instance of a stored payload, ready to run; raises UnreadableArguments."""
        instance = self._codec.decode(payload)
        return Loaded(call=getattr(instance, self._work), wants_context=self.wants_context, target=instance)


def values_of(instance: object) -> dict[str, Any]:
    """Return the fields of an instance by their names."""
    return {name: getattr(instance, name) for name in field_names(type(instance))}


def with_fields(job_name: str, job_class: type[T], redact: Sequence[str] = ()) -> type[T]:
    """Return ``job_class``, made a dataclass if it is plain; no field may have the name of a hook.

    What is redacted is not in the ``repr`` of one that is made here; others stay as they are.
    """
    if not issubclass(job_class, msgspec.Struct) and FIELDS_DECLARED.isdisjoint(vars(job_class)):
        for name in set(inspect.get_annotations(job_class)) & {name.partition(".")[0] for name in redact}:
            given = vars(job_class).get(name, dataclasses.MISSING)
            if isinstance(given, dataclasses.Field):
                given.repr = False
            else:
                setattr(job_class, name, dataclasses.field(default=given, repr=False))
        job_class = dataclasses.dataclass(job_class)
    for field in field_names(job_class):
        if field in RESERVED:
            raise DefinitionError(
                f"{job_name}: the field {field!r} has the name of a method that workers call: rename the field"
            )
    return job_class


def work_of(job_name: str, job_class: type) -> str:
    """Return the name of the method that does the work: ``process``, or ``perform`` as in Delayed::Job."""
    found = [name for name in WORK if callable(getattr(job_class, name, None))]
    if not found:
        raise DefinitionError(f"{job_name}: a job class needs a method process(self) that does the work")
    if len(found) > 1:
        raise DefinitionError(f"{job_name}: it has process() and perform(), and only one can be the work")
    return found[0]


def check_work(job_name: str, work: Any, *, given: int) -> None:
    """Raise DefinitionError if ``work`` needs more than the ``given`` arguments (self, the context)."""
    try:
        inspect.signature(work).bind(*range(given))
    except TypeError as error:
        raise DefinitionError(
            f"{job_name}: {work.__name__}() takes only self and a JobContext ({error}): make the rest fields"
        ) from error


def check_hooks(job_name: str, job_class: type) -> None:
    """Raise DefinitionError for a method that is called around the work and cannot be: async, or other arguments."""
    for name in (*HOOKS, *TERMS, *SAYINGS):
        method = getattr(job_class, name, None)
        if method is None or (name in SAYINGS and not callable(method)):
            continue
        if inspect.iscoroutinefunction(method):
            raise DefinitionError(f"{job_name}: {name}() is async def, and nobody awaits it: make it a plain def")
        given = ("self", *TAKEN.get(name, () if name in SAYINGS else ("job",)))
        try:
            inspect.signature(method).bind(*given)
        except TypeError as error:
            raise DefinitionError(
                f"{job_name}: {name}() is called with ({', '.join(given)}), and does not take that: {error}"
            ) from error


def said(instance: object | None, name: str) -> Any:
    """Return what the method ``name`` of a job that is a class says (one of SAYINGS); None if there is none."""
    method = getattr(type(instance), name, None)
    return method(instance) if callable(method) else None


def queue_said_by(instance: object | None) -> str | None:
    """Return the queue that an instance says by ``queue_name()`` (Delayed::Job); raises EnqueueError for no name."""
    if instance is None:
        return None
    queue = said(instance, "queue_name")
    return None if queue is None else checked_name("queue_name()", queue, EnqueueError)
