"""Whether what a process uses stays flat: memory, descriptors, connections, sampled while it runs."""

import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

__all__ = ["MOST_GROWTH", "Meters", "Series", "connections_to", "descriptors_of", "memory_of"]

MOST_GROWTH = {"MB": 12.0, "descriptors": 10.0, "connections": 20.0}
"""By unit, how much more of it the last quarter may show than the second: caches fill, and a broker that is away for
the first time makes a worker open what it publishes by. A leak of one with every fault is more after half an hour."""
ESTABLISHED = "01"
"""In /proc/net/tcp."""
FEWEST = 8
"""Samples from which a growth can be read."""


@dataclass(frozen=True, slots=True)
class Series:
    """One thing that is measured again and again."""

    what: str
    unit: str
    samples: list[float]

    @property
    def growth(self) -> float:
        """How much more the last quarter of the time shows than the second; the first is for warming up."""
        quarter = len(self.samples) // 4
        if len(self.samples) < FEWEST:
            return 0.0
        return median(self.samples[-quarter:]) - median(self.samples[quarter : 2 * quarter])

    @property
    def is_flat(self) -> bool:
        """Whether it has not grown by more than it may."""
        return self.growth <= MOST_GROWTH[self.unit]

    def __str__(self) -> str:
        least, most = (min(self.samples), max(self.samples)) if self.samples else (0.0, 0.0)
        return f"{self.what}: {least:.0f} to {most:.0f} {self.unit}, growth {self.growth:+.1f} ({len(self.samples)})"


class Meters:
    """Reads all that is to be measured; what cannot be read now (a server that is away) has no sample then."""

    def __init__(self) -> None:
        self._meters: dict[tuple[str, str], Callable[[], float]] = {}
        self._samples: defaultdict[tuple[str, str], list[float]] = defaultdict(list)

    def add(self, what: str, unit: str, read: Callable[[], float]) -> None:
        """Measure something more."""
        self._meters[what, unit] = read

    def add_process(self, what: str, pid: int) -> None:
        """Measure a process that lives as long as this."""
        self.add(what, "MB", lambda: memory_of(pid))
        self.add(what, "descriptors", lambda: descriptors_of(pid))

    def read(self) -> None:
        """Take a sample of each."""
        for name, meter in self._meters.items():
            try:
                value = meter()
            except Exception as error:  # noqa: BLE001 - whatever a driver says of a server that is away
                print(f"no sample of {name[0]}: {type(error).__name__}", flush=True)
                continue
            self._samples[name].append(value)

    def series(self) -> list[Series]:
        """Return all that was measured."""
        return [Series(what, unit, self._samples[what, unit]) for what, unit in self._meters]


def memory_of(pid: int) -> float:
    """Return the resident memory of a process in megabytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def connections_to(port: int) -> float:
    """Return how many connections of this machine lead to a port of it."""
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(int(line[2].partition(":")[2], 16) == port and line[3] == ESTABLISHED for line in lines)


def descriptors_of(pid: int) -> float:
    """Return how many file descriptors a process has open: files, sockets, pipes."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
