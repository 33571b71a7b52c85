"""A slot runs one job at a time, and can be interrupted from another thread while it does."""

import ctypes
import signal
import threading
from collections.abc import Callable
from typing import Protocol

from tomqueue.errors import Interruption, JobCancelled
from tomqueue.service import boot_time
from tomqueue.worker.board import Board

__all__ = ["Occupant", "Slot", "interrupt_main_thread", "interrupt_thread"]


class Occupant(Protocol):
    """What a slot deals with: a claimed row, or a message."""

    @property
    def id(self) -> int:
        """What the board calls it."""

    @property
    def attempts(self) -> int:
        """The attempts at it, this one included."""

    @property
    def suspect(self) -> bool:
        """Whether its process died when it ran before."""


class Slot:
    """One place where jobs run: the process's main thread, or a thread of its own.

    ``interrupter`` raises the slot's ``pending`` interruption in its thread, or takes it back.
    """

    def __init__(self, index: int, board: Board, interrupter: "Interrupter") -> None:
        self.index = index
        self.board = board
        self.thread = threading.get_ident()
        self.job: Occupant | None = None
        self.since = 0.0
        self.deadline = 0.0
        self.pending: type[Interruption] | None = None
        self._interrupter = interrupter
        self._lock = threading.Lock()
        self._armed = False

    def occupy(self, job: Occupant, limit: float, attempts_left: int) -> None:
        """Say that ``job`` is dealt with here from now on, for at most ``limit`` seconds."""
        self.since = boot_time()
        self.deadline = self.since + limit
        self.job = job  # after its deadline: who reads the job first never sees it with that of the job before
        self.pending = None
        self.board.start(self.index, job.id, self.deadline, job.attempts, attempts_left, suspect=job.suspect)

    def arm(self, limit: float, attempts_left: int) -> None:
        """Say that the job itself runs from now on, for at most ``limit`` seconds, and may be interrupted."""
        self.deadline = boot_time() + limit
        self.board.limit(self.index, self.deadline, attempts_left)
        self._armed = True

    def disarm(self) -> None:
        """Say that the job has ended; an interruption that comes too late is swallowed here."""
        while True:
            try:
                with self._lock:
                    self._armed = False
                    if self.pending is not None:
                        self._interrupter(self, None)
            except Interruption:
                continue
            break

    def vacate(self) -> None:
        """Say that nothing is dealt with here any more."""
        self.job = None
        self.board.stop(self.index)

    def interrupt(self, interruption: type[Interruption], job: Occupant) -> bool:
        """Raise ``interruption`` in ``job``; False when it does not run here any more or one was raised already."""
        with self._lock:
            if not self._armed or self.job is not job or self.pending is not None:
                return False
            self.pending = interruption
            if interruption is JobCancelled:  # its time is over: after the grace time the supervisor kills it
                self.deadline = boot_time()
                self.board.cut(self.index, self.deadline)
            self._interrupter(self, interruption)
        return True

    def take_pending(self) -> type[Interruption] | None:
        """Return what is to be raised now; asked by the signal handler."""
        return self.pending if self._armed else None


Interrupter = Callable[[Slot, type[Interruption] | None], None]


def interrupt_main_thread(slot: Slot, interruption: type[Interruption] | None) -> None:
    """Send SIGALRM to the slot's thread: it ends a sleep or a blocking read there, too.

    The handler, installed by the worker, raises what is pending; after ``disarm`` it finds nothing to raise.
    """
    if interruption is not None:
        signal.pthread_kill(slot.thread, signal.SIGALRM)


def interrupt_thread(slot: Slot, interruption: type[Interruption] | None) -> None:
    """Raise in a thread that runs Python code; one that is blocked in C sees it only when it returns."""
    target = ctypes.c_ulong(slot.thread)
    raised = None if interruption is None else ctypes.py_object(interruption)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(target, raised)
