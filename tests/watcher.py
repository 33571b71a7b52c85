"""What runs a private server and ends it with the test session, however that ends (`kill -9` too).

Each server runs under a watcher, a process of its own that executes this file. The watcher reads a pipe whose
other end only the test session has. When the session ends, the pipe closes and the watcher stops the server
and removes its directory.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

START_SECONDS = 90  # MariaDB's first start on a busy two-core machine takes about ten
STOP_SECONDS = 20
POLL_SECONDS = 0.05
LOG_TAIL_LINES = 30


class ServerFailedError(Exception):
    """The server is installed and did not start."""


@dataclass(frozen=True)
class Plan:
    """What a watcher runs in its directory: preparations in order, then the server until the session ends."""

    directory: str
    commands: Sequence[Sequence[str]]
    stop_signal: int
    user: str | None  # whom the commands run as; None: as the session itself
    environment: dict[str, str] = field(default_factory=dict)  # beside the session's own

    @property
    def log(self) -> Path:
        """Everything the commands print."""
        return Path(self.directory, "server.log")


@contextmanager
def running(plan: Plan, ready: Callable[[], bool]) -> Iterator[subprocess.Popen[bytes]]:
    """Run the plan under a watcher, from when the server is ready until the block ends.

    The watcher itself ends when the server does.
    """
    # A session of its own: Ctrl-C in the terminal reaches the tests, which then stop the server in order.
    command = [sys.executable, "-P", __file__, json.dumps(asdict(plan)), str(os.getpid())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as watcher:
        _wait_until_ready(plan, ready, watcher)
        yield watcher  # leaving the block closes the pipe and waits for the watcher


def _wait_until_ready(plan: Plan, ready: Callable[[], bool], watcher: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while watcher.poll() is None and time.monotonic() < deadline:
        if ready():
            return
        time.sleep(POLL_SECONDS)
    problem = "did not start in time" if watcher.poll() is None else "stopped while starting"
    log = plan.log.read_text(errors="replace") if plan.log.exists() else ""
    tail = "\n".join(log.splitlines()[-LOG_TAIL_LINES:])
    raise ServerFailedError(f"{plan.commands[-1][0]} {problem}; its log ends with:\n{tail}")


# ---- The watcher: `python tests/watcher.py PLAN SESSION_PID` ----


def watch(plan: Plan, session: int) -> None:
    """Run the plan's commands until the session closes our standard input, dies, or a command fails."""
    signal.signal(signal.SIGTERM, _exit)
    try:
        with plan.log.open("ab") as log:
            for command in plan.commands:
                if _run(command, plan, log.fileno(), session) != 0:
                    break
    finally:
        if _abandoned(session, wait=0):  # else the session shows the failed command's log, then removes it
            shutil.rmtree(plan.directory, ignore_errors=True)


def _exit(_signum: int, _frame: FrameType | None) -> None:
    sys.exit(1)


def _run(command: Sequence[str], plan: Plan, log: int, session: int) -> int | None:
    """Run one command to its end, or stop it when the session is over (None)."""
    with subprocess.Popen(
        command,
        cwd=plan.directory,
        env={**os.environ, **plan.environment},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        user=plan.user,
        group=plan.user,
        extra_groups=None if plan.user is None else [],
    ) as process:
        try:
            while process.poll() is None:
                if _abandoned(session, wait=POLL_SECONDS):
                    return None
            return process.returncode
        finally:
            _stop(process, plan.stop_signal)


def _abandoned(session: int, *, wait: float) -> bool:
    """Say whether the session is over, waiting for it a moment.

    The pipe alone would not do: a child that the session forked without exec holds it open past its death.
    """
    over, _, _ = select.select([sys.stdin], [], [], wait)
    return bool(over) or os.getppid() != session


def _stop(process: subprocess.Popen[bytes], stop_signal: int) -> None:
    """Ask the process to stop, then kill it with what it started."""
    if process.poll() is None:
        process.send_signal(stop_signal)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody left: Linux says one, macOS the other
        os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    watch(Plan(**json.loads(sys.argv[1])), int(sys.argv[2]))
