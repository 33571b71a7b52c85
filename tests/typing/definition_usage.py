"""What the type checker says about jobs; mypy fails if one of these errors is not found."""

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, assert_type, overload

from tomqueue.definition import Definition, Enqueuer, Options, Prepared
from tomqueue.job import Job

P = ParamSpec("P")
R = TypeVar("R")


class Context:
    """Stands for the JobContext."""


class App:
    """Stands for TomQueue, with the overloads that its decorator needs."""

    enqueuer: Enqueuer

    @overload
    def job(self, function: Callable[Concatenate[Context, P], R]) -> Definition[Concatenate[Context, P], P, R]: ...
    @overload
    def job(self, function: Callable[P, R]) -> Definition[P, P, R]: ...
    def job(self, function: Callable[..., Any]) -> Definition[..., ..., Any]:
        """Declare a job."""
        return Definition(function, options=Options(), enqueuer=self.enqueuer, context_type=Context)


def usage(tq: App) -> None:
    """Use a plain job, and one that takes the context."""

    @tq.job
    def send(user_id: int, *, again: bool = False) -> str:
        return str(user_id)

    @tq.job
    def report(ctx: Context, month: str) -> None: ...

    assert_type(send(7), str)
    assert_type(send.enqueue(7, again=True), Job)
    assert_type(send.prepare(7), Prepared)
    assert_type(send.using(delay=60).using(queue="slow").enqueue(7), Job)
    report(Context(), "may")
    report.enqueue("may")

    send.enqueue("wrong")  # type: ignore[arg-type]
    send.enqueue()  # type: ignore[call-arg]
    send.using(delay=60).enqueue("wrong")  # type: ignore[arg-type]
    send.using(delay="soon")  # type: ignore[arg-type]
    send.using(dealy=60)  # type: ignore[call-arg]
    report("may")  # type: ignore[call-arg, arg-type]
    report.enqueue(Context(), "may")  # type: ignore[call-arg, arg-type]


async def asynchronous_usage(send: Definition[[int], [int], None]) -> None:
    """Use a job from asynchronous code."""
    assert_type(await send.aenqueue(7), Job)
    await send.aenqueue("wrong")  # type: ignore[arg-type]
