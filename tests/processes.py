"""Processes as the kernel knows them."""

import os
import signal
import time
from pathlib import Path

PATIENCE = 30.0
"""Seconds for the threads of a process to stand still."""
GONE = "X"
"""The state of a process that is not there."""


def is_alive(pid: int) -> bool:
    """Say whether a process runs (a zombie does not)."""
    return _state(Path(f"/proc/{pid}")) not in {GONE, "Z"}


def freeze(pid: int) -> None:
    """Stop a process, and return once each of its threads stands still: the signal takes milliseconds to reach all."""
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + PATIENCE
    while any(_state(thread) not in {GONE, "T", "Z"} for thread in _threads(pid)):
        assert time.monotonic() < until, f"process {pid} does not stand still"
        time.sleep(0.001)


def _threads(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return []


def _state(process: Path) -> str:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # it ended before, or after, the file was opened
        return GONE
