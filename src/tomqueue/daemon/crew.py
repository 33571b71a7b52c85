"""The children of a supervisor: starts them, replaces those that end, restarts them one by one."""

import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tomqueue.daemon.deaths import Cause
from tomqueue.daemon.process import ChildProcess, Command
from tomqueue.daemon.registry import Birth, Registry
from tomqueue.daemon.restarts import GIVE_UP_AFTER, Restarts
from tomqueue.daemon.spec import Kind
from tomqueue.service import boot_time
from tomqueue.settings import Settings
from tomqueue.store.leases import WorkerRow
from tomqueue.store.sql import SqlStore
from tomqueue.worker.board import Board
from tomqueue.worker.housekeeper import TIME_TO_UNWIND
from tomqueue.worker.options import WorkerOptions

__all__ = ["Crew", "Place"]

TIME_TO_BURY = 5.0
"""After the last child has ended; what the database does not take by then is the next sweep's."""


@dataclass(slots=True)
class Place:
    """One of the processes that shall run, and the child that fills the place now."""

    options: WorkerOptions
    kind: Kind = Kind.WORKER
    name: str | None = None
    """What its processes are called, one after the other; None is by host and process id."""
    child: ChildProcess | None = None
    restarts: Restarts = field(default_factory=Restarts)
    finished: bool = False
    """Whether it need not be filled again (``until_idle``)."""


@dataclass(slots=True)
class Rolling:
    """A restart one by one: the places whose old child is still to be replaced."""

    waiting: list[Place] = field(default_factory=list)
    current: Place | None = None


class Crew:
    """Keeps every place filled until it is told to drain.

    ``database_answers`` says whether the last heartbeat was written.
    """

    def __init__(
        self,
        store: SqlStore,
        settings: Callable[[], Settings],
        places: Sequence[Place],
        command: Command,
        logger: logging.Logger,
        *,
        report: Callable[[BaseException], None],
        database_answers: Callable[[], bool],
        supervisor: int,
        lock: int | None,
    ) -> None:
        self._settings = settings
        self._places = list(places)
        self._command = command
        self._logger = logger
        self._report = report
        self._database_answers = database_answers
        self._supervisor = supervisor
        self._lock = lock
        self._rolling = Rolling()
        self._stopping = False
        self._bury_by = 0.0
        self._registry = Registry(store, settings, self._living, logger, timed=lock is None, report=report)

    # For the supervisor -------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to write leases and bury the dead."""
        self._registry.start()

    def stop(self) -> None:
        """End; waits a moment for the database, and no longer."""
        self._registry.stop(TIME_TO_BURY)

    def work(self) -> None:
        """Look after every place: replace who ended, kill who overran. Never waits for the database."""
        for place in self._places:
            self._guarded(lambda place=place: self._look_after(place))  # type: ignore[misc]
        self._roll()

    def drain(self) -> None:
        """Tell every child to end what runs, as the setting ``on_term`` says; nobody is replaced any more."""
        self._stopping = True
        settings = self._settings()
        for child in self._children():
            child.drain(settings.grace if settings.on_term == "finish" else min(settings.grace, TIME_TO_UNWIND))

    def kill(self) -> None:
        """End every child now."""
        self._stopping = True
        for child in self._children():
            child.kill()

    def restart(self) -> None:
        """Replace the children one by one; each waits until the one before takes jobs. Empty places wait no longer."""
        for place in self._places:
            if place.child is None:
                place.restarts = Restarts()
        self._rolling.waiting = [place for place in self._places if place.child is not None]
        self._rolling.current = None

    @property
    def over(self) -> bool:
        """Whether nobody lives, nobody will be replaced, and the dead are buried."""
        ended = self._stopping or all(place.finished for place in self._places)
        if not ended or self._children():
            return False
        self._bury_by = self._bury_by or boot_time() + TIME_TO_BURY
        return not self._registry.pending or boot_time() > self._bury_by

    @property
    def never_started(self) -> bool:
        """Whether in every place several children in a row ended before they took jobs: nothing can be started."""
        return all(place.restarts.failures >= GIVE_UP_AFTER for place in self._places)

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
        wanted = not self._stopping and not place.finished
        if wanted and place.restarts.may_start(boot_time(), database_answers=self._database_answers()):
            self._fill(place)

    def _fill(self, place: Place) -> None:
        """Start a child; it takes no job before its lease is written."""
        place.restarts.started(boot_time())
        child = ChildProcess(self._command, place.options, place.kind, [] if self._lock is None else [self._lock])
        try:
            child.start()
        except BaseException:
            child.close()
            raise
        place.child = child
        self._registry.born(Birth(self._row(child, place), child.board))

    def _row(self, child: ChildProcess, place: Place) -> WorkerRow:
        options, works = place.options, place.kind is Kind.WORKER
        now = datetime.now(UTC)  # the registry writes the database's own
        name = place.name or f"host:{socket.gethostname()} pid:{child.pid}"
        return WorkerRow(
            id=child.worker, name=name, supervisor=self._supervisor,
            kind=place.kind.value, queues=(",".join(options.queues) or "*") if works else "",
            slots=options.threads * works, started_at=now, expires_at=now,
            first_rank=options.first_rank, last_rank=options.last_rank,
        )  # fmt: skip

    def _empty(self, place: Place, child: ChildProcess) -> None:
        death = child.death()
        place.child = None
        if death.cause is not Cause.TOLD:
            self._logger.error(
                "%s process %d %s while it ran %d jobs", place.kind, child.pid, death.reason, len(death.running)
            )
        self._registry.died(child.worker, f"process {child.pid}", death)
        place.finished = place.options.until_idle and child.worked_off
        place.restarts.ended(
            boot_time(), worked=child.board.ready, told=death.cause is Cause.TOLD, missed_database=child.missed_database
        )
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
        boards = []
        for place in self._places:
            if (child := place.child) is None or place.kind is not Kind.WORKER:
                continue
            with suppress(ValueError):  # asked by the registry's thread: a child may have died, its board closed
                if child.board.ready and not child.draining and child.ended() is None:
                    boards.append(child.board)
        return boards

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - trouble with one place must not end what holds the others
            self._report(error)
