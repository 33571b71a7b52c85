"""What stands above a declaration: ``@tq.job``, ``@tq.consumer``, ``@tq.target``, ``@tq.handle_asynchronously``."""

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, dataclass_transform, overload

from tomqueue.definition import (
    Asynchronous,
    ClassDefinition,
    ConsumerDefinition,
    Consumers,
    ConsumerTerms,
    Definition,
    Delays,
    Encryption,
    Enqueuer,
    Options,
    References,
    Registry,
    Target,
)
from tomqueue.message import Message
from tomqueue.settings import Settings
from tomqueue.worker.context import JobContext

__all__ = ["Declare", "DeclareConsumer", "DeclareTarget", "HandleAsynchronously"]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")


class Declare:
    """A decorator with its options: declares what it decorates, and registers it."""

    def __init__(
        self, registry: Registry, enqueuer: Enqueuer, encryption: Encryption, name: str | None, options: Options
    ) -> None:
        self._registry = registry
        self._enqueuer = enqueuer
        self._encryption = encryption
        self._name = name
        self._options = encryption.applied(options)

    @overload
    @dataclass_transform()
    def __call__(self, job: type[T]) -> type[T]: ...  # type: ignore[overload-overlap] # a class is callable, too
    @overload
    def __call__(
        self, job: Callable[Concatenate[JobContext, P], R]
    ) -> Definition[Concatenate[JobContext, P], P, R]: ...
    @overload
    def __call__(self, job: Callable[P, R]) -> Definition[P, P, R]: ...
    def __call__(self, job: Any) -> Any:
        """Return the class itself, or the function's Definition."""
        if isinstance(job, type):
            declared: ClassDefinition[Any] = ClassDefinition(
                job, name=self._name, options=self._options, context_type=JobContext
            )
            self._add(declared)
            return declared.job_class
        definition: Definition[..., ..., Any] = Definition(
            job, name=self._name, options=self._options, enqueuer=self._enqueuer, context_type=JobContext
        )
        self._add(definition)
        return definition

    def _add(self, definition: ClassDefinition[Any] | Definition[..., ..., Any]) -> None:
        self._encryption.check(definition.name, definition.options)
        self._registry.add(definition)


class DeclareConsumer:
    """A decorator with its options: what it stands above handles messages, and is registered."""

    def __init__(self, consumers: Consumers, settings: Settings, name: str | None, terms: ConsumerTerms) -> None:
        self._consumers = consumers
        self._settings = settings
        self._name = name
        self._terms = terms

    def __call__(self, function: Callable[[Message], Any]) -> ConsumerDefinition:
        """Return the function's definition, which can be called like the function."""
        settings = self._settings
        definition = ConsumerDefinition(
            function, name=self._name, terms=self._terms, queue=settings.default_queue,
            priority=settings.default_priority,
        )  # fmt: skip
        self._consumers.add(definition)
        return definition


class DeclareTarget:
    """A decorator with its options: the methods of the class under it may be called later."""

    def __init__(
        self,
        registry: Registry,
        references: References,
        encryption: Encryption,
        *,
        name: str | None,
        sessions: Callable[[], Any] | None,
        options: Options,
    ) -> None:
        self._registry = registry
        self._references = references
        self._encryption = encryption
        self._name = name
        self._sessions = sessions
        self._options = options

    def __call__(self, target: type[T]) -> type[T]:
        """Return the class itself."""
        declared = Target(
            target, name=self._name, references=self._references, sessions=self._sessions, context_type=JobContext,
            options=self._options, encryption=self._encryption,
        )  # fmt: skip
        self._registry.add_target(declared)
        return target


class HandleAsynchronously:
    """A decorator with its options: the method under it is called later, wherever it is called."""

    def __init__(self, delays: Delays, options: dict[str, Any]) -> None:
        self._delays = delays
        self._options = options

    @overload
    def __call__(
        self, method: Callable[Concatenate[S, JobContext, P], R]
    ) -> Asynchronous[Concatenate[JobContext, P], P, R]: ...
    @overload
    def __call__(self, method: Callable[Concatenate[S, P], R]) -> Asynchronous[P, P, R]: ...
    @overload
    def __call__(self, method: "classmethod[S, P, R] | staticmethod[P, R]") -> Asynchronous[P, P, R]: ...
    def __call__(self, method: Any) -> Any:
        """Return the method, whose calls are enqueued; raises DefinitionError."""
        return Asynchronous(method, self._delays, self._options)
