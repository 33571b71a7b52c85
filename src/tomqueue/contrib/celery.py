"""Tasks that are declared and called as in Celery, and run here: so that a project can move one by one.

Celery need not be installed, and none of it is used. What Celery means and this does not is refused, where it is
written.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypedDict, TypeVar, Unpack, overload

from tomqueue.app import TomQueue
from tomqueue.definition import Definition
from tomqueue.errors import DefinitionError, EnqueueError, TomQueueError
from tomqueue.job import Job
from tomqueue.priority import Priority
from tomqueue.worker.context import JobContext

__all__ = ["CeleryTasks", "Task"]

CallP = ParamSpec("CallP")
P = ParamSpec("P")
R = TypeVar("R")

USUAL_RETRIES = 3
USUAL_RETRY_DELAY = 180.0
"""Celery's own defaults, in attempts after the first and in seconds."""
MOST_URGENT = 9
STEPS = ((7, Priority.HIGH), (5, Priority.NORMAL), (3, Priority.LOW), (0, Priority.BULK))
"""From which of Celery's numbers on a task has a priority, where the greater number is the more urgent one."""
IN_PLACE_OF = {
    **dict.fromkeys(
        ("s", "si", "signature", "chunks", "map", "starmap"),
        "for a workflow write tq.enqueue(chain(one.job.prepare(1), other.job.prepare(2)))",
    ),
    "retry": "raise an error of those in autoretry_for",
    "request": "take a JobContext as first parameter",
    "update_state": "take a JobContext as first parameter and call its progress(done, total)",
    "AsyncResult": "what delay() returns is the job; tq.jobs.get(id) reads it again",
    "apply": "call the task to run it here",
}
"""What to write for what Celery's tasks have and these have not."""


class TaskOptions(TypedDict, total=False):
    """What ``shared_task`` takes of Celery's options."""

    name: str | None
    queue: str | None
    priority: int | None
    max_retries: int
    default_retry_delay: float | timedelta
    autoretry_for: Sequence[type[BaseException]]
    time_limit: float | timedelta | None
    soft_time_limit: float | timedelta | None
    ignore_result: bool


class SendOptions(TypedDict, total=False):
    """What ``apply_async`` takes of Celery's options; ``session`` and ``connection`` are TomQueue's."""

    countdown: float | timedelta | None
    eta: datetime | None
    expires: float | timedelta | None
    queue: str | None
    priority: int | None
    session: Any
    connection: Any


class Task(Generic[CallP, P, R]):
    """A job with Celery's ways to call it; ``job`` is the same as TomQueue has it."""

    def __init__(self, job: Definition[CallP, P, R], tasks: "CeleryTasks") -> None:
        self.job = job
        self.name = job.name
        self.__name__ = job.__name__
        self.__doc__ = job.__doc__
        self._tasks = tasks

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    if not TYPE_CHECKING:  # else every name would count as known

        def __getattr__(self, name: str) -> Any:
            """Say what stands in place of what Celery's tasks have beside."""
            cure = IN_PLACE_OF.get(name, "see the page on coming from Celery for what there is")
            raise AttributeError(f"{type(self).__name__} has no {name!r}: {cure}", name=name, obj=self)

    def __call__(self, *args: CallP.args, **kwargs: CallP.kwargs) -> R:
        """Run the function here and now."""
        return self.job(*args, **kwargs)

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Enqueue a call; raises EnqueueError. What is returned has an ``id``, and no result to wait for."""
        return self.job.enqueue(*args, **kwargs)

    def apply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[SendOptions]
    ) -> Job:
        """Enqueue a call with other terms: seconds from now, a time with a zone, a queue, one of Celery's priorities.

        Raises EnqueueError, also for an option of Celery's that means nothing here.
        """
        terms: dict[str, Any] = dict(options)
        if unknown := sorted(set(terms) - SendOptions.__optional_keys__):
            raise EnqueueError(f"{self.name}: apply_async({unknown[0]}=…) means nothing here: leave it out")
        terms = {"delay": terms.pop("countdown", None), "run_at": terms.pop("eta", None), **terms}
        if terms.get("priority") is not None:
            terms["priority"] = self._tasks.priority_of(terms["priority"], EnqueueError)
        if isinstance(args, str) or not isinstance(args, Sequence):
            raise EnqueueError(f"{self.name}: apply_async(args={args!r}): give a list or a tuple of the arguments")
        call: Any = self.job.using(**terms)
        enqueued: Job = call.enqueue(*args, **kwargs or {})
        return enqueued


class Declare:
    """``shared_task`` with its options."""

    def __init__(self, tasks: "CeleryTasks", options: dict[str, Any]) -> None:
        self._tasks = tasks
        self._options = options

    @overload
    def __call__(self, function: Callable[Concatenate[JobContext, P], R]) -> Task[Concatenate[JobContext, P], P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R]) -> Task[P, P, R]: ...
    def __call__(self, function: Any) -> Any:
        """Declare a function as a task; raises DefinitionError."""
        return self._tasks.declared(function, self._options)


class CeleryTasks:
    """Declares tasks in Celery's way as jobs of ``tq``: ``shared_task = CeleryTasks(tq).shared_task``.

    ``most_urgent`` says which of Celery's priorities is the most urgent: 9 as with RabbitMQ, or 0 as with Redis.
    """

    def __init__(self, tq: TomQueue, *, most_urgent: int = MOST_URGENT) -> None:
        if most_urgent not in {0, MOST_URGENT}:
            raise DefinitionError(f"most_urgent={most_urgent!r}: it is 9 with RabbitMQ and 0 with Redis")
        self._tq = tq
        self._most_urgent = most_urgent

    @overload
    def shared_task(
        self, function: Callable[Concatenate[JobContext, P], R], /
    ) -> Task[Concatenate[JobContext, P], P, R]: ...
    @overload
    def shared_task(self, function: Callable[P, R], /) -> Task[P, P, R]: ...
    @overload
    def shared_task(self, **options: Unpack[TaskOptions]) -> Declare: ...
    # mypy holds that an implementation cannot accept the unpacked options of its own overload
    def shared_task(self, function: Any = None, /, **options: Any) -> Any:  # type: ignore[misc]
        """Declare a function as a task: ``@shared_task`` or ``@shared_task(queue="mailers", max_retries=5)``.

        As in Celery only the errors in ``autoretry_for`` are tried again by themselves. Raises DefinitionError.
        """
        return Declare(self, options) if function is None else self.declared(function, options)

    def declared(self, function: Any, options: dict[str, Any]) -> Task[..., ..., Any]:
        """Return the task of a function."""
        what = getattr(function, "__qualname__", repr(function))
        if options.get("bind"):
            raise DefinitionError(
                f"{what}: bind=True gives Celery's task: take a JobContext as first parameter instead"
            )
        if unknown := sorted(set(options) - TaskOptions.__optional_keys__):
            raise DefinitionError(f"{what}: shared_task({unknown[0]}=…) means nothing here: leave it out")
        limits = [limit for name in ("soft_time_limit", "time_limit") if (limit := options.get(name)) is not None]
        priority = options.get("priority")
        retries = options.get("max_retries", USUAL_RETRIES)
        if not isinstance(retries, int):
            raise DefinitionError(f"{what}: max_retries={retries!r}: say a number, nothing is tried for ever here")
        retried = options.get("autoretry_for", ())
        if not isinstance(retried, Sequence):
            raise DefinitionError(f"{what}: autoretry_for={retried!r}: give a tuple of exception classes")
        declare: Any = self._tq.job(
            name=options.get("name"),
            queue=options.get("queue"),
            priority=None if priority is None else self.priority_of(priority, DefinitionError),
            max_attempts=retries + 1,
            backoff=options.get("default_retry_delay", USUAL_RETRY_DELAY),
            retry_on=tuple(retried),
            max_run_time=limits[0] if limits else None,
        )
        return Task(declare(function), self)

    def priority_of(self, number: object, error: type[TomQueueError]) -> Priority:
        """Return the priority of one of Celery's numbers, 0 to 9; raises ``error``."""
        if not isinstance(number, int) or not 0 <= number <= MOST_URGENT:
            raise error(f"priority={number!r}: Celery's priorities are the numbers 0 to {MOST_URGENT}")
        urgency = number if self._most_urgent else MOST_URGENT - number
        return next(priority for least, priority in STEPS if urgency >= least)
