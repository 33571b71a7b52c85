"""Renews the leases of a supervisor's children, on a connection and in a thread of its own."""

from collections.abc import Callable, Mapping
from contextlib import suppress

from tomqueue.service import Repeating, boot_time
from tomqueue.store.leases import Leases
from tomqueue.worker.board import Board

__all__ = ["Heartbeat"]

MARGIN = 1.0
"""A child stops trusting its lease this many seconds before others may take it over."""


class Heartbeat:
    """Renews every ``interval`` seconds, and writes the end of the lease on each child's board.

    ``boards`` returns the board of every child by its worker id. When the database does not answer, the leases
    simply run out: each child dies before another worker may take its jobs.
    """

    def __init__(
        self,
        leases: Leases,
        supervisor: int,
        boards: Callable[[], Mapping[int, Board]],
        *,
        interval: float,
        lease: float,
        report: Callable[[BaseException], None],
    ) -> None:
        self._leases = leases
        self._supervisor = supervisor
        self._boards = boards
        self._lease = lease
        self._connected_since: float | None = None
        self._thread = Repeating("tomqueue-heartbeat", self._beat, interval=interval, report=report)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._thread.stop()

    def connected_for(self) -> float:
        """Return for how many seconds every renewal has succeeded."""
        since = self._connected_since
        return 0.0 if since is None else boot_time() - since

    def _beat(self) -> None:
        boards = self._boards()
        began = boot_time()
        try:
            renewed = self._leases.renew(self._supervisor, self._lease)
        except BaseException:
            self._connected_since = None
            raise
        if self._connected_since is None:
            self._connected_since = began
        for worker, board in boards.items():
            with suppress(ValueError):  # the board of a child that has died meanwhile is closed
                if worker in renewed:
                    board.lease_until = began + self._lease - MARGIN
                else:  # taken over: the child must die before it touches what is not its own
                    board.lose_lease()
