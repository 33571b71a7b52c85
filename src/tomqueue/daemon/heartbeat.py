"""Renews the leases of a supervisor's children, on a connection and in a thread of its own."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf

from tomqueue.service import Repeating, boot_time
from tomqueue.settings import Settings
from tomqueue.store.leases import Leases
from tomqueue.worker.board import Board

__all__ = ["Heartbeat", "trusted_until"]

MARGIN = 1.0
"""A child stops trusting its lease this many seconds before others may take it over."""


def trusted_until(renewed: float, lease: float, *, timed: bool) -> float:
    """Return until when (boot time) a child may trust a lease that was renewed at ``renewed``."""
    return renewed + lease - MARGIN if timed else inf


class Heartbeat:
    """Renews every ``heartbeat`` seconds, and writes the end of the lease on each child's board.

    ``boards`` returns the board of every child by its worker id. When the database does not answer, the leases
    simply run out: each child dies before another worker may take its jobs. Where leases are not ``timed``
    (SQLite: the kernel knows who lives) they do not run out.
    """

    def __init__(
        self,
        leases: Leases,
        supervisor: int,
        boards: Callable[[], Mapping[int, Board]],
        settings: Callable[[], Settings],
        *,
        timed: bool,
        report: Callable[[BaseException], None],
    ) -> None:
        self._leases = leases
        self._supervisor = supervisor
        self._boards = boards
        self._settings = settings
        self._timed = timed
        self._connected_since: float | None = None
        self._thread = Repeating("tomqueue-heartbeat", self._beat, interval=lambda: settings().heartbeat, report=report)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End, and wait for it at most that long."""
        self._thread.stop(seconds)

    def connected_for(self) -> float:
        """Return for how many seconds every renewal has succeeded."""
        since = self._connected_since
        return 0.0 if since is None else boot_time() - since

    def _beat(self) -> None:
        boards, lease = self._boards(), self._settings().lease
        began = boot_time()
        try:
            renewed = self._leases.renew(self._supervisor, lease)
        except BaseException:
            self._connected_since = None
            raise
        if self._connected_since is None:
            self._connected_since = began
        for worker, board in boards.items():
            with suppress(ValueError):  # the board of a child that has died meanwhile is closed
                if worker in renewed:
                    board.lease_until = trusted_until(began, lease, timed=self._timed)
                else:  # taken over: the child must die before it touches what is not its own
                    board.lose_lease()
