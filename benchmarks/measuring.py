"""What benchmarks share: the processor time and memory of processes, percentiles, and figures as text."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["CLOCK_TICKS", "children_of", "cpu_seconds", "cpu_ticks", "family", "figure", "peak_memory", "percentile"]

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that so many percent of the values do not exceed."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def figure(value: float) -> str:
    """Write a number with three digits, or all digits before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def children_of(pid: int) -> list[int]:
    """Return the children of a process; none, if it has ended."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def family(*pids: int) -> list[int]:
    """Return processes with all that descend from them."""
    found = list(pids)
    for pid in found:  # which grows meanwhile
        found += children_of(pid)
    return found


def cpu_ticks(pid: int) -> int:
    """Return the processor time that a process has used, in clock ticks."""
    return sum(times_of(pid)[:2])


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the processor time of processes and of their children that have ended; 0 for one that is gone."""
    used = 0
    for pid in pids:
        try:
            used += sum(times_of(pid))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return used / CLOCK_TICKS


def times_of(pid: int) -> tuple[int, int, int, int]:
    """Return a process's time as user and in the kernel, and that of its ended children, in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system, children_user, children_system = map(int, fields[11:15])
    return user, system, children_user, children_system


def peak_memory(pids: Iterable[int]) -> float:
    """Return the most memory that the processes had at a time, each by itself, added up, in MB."""
    kilobytes = 0
    for pid in pids:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        kilobytes += next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)
    return kilobytes / 1024
