"""A call that is written like a direct one, and is enqueued instead."""

from collections.abc import Callable
from typing import Any, Generic, ParamSpec

from tomqueue.definition.prepared import Enqueuer, Prepared
from tomqueue.job import Job

__all__ = ["DelayedCall"]

P = ParamSpec("P")
Prepare = Callable[[tuple[Any, ...], dict[str, Any]], Prepared]


class DelayedCall(Generic[P]):
    """A method or a job that is called later: call it to enqueue the call.

    ``check`` is asked before a call is enqueued alone, and raises EnqueueError for what a worker would not find.
    """

    def __init__(
        self, prepare: Prepare, enqueuer: Enqueuer, check: Callable[[Prepared], None] = lambda _prepared: None
    ) -> None:
        self._prepare = prepare
        self._enqueuer = enqueuer
        self._check = check

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Enqueue the call and return its job; raises EnqueueError."""
        return self._enqueuer.enqueue(self._checked(args, kwargs))

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Enqueue the call from asynchronous code."""
        return await self._enqueuer.aenqueue(self._checked(args, kwargs))

    def prepare(self, *args: P.args, **kwargs: P.kwargs) -> Prepared:
        """Check the call and return what ``enqueue_many`` takes; raises ArgumentsError."""
        return self._prepare(args, kwargs)

    def _checked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Prepared:
        prepared = self._prepare(args, kwargs)
        self._check(prepared)
        return prepared
