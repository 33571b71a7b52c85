"""The lease of a worker that runs inside the application's own process, where no supervisor holds it."""

import os
import secrets
import socket
from dataclasses import dataclass, field
from datetime import timedelta

from tomqueue.daemon.heartbeat import Heartbeat, trusted_until
from tomqueue.daemon.sweep import Sweep
from tomqueue.errors import StoreError
from tomqueue.service import boot_time
from tomqueue.store.leases import Leases, WorkerRow
from tomqueue.worker.board import Board
from tomqueue.worker.options import WorkerOptions
from tomqueue.worker.tools import Tools

__all__ = ["OwnLease"]

TIME_TO_END = 2.0


@dataclass(repr=False)
class OwnLease:
    """A row in the leases table, renewed by a thread of its own; on SQLite the lock that says who lives.

    A sweep runs beside it: where there is no supervisor, somebody else must free what a dead process held. A lease
    that is lost stays lost: open another.
    """

    tools: Tools
    options: WorkerOptions
    worker: int = field(default_factory=lambda: secrets.randbits(62))
    supervisor: int = field(default_factory=lambda: secrets.randbits(62))
    board: Board = field(default_factory=Board.create)

    def open(self) -> None:
        """Write the lease; ``renew`` follows. Raises StoreError, and has then left nothing behind."""
        self.leases = Leases(self.tools.store)
        self._locks = self.tools.store.live_locks()
        self._lock = None if self._locks is None else self._locks.hold(self.supervisor)
        timed, report = self._locks is None, self.tools.reporting.report
        self._heartbeat = Heartbeat(
            self.leases, self.supervisor, self._boards, lambda: self.tools.settings, timed=timed, report=report,
        )  # fmt: skip
        self._sweep = Sweep(
            self.leases, self.tools.logger, lambda: self.tools.settings, connected_for=self._heartbeat.connected_for,
            boards=self._boards, locks=self._locks, report=report,
        )  # fmt: skip
        try:
            self._register(timed=timed)
        except BaseException:
            self._let_go()
            raise

    def renew(self) -> None:
        """Begin to renew it."""
        self._heartbeat.start()
        self._sweep.start()

    def close(self) -> None:
        """End the lease. What its worker still holds, because the database took no more, is the next sweep's."""
        self._sweep.stop(TIME_TO_END)
        self._heartbeat.stop(TIME_TO_END)
        try:
            if not self.board.claims():
                self.leases.remove(self.worker)
        except StoreError as error:  # it runs out by itself
            self.tools.reporting.report(error)
        finally:
            self._let_go()

    def _boards(self) -> dict[int, Board]:
        return {self.worker: self.board}

    def _register(self, *, timed: bool) -> None:
        began, lease = boot_time(), self.tools.settings.lease
        now = self.tools.store.now()
        row = WorkerRow(
            id=self.worker, name=f"host:{socket.gethostname()} pid:{os.getpid()} (in process)",
            supervisor=self.supervisor, kind="worker", queues=",".join(self.options.queues) or "*",
            slots=self.options.threads, first_rank=self.options.first_rank, last_rank=self.options.last_rank,
            started_at=now, expires_at=now + timedelta(seconds=lease),
        )  # fmt: skip
        self.leases.register(row)
        self.board.lease_until = trusted_until(began, lease, timed=timed)

    def _let_go(self) -> None:
        if self._locks is not None and self._lock is not None:
            self._locks.let_go(self.supervisor, self._lock)
        self.board.close()
