"""One child process, seen from its supervisor."""

import os
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress

from tomqueue.daemon.deaths import Cause, Death, reason_of
from tomqueue.daemon.spec import EXIT_DATABASE_AWAY, EXIT_LEASE_LOST, ChildSpec, Kind
from tomqueue.service import boot_time
from tomqueue.worker.board import Board, Leaving
from tomqueue.worker.options import WorkerOptions
from tomqueue.worker.watchdog import read_dump

__all__ = ["ChildProcess"]

Command = Callable[[ChildSpec], Sequence[str]]


class ChildProcess:
    """A child process: exec'd, with a board of its own, in a process group of its own.

    The group keeps a Ctrl-C at the terminal from reaching it, and is killed with it: what the job started goes too.
    """

    def __init__(self, command: Command, options: WorkerOptions, kind: Kind, inherited: Sequence[int] = ()) -> None:
        self.worker = secrets.randbits(62)
        self.board = Board.create()
        self.board.lease_until = 0.0  # until it is written
        self._watchdog = tempfile.TemporaryFile(prefix="tomqueue-stacks-")  # noqa: SIM115 - closed with the process
        self._command = command
        self._options = options
        self._kind = kind
        self._inherited = inherited
        self._process: subprocess.Popen[bytes] | None = None
        self._overran: frozenset[int] = frozenset()
        self._told = False
        self._killed = False
        self.started_at = boot_time()

    def start(self) -> None:
        """Execute the child. Call from the main thread: the child is told of the death of the thread that made it."""
        descriptors = (self.board.descriptor, self._watchdog.fileno())
        spec = ChildSpec(
            worker=self.worker, supervisor_pid=os.getpid(), board=descriptors[0], watchdog=descriptors[1],
            inherited=tuple(self._inherited), options=self._options, kind=self._kind,
        )  # fmt: skip
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            self._command(spec), stdin=subprocess.DEVNULL, pass_fds=(*descriptors, *self._inherited), process_group=0
        )

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def draining(self) -> bool:
        """Whether it is to end, by its supervisor's word or its own."""
        return self._told or self._killed or self.board.drain_by > 0

    def ended(self) -> int | None:
        """Return the exit status (negative: the signal), None while it lives."""
        assert self._process is not None
        return self._process.poll()

    def drain(self, grace: float) -> None:
        """Tell it to finish what runs and start nothing more."""
        if not self._told:
            self._told = True
            self.board.drain_by = boot_time() + grace
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now; what ran is not charged."""
        self._killed = True
        self._kill_group()

    def check(self, grace: float) -> bool:
        """Kill it if a job ignored its time-out, or if it was to end by now; say whether this call killed it."""
        if self._killed:
            return False
        now, end_by = boot_time(), self.board.drain_by
        self._overran = frozenset(slot.job for slot in self.board.running() if now > slot.deadline + grace)
        if not self._overran and not (end_by and now > end_by):
            return False
        self.kill()
        return True

    def death(self) -> Death:
        """Return how it ended and what it had. Call once it has ended."""
        running = self.board.running()
        return Death(
            cause=self._cause(bool(running)), reason=reason_of(self._status()), running=running,
            claims=self.board.claims(), overran=self._overran,
            stacks=read_dump(self._watchdog.fileno()) if self._overran else "",
        )  # fmt: skip

    @property
    def worked_off(self) -> bool:
        """Whether it ended because nothing was ready."""
        return self._status() == 0 and self.board.leaving is Leaving.IDLE

    @property
    def missed_database(self) -> bool:
        """Whether it ended because the database was away."""
        return self._status() == EXIT_DATABASE_AWAY

    def _cause(self, running: bool) -> Cause:
        status = self._status()
        if self._overran:
            return Cause.OVERRAN
        if self._killed or status in {EXIT_LEASE_LOST, EXIT_DATABASE_AWAY} or (status == 0 and not running):
            return Cause.TOLD
        if self._told and status == -signal.SIGTERM:  # before it could listen
            return Cause.TOLD
        return Cause.CRASHED

    def _status(self) -> int:
        status = self.ended()
        assert status is not None
        return status

    def close(self) -> None:
        """Give the shared memory back."""
        self.board.close()
        self._watchdog.close()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
