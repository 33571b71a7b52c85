"""The ledger: what really happened, in a file outside the system that is tested. Each line is one event.

Appended by one write each (O_APPEND), so lines of several processes never mix. It is not synced: processes die here,
the machine does not.
"""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tomqueue.service import boot_time

__all__ = ["EFFECTS", "LEDGER", "Event", "Ledger", "What", "is_atomic", "is_long", "key_of"]

LEDGER = "FAULTS_LEDGER"
"""The environment variable that names the file to jobs and producers."""
EFFECTS = "faults_effects"
"""The table into which atomic jobs write their key: what they do in the database."""


class What(StrEnum):
    """What an event says."""

    ENQUEUED = "enqueued"
    """A producer is about to enqueue the key; whether it did is not known until one of the next two."""
    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"
    STARTED = "started"
    """By the job itself, as its first step; FINISHED as its last. An atomic job commits after that."""
    FINISHED = "finished"
    CUT = "cut"
    """The job was interrupted."""
    SETTLED = "settled"
    """A worker was told that the job is over and its row is gone."""
    WITHDRAWN = "withdrawn"
    """A person cancelled the job, and was answered that it had been waiting: it has failed."""
    ASKED_TO_END = "asked_to_end"
    """A person cancelled the job, and was answered that it runs: it may finish, or fail."""
    KEPT = "kept"
    """At the end the job was there as failed, cancelled by a person, with the reason."""
    FAULT = "fault"
    """Something was broken; the key says what."""
    ENDED = "ended"
    """A process that was told to end has done so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line. ``time`` and ``due`` (of an ENQUEUED: not before it) are seconds of the boot clock."""

    what: What
    key: str
    pid: int = 0
    time: float = 0.0
    attempt: int = 0
    due: float = 0.0


class Ledger:
    """The file, for the producers and jobs that write it and for the checker that reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, what: What, key: str, *, attempt: int = 0, due: float = 0.0, time: float | None = None) -> None:
        """Append an event of this process, by default of this moment."""
        moment = boot_time() if time is None else time
        os.write(self._descriptor, f"{what} {key} {os.getpid()} {moment:.6f} {attempt} {due:.6f}\n".encode())

    def read(self) -> list[Event]:
        """Return the events in the order of their time; a line that is being written has no end yet, and counts not."""
        lines = self.path.read_text().splitlines(keepends=True)
        return sorted((event_of(line) for line in lines if line.endswith("\n")), key=lambda event: event.time)

    def count(self, what: What) -> int:
        """Return how many events of a kind there are."""
        return self.path.read_text().count(f"\n{what} ") + self.path.read_text().startswith(f"{what} ")

    def has(self, what: What, key: str) -> bool:
        """Say whether there is such an event of a key."""
        return f"{what} {key} " in self.path.read_text()

    def close(self) -> None:
        """Write no more."""
        os.close(self._descriptor)


def event_of(line: str) -> Event:
    """Read a line."""
    what, key, pid, moment, attempt, due = line.split()
    return Event(what=What(what), key=key, pid=int(pid), time=float(moment), attempt=int(attempt), due=float(due))


def key_of(name: str, number: int, *, long: bool, atomic: bool) -> str:
    """Return the key of a job, which says what it is."""
    return f"{name}-{number}{'-long' if long else ''}{'-atomic' if atomic else ''}"


def is_long(key: str) -> bool:
    """Say whether a key is of a job that takes a while."""
    return "-long" in key


def is_atomic(key: str) -> bool:
    """Say whether a key is of an atomic job, whose effect stands in the database."""
    return key.endswith("-atomic")
