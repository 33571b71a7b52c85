"""Repair: frees what workers held whose host is lost."""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress

from tomqueue.crash_points import reached
from tomqueue.service import Repeating, boot_time
from tomqueue.settings import Settings
from tomqueue.store.leases import Fate, Freed, Held, Leases, WorkerRow
from tomqueue.store.liveness import LiveLocks
from tomqueue.worker.board import Board

__all__ = ["Sweep"]

SCAN_EVERY = 30.0
"""Between two scans for claims that nobody knows of: they read the whole table by ranges of its key."""


class Sweep:
    """Looks for expired leases every ``heartbeat`` seconds.

    Acts only after the heartbeat of this process has been connected for a full ``lease``: right after an outage
    of the database every lease looks expired, although its owner is only about to renew it. With ``locks`` the
    kernel says who is dead, and nothing is waited for.
    """

    def __init__(
        self,
        leases: Leases,
        logger: logging.Logger,
        settings: Callable[[], Settings],
        *,
        connected_for: Callable[[], float],
        boards: Callable[[], Mapping[int, Board]],
        locks: LiveLocks | None,
        report: Callable[[BaseException], None],
    ) -> None:
        self._leases = leases
        self._connected_for = connected_for
        self._boards = boards
        self._locks = locks
        self._scan_at = 0.0
        self._strays: set[Held] = set()
        self._logger = logger
        self._settings = settings
        self._thread = Repeating("tomqueue-sweep", self.look, interval=lambda: settings().heartbeat, report=report)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End, and wait for it at most that long."""
        self._thread.stop(seconds)

    def look(self) -> None:
        """Free the rows of workers whose lease is over; now and then also those that no lease covers."""
        self._take_over()
        if boot_time() >= self._scan_at:
            self._scan_at = boot_time() + SCAN_EVERY
            self._free_orphans()
            self._free_strays()

    def _take_over(self) -> None:
        for worker in self._lost():
            if not self._leases.bury(worker.id, self._settings().lease, known_dead=self._locks is not None):
                continue
            reached("sweep.after_bury")
            freed = self._leases.free_all(worker.id)
            self._leases.remove(worker.id)
            if self._locks is not None:
                self._locks.remove(worker.supervisor)
            self._logger.warning("worker %s is lost: freed %d of its jobs", worker.name, freed)

    def _lost(self) -> list[WorkerRow]:
        locks = self._locks
        if locks is not None:
            return [worker for worker in self._leases.all() if not locks.is_held(worker.supervisor)]
        return self._leases.expired() if self._connected_for() >= self._settings().lease else []

    def _free_orphans(self) -> None:
        """Free rows of workers without a lease: a claim that was under way may commit after its worker's burial."""
        for worker in self._leases.orphans():
            freed = self._leases.free_all(worker)
            self._logger.warning("freed %d jobs that a worker without a lease held", freed)

    def _free_strays(self) -> None:
        """Free rows that a child of ours holds in the table and not on its board, seen so twice under one token."""
        boards = self._boards()
        strays = {held for held in self._leases.held_by(list(boards)) if is_stray(held, boards[held.worker])}
        for held in strays & self._strays:
            if self._leases.free(held.worker, [Freed(id=held.id, fate=Fate.REFUND)], 1):
                self._logger.warning("freed job %d: its worker does not know that it holds it", held.id)
        self._strays = strays


def is_stray(held: Held, board: Board) -> bool:
    """Say whether a board does not know a row that its worker holds."""
    with suppress(ValueError):  # the child has died, and its burial frees the row
        known = {*board.claims(), *board.handed(), *(slot.job for slot in board.running())}
        return held.id not in known
    return False
