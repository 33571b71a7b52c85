"""What a child process does from its start to its end."""

import atexit
import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from tomqueue.daemon.deferred import Deferred
from tomqueue.daemon.leadership import Leadership
from tomqueue.daemon.spec import EXIT_LEASE_LOST, ChildSpec, Kind
from tomqueue.service import Repeating, boot_time
from tomqueue.store.leases import Leases
from tomqueue.worker.board import Board
from tomqueue.worker.tools import Tools
from tomqueue.worker.watchdog import Watchdog
from tomqueue.worker.worker import Worker

__all__ = ["leave", "run_child"]

PR_SET_PDEATHSIG = 1
LEASE_WITHIN = 30.0
WATCH_EVERY = 0.2
TIME_TO_END = 2.0


def run_child(tools: Tools, spec: ChildSpec) -> None:
    """Do what it is for until told to stop. Dies with its supervisor, and when its lease is over."""
    die_with_parent()
    board = Board(spec.board)
    keep_from_forks((spec.board, spec.watchdog, *spec.inherited))
    wait_for_lease(board)
    part = worker_of(tools, spec, board) if spec.kind is Kind.WORKER else Announcing(tools, spec, board)
    signal.signal(signal.SIGTERM, lambda _number, _frame: drain(board, tools.settings.grace))
    # handlers, not SIG_IGN: that would be inherited by the programs that a job executes
    signal.signal(signal.SIGINT, heed_not)
    signal.signal(signal.SIGHUP, heed_not)
    part.run()


def worker_of(tools: Tools, spec: ChildSpec, board: Board) -> Worker:
    """Return what runs jobs."""
    return Worker(
        tools, board, spec.worker, spec.options,
        watchdog=Watchdog(spec.watchdog),
        orphaned=lambda: is_orphan(spec),
        die=lambda: end_now(tools.logger),
    )  # fmt: skip


class Announcing:
    """A deferred process, with a thread that sees to its end."""

    def __init__(self, tools: Tools, spec: ChildSpec, board: Board) -> None:
        settings = tools.settings
        leadership = Leadership(Leases(tools.store), heartbeat=settings.heartbeat, lease=settings.lease)
        self._deferred = Deferred(tools.store, tools.publisher, leadership, tools.reporting.report)
        self._publisher = tools.publisher
        self._watch = Repeating("tomqueue-watch", self._look, interval=WATCH_EVERY, report=tools.reporting.report)
        self._spec = spec
        self._board = board
        self._logger = tools.logger

    def run(self) -> None:
        """Announce what becomes due."""
        self._watch.start()
        self._board.ready = True
        self._deferred.run()
        self._watch.stop(TIME_TO_END)
        self._publisher.close()

    def _look(self) -> None:
        if is_orphan(self._spec) or not self._board.has_lease():
            end_now(self._logger)
        if self._board.drain_by:
            self._deferred.stop()


def is_orphan(spec: ChildSpec) -> bool:
    """Say whether the supervisor is gone."""
    return os.getppid() != spec.supervisor_pid


def drain(board: Board, grace: float) -> None:
    """Write down that this process shall end; its guard reads it. All that a signal handler may safely do."""
    if not board.drain_by:
        board.drain_by = boot_time() + grace


def heed_not(_number: int, _frame: FrameType | None) -> None:
    """Leave a signal to the supervisor."""


def keep_from_forks(descriptors: Sequence[int]) -> None:
    """Let what a job forks be no part of this worker: it holds no lock of ours, and hears signals in its own way."""
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)

    def forked() -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        for descriptor in descriptors:
            with suppress(OSError):
                os.close(descriptor)

    os.register_at_fork(after_in_child=forked)


def wait_for_lease(board: Board) -> None:
    """Wait until the supervisor has written this process into the leases table."""
    give_up = boot_time() + LEASE_WITHIN
    while not board.has_lease() and not board.lease_lost and boot_time() < give_up:
        time.sleep(0.005)


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies; elsewhere the guard notices within a moment."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def leave(status: int = 0) -> NoReturn:
    """End this process now that its work is done, whatever threads the application has left running."""
    atexit._run_exitfuncs()  # noqa: SLF001 - what the application registered, and no wait for its threads
    logging.shutdown()
    os._exit(status)


def end_now(logger: logging.Logger) -> None:
    """End without touching a row: somebody else may own them by now."""
    logger.critical("process %d ends at once: its lease is over, or its supervisor is gone", os.getpid())
    for handler in logging.getLogger().handlers:
        handler.flush()
    os._exit(EXIT_LEASE_LOST)
