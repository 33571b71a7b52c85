"""Repair: frees what workers held whose host is lost."""

import logging
from collections.abc import Callable

from tomqueue.service import Repeating
from tomqueue.store.leases import Leases

__all__ = ["Sweep"]


class Sweep:
    """Looks for expired leases every ``interval`` seconds.

    Acts only after the heartbeat of this process has been connected for a full ``lease``: right after an outage
    of the database every lease looks expired, although its owner is only about to renew it.
    """

    def __init__(
        self,
        leases: Leases,
        connected_for: Callable[[], float],
        logger: logging.Logger,
        *,
        interval: float,
        lease: float,
        report: Callable[[BaseException], None],
    ) -> None:
        self._leases = leases
        self._connected_for = connected_for
        self._logger = logger
        self._lease = lease
        self._thread = Repeating("tomqueue-sweep", self.look, interval=interval, report=report)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._thread.stop()

    def look(self) -> None:
        """Free the rows of workers whose lease is over."""
        if self._connected_for() < self._lease:
            return
        for worker in self._leases.expired():
            if not self._leases.bury(worker.id, self._lease):
                continue
            freed = self._leases.free_all(worker.id)
            self._leases.remove(worker.id)
            self._logger.warning("worker %s is lost: freed %d of its jobs", worker.name, freed)
