"""``@tq.job``: a function or a class becomes a job."""

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, dataclass_transform, overload

from tomqueue.definition import ClassDefinition, Definition, Enqueuer, Options, Registry
from tomqueue.worker.context import JobContext

__all__ = ["Declare"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Declare:
    """A decorator with its options: declares what it decorates, and registers it."""

    def __init__(self, registry: Registry, enqueuer: Enqueuer, name: str | None, options: Options) -> None:
        self._registry = registry
        self._enqueuer = enqueuer
        self._name = name
        self._options = options

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
            self._registry.add(declared)
            return declared.job_class
        definition: Definition[..., ..., Any] = Definition(
            job, name=self._name, options=self._options, enqueuer=self._enqueuer, context_type=JobContext
        )
        self._registry.add(definition)
        return definition
