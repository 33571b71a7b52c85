"""Jobs that are functions: ``@tq.job`` above a ``def``."""

import functools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar, Unpack

from tomqueue.definition.inspection import colour_of, name_of, place_of, result_of, wants_context
from tomqueue.definition.limit import limiting_of
from tomqueue.definition.options import Options, OverrideOptions, Overrides
from tomqueue.definition.prepared import NO_OVERRIDES, Enqueuer, Loaded, Prepared
from tomqueue.definition.schedule import check_needs_nothing, schedule_of
from tomqueue.definition.uniqueness import check_declared, check_rule, is_plain, unique_of
from tomqueue.errors import EnqueueError
from tomqueue.job import Job, Unique
from tomqueue.payload import ArgumentsCodec
from tomqueue.redaction import Path

__all__ = ["BoundDefinition", "Definition"]

CallP = ParamSpec("CallP")
P = ParamSpec("P")
R = TypeVar("R")


class Definition(Generic[CallP, P, R]):
    """A function that is a job: call it to run it here, ``enqueue`` it to run it in a worker.

    ``CallP`` is what a call takes and ``P`` what ``enqueue`` takes: they differ by the leading JobContext.
    Raises DefinitionError for a name, an option or a parameter that cannot work.
    """

    __name__: str

    def __init__(
        self,
        function: Callable[CallP, R],
        *,
        name: str | None = None,
        options: Options,
        enqueuer: Enqueuer,
        context_type: type,
    ) -> None:
        functools.update_wrapper(self, function)
        self.name = name_of(function, name)
        self.place = place_of(function)
        self.options = options
        options.check(self.name)
        self.is_async = colour_of(self.name, function, options)
        self.result = result_of(self.name, function, options)
        self.wants_context = wants_context(function, context_type)
        self.schedule = schedule_of(self.name, options)
        if self.schedule is not None:
            check_needs_nothing(self.name, function, given=int(self.wants_context))
        self._function = function
        self._enqueuer = enqueuer
        skip = int(self.wants_context)
        self._codec = ArgumentsCodec.of_function(function, self.name, skip=skip, secrecy=options.secrecy)
        check_declared(self.name, options, self._codec.parameters)
        self.limiting = limiting_of(self.name, options, {one.name: one for one in self._codec.parameters})

    def __repr__(self) -> str:
        return f"<job {self.name}>"

    @property
    def redacted(self) -> tuple[Path, ...]:
        """What of a payload is not to be shown."""
        return self._codec.redacted

    def __call__(self, *args: CallP.args, **kwargs: CallP.kwargs) -> R:
        """Run the function here and now; nothing is enqueued."""
        return self._function(*args, **kwargs)

    def prepare(self, *args: P.args, **kwargs: P.kwargs) -> Prepared:
        """Check the arguments and return what ``enqueue_many`` takes; raises ArgumentsError."""
        return self.prepared(NO_OVERRIDES, args, kwargs)

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Enqueue a call with these arguments and return its job; raises EnqueueError."""
        return self._enqueuer.enqueue(self.prepared(NO_OVERRIDES, args, kwargs))

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Enqueue from asynchronous code."""
        return await self._enqueuer.aenqueue(self.prepared(NO_OVERRIDES, args, kwargs))

    def using(self, **overrides: Unpack[OverrideOptions]) -> "BoundDefinition[P]":
        """Return this job with other options for one enqueue: ``send.using(delay=60).enqueue(7)``."""
        said = Overrides.of(overrides)
        check_rule(self.name, said.unique, self._codec.parameters, EnqueueError)
        return BoundDefinition(self, self._enqueuer, said)

    def prepared(self, overrides: Overrides, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Prepared:
        """Check a call's arguments and join them with ``overrides``."""
        payload = self._codec.encode(args, kwargs)
        unique = None if is_plain(self.options, overrides) else self._unique(overrides, payload, args, kwargs)
        counted = (
            None if self.limiting is None else self.limiting.counted(lambda: self._codec.bound(args, kwargs).arguments)
        )
        return Prepared(definition=self, payload=payload, overrides=overrides, unique=unique, counted=counted)

    def _unique(
        self, overrides: Overrides, payload: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Unique | None:
        def ask(rule: Callable[..., Any]) -> Any:
            bound = self._codec.bound(args, kwargs)
            return rule(*bound.args, **bound.kwargs)

        fingerprint = partial(self._codec.fingerprint, payload)
        return unique_of(self.name, self.options, overrides, ask=ask, fingerprint=fingerprint)

    def without_arguments(self) -> Prepared:
        """Return the call that a tick enqueues; what has a default takes it when it runs."""
        return self.prepared(NO_OVERRIDES, (), {})

    def load(self, payload: str) -> Loaded:
        """Return the call of a stored payload; raises UnreadableArguments."""
        args, kwargs = self._codec.decode(payload)
        return Loaded(call=self._function, args=args, kwargs=kwargs, wants_context=self.wants_context)


class BoundDefinition(Generic[P]):
    """A function's job with overrides, as ``using`` returns it."""

    def __init__(self, definition: Definition[Any, P, Any], enqueuer: Enqueuer, overrides: Overrides) -> None:
        self._definition = definition
        self._enqueuer = enqueuer
        self._overrides = overrides

    def prepare(self, *args: P.args, **kwargs: P.kwargs) -> Prepared:
        """Check the arguments and return what ``enqueue_many`` takes; raises ArgumentsError."""
        return self._definition.prepared(self._overrides, args, kwargs)

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Enqueue a call with these arguments and return its job; raises EnqueueError."""
        return self._enqueuer.enqueue(self._definition.prepared(self._overrides, args, kwargs))

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Enqueue from asynchronous code."""
        return await self._enqueuer.aenqueue(self._definition.prepared(self._overrides, args, kwargs))

    def using(self, **overrides: Unpack[OverrideOptions]) -> "BoundDefinition[P]":
        """Return the same with further overrides; those given before stay, unless given again."""
        Overrides.of(overrides)
        return BoundDefinition(self._definition, self._enqueuer, replace(self._overrides, **overrides))
