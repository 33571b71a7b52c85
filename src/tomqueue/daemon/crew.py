"""The children of a supervisor: starts them, replaces those that end, restarts them one by one."""

import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from tomqueue.daemon.burials import Burials
from tomqueue.daemon.deaths import Cause, fates
from tomqueue.daemon.heartbeat import trusted_until
from tomqueue.daemon.process import ChildProcess, Command
from tomqueue.errors import StoreError
from tomqueue.service import boot_time
from tomqueue.settings import Settings
from tomqueue.store.leases import Leases, WorkerRow
from tomqueue.store.sql import SqlStore
from tomqueue.worker.board import Board
from tomqueue.worker.worker import WorkerOptions

__all__ = ["Crew", "Place"]

SETTLED = 10.0
"""A child that lived so long, or started a job, is replaced at once; others after a growing pause."""
LONGEST_PAUSE = 30.0
PAUSE = 1.0
"""Before a start that failed is tried again."""


@dataclass(slots=True)
class Place:
    """One of the processes that shall run, and the child that fills the place now."""

    options: WorkerOptions
    child: ChildProcess | None = None
    failures: int = 0
    next_start: float = 0.0
    finished: bool = False
    """Whether it need not be filled again (``until_idle``)."""


@dataclass(slots=True)
class Rolling:
    """A restart one by one: the places whose old child is still to be replaced."""

    waiting: list[Place] = field(default_factory=list)
    current: Place | None = None


class Crew:
    """Keeps every place filled until it is told to drain."""

    def __init__(
        self,
        store: SqlStore,
        settings: Callable[[], Settings],
        places: Sequence[WorkerOptions],
        command: Command,
        logger: logging.Logger,
        *,
        report: Callable[[BaseException], None],
        supervisor: int,
        lock: int | None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._places = [Place(options) for options in places]
        self._command = command
        self._logger = logger
        self._report = report
        self._supervisor = supervisor
        self._lock = lock
        self._leases = Leases(store)
        self._burials = Burials(self._leases, self._living, logger, lambda: settings().max_crashes)
        self._rolling = Rolling()
        self._stopping = False

    # For the supervisor -------------------------------------------------------------------------------

    def work(self) -> None:
        """Look after every place: replace who ended, kill who overran, free what the dead left."""
        for place in self._places:
            self._look_after(place)
        self._roll()
        self._guarded(self._burials.work)

    def drain(self) -> None:
        """Tell every child to finish what runs; nobody is replaced any more."""
        self._stopping = True
        for child in self._children():
            child.drain(self._settings().grace)

    def kill(self) -> None:
        """End every child now."""
        self._stopping = True
        for child in self._children():
            child.kill()

    def restart(self) -> None:
        """Replace the children one by one; each waits until the one before takes jobs."""
        self._rolling.waiting = [place for place in self._places if place.child is not None]
        self._rolling.current = None

    @property
    def over(self) -> bool:
        """Whether nobody lives, nobody will be replaced, and the dead are buried."""
        ended = self._stopping or all(place.finished for place in self._places)
        return ended and not self._children() and not self._burials.pending

    @property
    def never_started(self) -> bool:
        """Whether every place has failed several times before its child took a job: the application cannot start."""
        return all(place.failures >= 5 for place in self._places)  # noqa: PLR2004 - a handful

    def boards(self) -> dict[int, Board]:
        """Return the board of every child by its worker id."""
        return {child.worker: child.board for child in self._children()}

    # Places -------------------------------------------------------------------------------------------

    def _look_after(self, place: Place) -> None:
        child = place.child
        if child is not None and child.ended() is None:
            if child.check(self._settings().grace):
                self._logger.warning("killed worker process %d: a job did not end in time", child.pid)
            return
        if child is not None:
            self._empty(place, child)
        if not self._stopping and not place.finished and boot_time() >= place.next_start:
            self._guarded(lambda: self._fill(place))

    def _fill(self, place: Place) -> None:
        """Start a child; it takes no job before its lease is written."""
        place.next_start = boot_time() + PAUSE
        child = ChildProcess(self._command, place.options, [] if self._lock is None else [self._lock])
        child.board.lease_until = 0.0
        began = boot_time()
        child.start()
        try:
            self._leases.register(self._row(child, place.options))
        except BaseException:
            child.kill()
            child.wait()
            child.close()
            raise
        lease = self._settings().lease
        child.board.lease_until = trusted_until(began, lease, timed=self._lock is None)
        place.child = child

    def _row(self, child: ChildProcess, options: WorkerOptions) -> WorkerRow:
        now = self._store.now()
        return WorkerRow(
            id=child.worker, name=f"host:{socket.gethostname()} pid:{child.pid}", supervisor=self._supervisor,
            kind="worker", queues=",".join(options.queues) or "*", slots=options.threads, started_at=now,
            expires_at=now + timedelta(seconds=self._settings().lease),
        )  # fmt: skip

    def _empty(self, place: Place, child: ChildProcess) -> None:
        death = child.death()
        place.child = None
        if death.cause is not Cause.TOLD:
            self._logger.error("worker process %d %s while it ran %d jobs", child.pid, death.reason, len(death.running))
        self._guarded(lambda: self._burials.forget_board(child.board))
        rows = fates(death, self._store.now())
        self._guarded(lambda: self._burials.bury(child.worker, f"process {child.pid}", rows))
        place.finished = place.options.until_idle and child.ended() == 0
        started = child.board.started > 0 or boot_time() - child.started_at > SETTLED
        place.failures = 0 if started or death.cause is Cause.TOLD else place.failures + 1
        place.next_start = boot_time() + (min(0.25 * 2**place.failures, LONGEST_PAUSE) if place.failures else 0)
        child.close()

    # Restart one by one -------------------------------------------------------------------------------

    def _roll(self) -> None:
        rolling = self._rolling
        current = rolling.current
        if current is not None and (current.child is None or current.child.draining or not current.child.board.ready):
            return
        rolling.current = None
        if rolling.waiting and not self._stopping:
            rolling.current = rolling.waiting.pop(0)
            if rolling.current.child is not None:
                rolling.current.child.drain(self._settings().grace)

    # Parts --------------------------------------------------------------------------------------------

    def _children(self) -> list[ChildProcess]:
        return [place.child for place in self._places if place.child is not None]

    def _living(self) -> list[Board]:
        children = [child for child in self._children() if child.board.ready and not child.draining]
        return [child.board for child in children if child.ended() is None]

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (StoreError, OSError) as error:
            self._report(error)
