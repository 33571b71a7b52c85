"""Workers inside the application's own process: one that works off what is ready, and one that runs beside it.

Both hold a lease of their own and take jobs as every worker does. What they cannot do is end themselves: no
supervisor kills a job that hangs, and no signal interrupts a call that blocks.
"""

import atexit
import threading
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from tomqueue.daemon.own_lease import OwnLease
from tomqueue.definition import number_problem
from tomqueue.errors import Interruption, JobCancelled, JobInterrupted, Parked, SettingsError, Verdict
from tomqueue.events import Events
from tomqueue.job import Claimed
from tomqueue.payload import Keyring
from tomqueue.redaction import plain_arguments
from tomqueue.settings import check_name
from tomqueue.worker.attempt import Attempt
from tomqueue.worker.board import MAX_SLOTS
from tomqueue.worker.options import WorkerOptions
from tomqueue.worker.tools import Tools
from tomqueue.worker.worker import Worker

__all__ = ["InProcessWorker", "Ran", "Watch", "WorkedOff", "options_of", "ran", "work_off", "worker_of"]

LONGEST_PAUSE = 30.0
MARGIN = 2.0
"""Seconds beyond the grace time that ``stop`` waits for the last commits."""
ENDS: Mapping[str, str] = MappingProxyType({
    "job.finished": "finished", "job.retried": "retried", "job.failed": "failed", "job.snoozed": "snoozed",
    "job.parked": "parked", "job.interrupted": "interrupted", "job.cancelled": "cancelled",
})  # fmt: skip
"""Events that end an attempt, and what they are called in a ``Ran``."""


class WorkedOff(NamedTuple):
    """What ``work_off`` did: how many attempts succeeded and how many failed (retried later, or for good)."""

    successes: int
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """An attempt that has ended.

    ``outcome`` is ``finished``, ``retried``, ``failed``, ``snoozed``, ``parked``, ``interrupted`` or ``cancelled``.
    """

    id: int
    name: str
    queue: str
    attempt: int
    arguments: Any
    outcome: str
    error: BaseException | None = None

    @property
    def is_trouble(self) -> bool:
        """Whether it raised what it should not: an error that is no verdict, or a job that nobody can read here."""
        return self.error is not None and not isinstance(self.error, Verdict | JobInterrupted | JobCancelled)


def ran(job: Claimed, event: str, error: BaseException | None, keyring: Keyring) -> Ran:
    """Return what an event says of an attempt that has ended; its arguments in plain, for tests."""
    try:
        arguments = plain_arguments(keyring.open(job.name, job.payload), ())
    except Parked:
        arguments = plain_arguments(job.payload, ())
    return Ran(
        id=job.id, name=job.name, queue=job.queue, attempt=job.attempts, arguments=arguments, outcome=ENDS[event],
        error=error,
    )  # fmt: skip


def options_of(queues: tuple[str, ...], *, threads: int = 1, most: int | None = None) -> WorkerOptions:
    """Return the options of an in-process worker. Raises SettingsError for a number or name that cannot be."""
    if problem := number_problem(threads, least=1, most=MAX_SLOTS, whole=True):
        raise SettingsError(f"threads={threads!r} {problem}")
    if most is not None and most < 1:
        raise SettingsError(f"n={most}: work off at least one job, or None for all that are ready")
    names = tuple(check_name("queues", name) for name in queues)
    return WorkerOptions(queues=names, threads=threads, max_jobs=most)


class Overheard(Events):
    """The application's events, told to a listener first."""

    def __init__(self, events: Events, listener: Callable[[str, Mapping[str, Any]], None]) -> None:
        self._events = events
        self._listener = listener

    def on(self, event: str, callback: Callable[..., object]) -> None:
        """Subscribe at the application."""
        self._events.on(event, callback)

    def emit(self, event: str, **details: Any) -> None:
        """Tell the listener, then every subscriber."""
        self._listener(event, details)
        self._events.emit(event, **details)


class Watch:
    """A layer inside Claim: stops its worker at an error, if it is to, and at what is no job's: Ctrl-C, a test's end.

    The job that ran when such a thing came is given back, uncharged, and the thing is raised where the caller is.
    """

    def __init__(self, *, stop_at_trouble: bool, stop: Callable[[], None]) -> None:
        self._stop_at_trouble = stop_at_trouble
        self._stop = stop
        self.came: BaseException | None = None

    def __call__(self, attempt: Attempt, proceed: Callable[[Attempt], bool]) -> bool:
        """Proceed, and look at what comes back."""
        try:
            return proceed(attempt)
        except (Verdict, Parked, JobInterrupted, JobCancelled):
            raise
        except (Exception, SystemExit, Interruption, CancelledError):  # the last one is raised by an async job
            if self._stop_at_trouble:
                self._stop()
            raise
        except BaseException as error:
            self.came = error
            self._stop()
            raise JobInterrupted(f"{type(error).__name__} came from outside of the job") from error


def work_off(
    tools: Tools, options: WorkerOptions, saw: Callable[[Ran], None], *, stop_at_trouble: bool = False
) -> None:
    """Run what is ready in the calling thread, in its order, until nothing is; tell ``saw`` of each that has ended.

    Raises StoreError when the database is away at the start, LeaseLost when it stays away for too long later, and
    whatever came from outside of the jobs (KeyboardInterrupt).
    """

    def listen(event: str, details: Mapping[str, Any]) -> None:
        if event in ENDS:
            saw(ran(details["job"], event, details.get("error"), tools.keyring))

    lease = OwnLease(tools, replace(options, until_idle=True))
    lease.open()
    lease.renew()
    try:
        watch = Watch(stop_at_trouble=stop_at_trouble, stop=lambda: worker.stop())  # noqa: PLW0108 - made below
        worker = worker_of(replace(tools, events=Overheard(tools.events, listen)), lease, watch)
        worker.run()
    finally:
        lease.close()
    if watch.came is not None:
        raise watch.came


def worker_of(tools: Tools, lease: OwnLease, watch: Watch | None = None) -> Worker:
    """Return a worker under a lease; with a publisher of its own, because it closes it at its end."""
    own = replace(tools, publisher=tools.transport.publisher())
    return Worker(own, lease.board, lease.worker, lease.options, uses_signals=False, watch=watch)


class InProcessWorker:
    """A worker in threads of the application's own process, as ``tq.start_worker`` returns it, until ``stop``.

    A context manager. Where its lease is lost, because the database or the host was away for longer, it begins anew.
    """

    def __init__(self, tools: Tools, options: WorkerOptions) -> None:
        self._tools = tools
        self._options = options
        self._lock = threading.Lock()
        self._halt = threading.Event()
        self._worker: Worker | None = None
        self._thread = threading.Thread(target=self._run, name="tomqueue-worker", daemon=True)
        self._lease = OwnLease(tools, options)

    def start(self) -> Self:
        """Begin; returns once the lease is written. Raises StoreError when the database is away."""
        self._lease.open()
        self._lease.renew()
        self._thread.start()
        atexit.register(self.stop)
        return self

    def stop(self, timeout: float | None = None) -> bool:
        """Let running jobs end, give the rest back, and say whether that is done.

        Waits ``timeout`` seconds, by default a little longer than the setting ``grace``. A job that does not end
        cannot be killed: False, and it goes on in its thread, its row claimed by a lease that is still renewed. So does
        the job that calls this itself.
        """
        atexit.unregister(self.stop)
        with self._lock:
            self._halt.set()
            if self._worker is not None:
                self._worker.stop()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(self._tools.settings.grace + MARGIN if timeout is None else timeout)
        if self.running:
            self._tools.logger.error("a job of the in-process worker did not end: it cannot be killed, and goes on")
        return not self.running

    @property
    def running(self) -> bool:
        """Whether its threads are there."""
        return self._thread.is_alive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _run(self) -> None:
        pause, lease = 0.0, self._lease
        while True:
            try:
                self._work(lease)
                pause = 0.0
            except Exception as error:  # noqa: BLE001 - reported; another worker begins
                self._tools.reporting.report(error)
                pause = longer(pause)
            finally:
                lease.close()
            again = self._another(pause)
            if again is None:
                return
            lease = again

    def _work(self, lease: OwnLease) -> None:
        worker = worker_of(self._tools, lease)
        with self._lock:
            self._worker = worker
            if self._halt.is_set():
                worker.stop()
        try:
            worker.run()
        finally:
            with self._lock:
                self._worker = None

    def _another(self, pause: float) -> OwnLease | None:
        """Open another lease, as soon as the database takes it; None when this worker is to stop."""
        while not self._halt.wait(pause):
            lease = OwnLease(self._tools, self._options)
            try:
                lease.open()
                lease.renew()
            except Exception as error:  # noqa: BLE001 - reported; tried again
                self._tools.reporting.report(error)
                pause = longer(pause)
            else:
                return lease
        return None


def longer(pause: float) -> float:
    """Return the next pause, in seconds."""
    return min(pause * 2 or 1.0, LONGEST_PAUSE)
