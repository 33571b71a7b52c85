"""``tq.delay(object, **terms).method(…)``: from an object and a method's name to a call that is enqueued."""

import inspect
from typing import Any

from tomqueue.definition.delayed import DelayedCall
from tomqueue.definition.function import Definition
from tomqueue.definition.methods import Kind
from tomqueue.definition.options import Overrides
from tomqueue.definition.prepared import Enqueuer, Prepared
from tomqueue.definition.registry import Registry
from tomqueue.errors import DefinitionError, UnknownMethod

__all__ = ["Delayed", "Delays"]


class Delays:
    """Makes delayed calls for the targets of one registry."""

    def __init__(self, registry: Registry, enqueuer: Enqueuer) -> None:
        self._registry = registry
        self._enqueuer = enqueuer

    def delay(self, receiver: object, overrides: Overrides) -> "Delayed | DelayedCall[...]":
        """Return what is called like ``receiver``, and enqueues; raises DefinitionError for what was not declared."""
        if isinstance(receiver, Definition):
            definition = receiver
            return DelayedCall(lambda args, kwargs: definition.prepared(overrides, args, kwargs), self._enqueuer)
        if callable(receiver) and not isinstance(receiver, type) and hasattr(receiver, "__qualname__"):
            raise DefinitionError(undeclared(receiver))
        self._registry.target_of(class_of(receiver))
        return Delayed(self, receiver, overrides)

    def call_of(self, receiver: object, method: str, overrides: Overrides) -> DelayedCall[...]:
        """Return the call of one method of an object or class; raises UnknownMethod."""
        target = self._registry.target_of(class_of(receiver))
        definition = target.method(method)
        if definition.kind is Kind.INSTANCE and isinstance(receiver, type):
            raise UnknownMethod(f"{definition.name} is called on an instance: delay an instance, not the class")

        def prepare(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Prepared:
            return definition.prepare(receiver, definition.terms(receiver, overrides), args, kwargs)

        def check(prepared: Prepared) -> None:
            definition.check_visible(receiver, prepared.overrides)

        return DelayedCall(prepare, self._enqueuer, check)


class Delayed:
    """An object or a class whose methods are called later: each is a DelayedCall."""

    __slots__ = ("_delays", "_overrides", "_receiver")

    def __init__(self, delays: Delays, receiver: object, overrides: Overrides) -> None:
        self._delays = delays
        self._receiver = receiver
        self._overrides = overrides

    def __repr__(self) -> str:
        return f"<delayed {class_of(self._receiver).__name__}>"

    def __getattr__(self, method: str) -> DelayedCall[...]:
        return self._delays.call_of(self._receiver, method, self._overrides)


def class_of(receiver: object) -> type:
    """Return the class itself, or that of an object."""
    return receiver if isinstance(receiver, type) else type(receiver)


def undeclared(function: Any) -> str:
    """Say what to do about a function or bound method that was given to ``delay``."""
    if inspect.ismethod(function):
        return f"write tq.delay(object).{function.__name__}(…): delay takes the object, not its method"
    return f"{function.__module__}.{function.__qualname__} is not declared as a job: put @tq.job above the function"
