"""How much of a core processes use, those that end meanwhile included."""

import os
from collections.abc import Sequence
from pathlib import Path

from tomqueue.service import boot_time

__all__ = ["CpuUse"]

TICKS = os.sysconf("SC_CLK_TCK")


class CpuUse:
    """Looks at processes again and again; one that came later is counted from its start."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}
        self._ended = 0.0

    def look(self, pids: Sequence[int]) -> None:
        """Take note of what processes have used so far."""
        for pid in pids:
            seconds = cpu_seconds(pid)
            if seconds is not None:
                self._first.setdefault(pid, seconds if self._began is None else 0.0)
                self._last[pid] = seconds
        self._ended = boot_time()
        self._began = self._began or self._ended

    @property
    def share(self) -> float:
        """The share of a core that all of them used together."""
        lasted = self._ended - (self._began or self._ended)
        used = sum(last - self._first[pid] for pid, last in self._last.items())
        return used / lasted if lasted else 0.0


def cpu_seconds(pid: int) -> float | None:
    """Return the seconds that a process has used; None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return (int(fields[11]) + int(fields[12])) / TICKS
