"""What a test does with the jobs of an application: look, run, let time pass."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from typing import Any, Self

from tomqueue.app import TomQueue
from tomqueue.daemon.in_process import Ran
from tomqueue.errors import TomQueueError
from tomqueue.job import Job, State
from tomqueue.priority import Priority
from tomqueue.redaction import plain_arguments
from tomqueue.testing.assertions import listing, wanted
from tomqueue.testing.crashing import Crash
from tomqueue.testing.lost_news import LostNews

__all__ = ["EndlessJobs", "Kit"]

MOST = 10_000
"""Jobs that one ``drain`` or ``run_due`` runs before it takes them for endless."""
TICK = timedelta(milliseconds=1)
WAITING = {State.READY, State.SCHEDULED, State.HELD, State.PARKED}

Arguments = Sequence[Any] | Mapping[str, Any]


class EndlessJobs(TomQueueError):
    """So many jobs ran, and more are ready, that a job seems to enqueue itself."""

    @classmethod
    def after(cls, ran: Sequence[Ran]) -> Self:
        """Return the error that says what ran."""
        most = f"{len(ran):,} jobs ran, the last {ran[-1].name}"
        return cls(f"{most}: does a job enqueue itself, or a periodic one run so often?")


class Kit(ABC):
    """The jobs of one application in a test.

    Time does not pass by waiting: ``run_due`` and ``advance`` move the rows toward the past, and ``now`` is the time
    that this amounts to. What the application itself reads as the time (``datetime.now``) stays as it is.
    """

    def __init__(self, tq: TomQueue) -> None:
        self.tq = tq
        self.elapsed = timedelta()

    # Looking ------------------------------------------------------------------------------------------

    def enqueued(
        self,
        job: object | None = None,
        args: Arguments | None = None,
        *,
        queue: str | None = None,
        priority: Priority | str | None = None,
    ) -> list[Job]:
        """Return the jobs that wait, those of this kind only: ready, scheduled, held or parked, in their ids' order.

        ``job`` is a declared job, a job class or an instance of one, a prepared call, or a name; ``args`` are all
        its arguments in their order, or a dictionary with some of them.
        """
        meant = wanted(self.tq.registry, job, args, queue, priority)
        return [one for one in self._waiting() if meant.means(one)]

    def assert_enqueued(
        self,
        job: object | None = None,
        args: Arguments | None = None,
        *,
        queue: str | None = None,
        priority: Priority | str | None = None,
        count: int | None = None,
    ) -> list[Job]:
        """Return the jobs that ``enqueued`` finds; AssertionError that lists all that wait, unless there are any.

        With ``count`` there must be just so many.
        """
        __tracebackhide__ = True
        meant = wanted(self.tq.registry, job, args, queue, priority)
        waiting = self._waiting()
        found = [one for one in waiting if meant.means(one)]
        if found and count in {None, len(found)}:
            return found
        if count == len(found):
            return found
        number = "no" if not found else f"{len(found)}, not {count},"
        raise AssertionError(f"{number} {meant} enqueued; {said(waiting)}")

    def assert_not_enqueued(
        self,
        job: object | None = None,
        args: Arguments | None = None,
        *,
        queue: str | None = None,
        priority: Priority | str | None = None,
    ) -> None:
        """Raise AssertionError that lists them if ``enqueued`` finds any."""
        __tracebackhide__ = True
        meant = wanted(self.tq.registry, job, args, queue, priority)
        if found := [one for one in self._waiting() if meant.means(one)]:
            raise AssertionError(f"{meant} is enqueued:\n{listing(found)}")

    # Running ------------------------------------------------------------------------------------------

    @contextmanager
    def inline(self) -> Iterator[None]:
        """Run each job at its enqueue, in the caller's thread and without a row, until the block is left."""
        before = self.tq.delay_jobs
        self.tq.delay_jobs = False
        try:
            yield
        finally:
            self.tq.delay_jobs = before

    def drain(self, *, raise_errors: bool = True) -> list[Ran]:
        """Run everything that is ready, and what that enqueues, in this thread; return what ran, in its order.

        The first error of a job is raised once it is recorded in its row, and what was to follow stays enqueued;
        with ``raise_errors=False`` all of it runs and each ``Ran`` has its error. Verdicts (Retry, Snooze, Discard)
        are outcomes and not raised. Raises EndlessJobs.
        """
        ran: list[Ran] = []
        self._run_ready(ran, raise_errors=raise_errors)
        if raise_errors:
            raise_first(ran)
        return ran

    def run_due(self, until: datetime | timedelta | float, *, raise_errors: bool = False) -> list[Ran]:
        """Run what is ready and what falls due until then, each at its time and without waiting; return what ran.

        ``until`` is a time that ``now`` reaches, or how much time passes (a timedelta, or seconds). Retries, delays,
        back-offs and the ticks of periodic jobs come in the order of their times. Errors are recorded, because it is
        retries that this shows.
        """
        end = self._end_of(until)
        ran: list[Ran] = []
        stuck: datetime | None = None
        while True:
            before = len(ran)
            self._run_ready(ran, raise_errors=raise_errors)
            if raise_errors:
                raise_first(ran)
            moment = self._next_time()
            if moment is None or moment + self.elapsed > end:
                break
            step = moment + TICK - self._clock()
            if moment == stuck and len(ran) == before:  # due, and yet nobody can run it: in another's hand
                break
            stuck = moment if step <= timedelta() else None
            self.advance(max(step, timedelta()))
        self.advance(max(end - self.now(), timedelta()))
        return ran

    def advance(self, by: timedelta | float) -> None:
        """Let so much time pass (a timedelta, or seconds), and run nothing."""
        span = by if isinstance(by, timedelta) else timedelta(seconds=by)
        if span < timedelta():
            raise ValueError(f"{by!r}: time passes forward only")
        if span:
            self._move(span)
            self.elapsed += span

    def now(self) -> datetime:
        """Return the time as the jobs see it: the database's clock, and what was advanced."""
        return self._clock() + self.elapsed

    # Breaking -----------------------------------------------------------------------------------------

    @abstractmethod
    def lose_news(self) -> AbstractContextManager[LostNews]:
        """Drop the news that is published while the block runs; what was dropped is in the ``LostNews`` it gives."""

    @abstractmethod
    def crash_at(self, point: str, run: Callable[[], object] | None = None, *, times: int = 1) -> Crash:
        """Run what is ready in a process of its own that dies at ``point``, as by kill -9, and free what it held.

        ``run`` is what that process does instead, for the points of an enqueue. The process is a fork of this one:
        what it changes in memory is gone with it, as in a crash. Raises NotReached when it did not come there, and
        NeedsCommits inside a transaction.
        """

    # What the kinds of kit differ in ------------------------------------------------------------------

    @abstractmethod
    def _jobs(self) -> list[Job]:
        """Read all jobs."""

    @abstractmethod
    def _next_time(self) -> datetime | None:
        """Read when the next job that waits for its time may run."""

    @abstractmethod
    def _move(self, by: timedelta) -> None:
        """Move every row toward the past."""

    @abstractmethod
    def _run_ready(self, ran: list[Ran], *, raise_errors: bool) -> None:
        """Run what is ready and add it to ``ran``; with ``raise_errors`` no job after the first trouble."""

    def _clock(self) -> datetime:
        return self.tq.tools().store.now()

    def _waiting(self) -> list[Job]:
        return [job.shown_by(self._all_of) for job in self._jobs() if job.state in WAITING]

    def _all_of(self, job: Job) -> Any:
        """Return arguments decrypted and with what is redacted elsewhere: a test may see everything."""
        return plain_arguments(self.tq.keyring.open(job.name, job.payload), ())

    def _end_of(self, until: datetime | timedelta | float) -> datetime:
        if not isinstance(until, datetime):
            return self.now() + (until if isinstance(until, timedelta) else timedelta(seconds=until))
        if until.tzinfo is None:
            raise ValueError(f"until={until!r} has no zone: use datetime.now(UTC) + timedelta(…)")
        return until


def raise_first(ran: Sequence[Ran]) -> None:
    """Raise the first error that is no verdict."""
    __tracebackhide__ = True
    for one in ran:
        if one.is_trouble and one.error is not None:
            raise one.error


def said(waiting: Sequence[Job]) -> str:
    """Return what waits, for a message."""
    return f"these are:\n{listing(waiting)}" if waiting else "nothing else is either"
