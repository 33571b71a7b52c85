"""Repair: frees what workers held whose host is lost."""

import logging
from collections.abc import Callable

from tomqueue.service import Repeating
from tomqueue.settings import Settings
from tomqueue.store.leases import Leases, WorkerRow
from tomqueue.store.liveness import LiveLocks

__all__ = ["Sweep"]


class Sweep:
    """Looks for expired leases every ``heartbeat`` seconds.

    Acts only after the heartbeat of this process has been connected for a full ``lease``: right after an outage
    of the database every lease looks expired, although its owner is only about to renew it. With ``locks`` the
    kernel says who is dead, and nothing is waited for.
    """

    def __init__(
        self,
        leases: Leases,
        connected_for: Callable[[], float],
        locks: LiveLocks | None,
        logger: logging.Logger,
        settings: Callable[[], Settings],
        *,
        report: Callable[[BaseException], None],
    ) -> None:
        self._leases = leases
        self._connected_for = connected_for
        self._locks = locks
        self._logger = logger
        self._settings = settings
        self._thread = Repeating("tomqueue-sweep", self.look, interval=lambda: settings().heartbeat, report=report)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._thread.stop()

    def look(self) -> None:
        """Free the rows of workers whose lease is over."""
        for worker in self._lost():
            if not self._leases.bury(worker.id, self._settings().lease, known_dead=self._locks is not None):
                continue
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
