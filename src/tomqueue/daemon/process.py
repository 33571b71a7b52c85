"""One child process, seen from its supervisor."""

import os
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress

from tomqueue.daemon.deaths import Cause, Death, reason_of
from tomqueue.daemon.spec import EXIT_LEASE_LOST, ChildSpec
from tomqueue.service import boot_time
from tomqueue.worker.board import Board
from tomqueue.worker.watchdog import read_dump
from tomqueue.worker.worker import WorkerOptions

__all__ = ["ChildProcess"]

Command = Callable[[ChildSpec], Sequence[str]]


class ChildProcess:
    """A worker process: exec'd, with a board of its own, in a process group of its own.

    The group keeps a Ctrl-C at the terminal from reaching it, and is killed with it: what the job started goes too.
    """

    def __init__(self, command: Command, options: WorkerOptions, inherited: Sequence[int] = ()) -> None:
        self.worker = secrets.randbits(62)
        self.board = Board.create()
        self._watchdog = tempfile.TemporaryFile(prefix="tomqueue-stacks-")  # noqa: SIM115 - closed with the process
        self._command = command
        self._options = options
        self._inherited = inherited
        self._process: subprocess.Popen[bytes] | None = None
        self._overran: frozenset[int] = frozenset()
        self._told = False
        self.started_at = boot_time()

    def start(self) -> None:
        """Execute the child. Call from the main thread: the child is told of the death of the thread that made it."""
        descriptors = (self.board.descriptor, self._watchdog.fileno())
        spec = ChildSpec(
            worker=self.worker, supervisor_pid=os.getpid(), board=descriptors[0], watchdog=descriptors[1],
            options=self._options,
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
        """Whether it was told to end."""
        return self._told

    def ended(self) -> int | None:
        """Return the exit status (negative: the signal), None while it lives."""
        assert self._process is not None
        return self._process.poll()

    def wait(self) -> None:
        """Wait for its end."""
        assert self._process is not None
        self._process.wait()

    def drain(self, grace: float) -> None:
        """Tell it to finish what runs and start nothing more."""
        if not self._told:
            self._told = True
            self.board.drain_by = boot_time() + grace
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now; what ran is not charged."""
        self._told = True
        self._kill_group()

    def check(self, grace: float) -> bool:
        """Kill it if a job ignored its time-out, or it the end of the grace time; say whether it was killed."""
        now = boot_time()
        overran = frozenset(slot.job for slot in self.board.running() if now > slot.deadline + grace)
        if overran:
            self._overran = overran
        elif not (self._told and now > self.board.drain_by):
            return False
        self._kill_group()
        return True

    def death(self) -> Death:
        """Return how it ended and what it had. Call once it has ended."""
        status = self.ended()
        assert status is not None
        cause = Cause.CRASHED
        if self._overran:
            cause = Cause.OVERRAN
        elif self._told or status in {0, EXIT_LEASE_LOST}:
            cause = Cause.TOLD
        return Death(
            cause=cause, reason=reason_of(status), running=self.board.running(), claims=self.board.claims(),
            overran=self._overran, stacks=read_dump(self._watchdog.fileno()) if self._overran else "",
        )  # fmt: skip

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
