"""The board: a few kilobytes of memory that a worker process shares with its supervisor.

The child writes what it has claimed and what runs, *before* it claims and starts; the supervisor writes the end
of the lease. When the child dies, the board is what remains. Each field is one aligned 64-bit word.
"""

import enum
import mmap
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tomqueue.service import boot_time

__all__ = ["MAX_CLAIMS", "MAX_SLOTS", "MESSAGE", "Board", "Leaving", "SlotState"]

MAX_SLOTS = 256
MAX_CLAIMS = 4096
MAX_HANDED = 256

LEASE, STARTED, STATE, DRAIN_BY, HANDED, LEAVING = range(6)
HEADER = 16
SLOT_WORDS = 8
JOB, SINCE, DEADLINE, ATTEMPTS, ATTEMPTS_LEFT, SUSPECT = range(6)
SLOTS_AT = HEADER
CLAIMS_AT = SLOTS_AT + MAX_SLOTS * SLOT_WORDS
HANDED_AT = CLAIMS_AT + MAX_CLAIMS
WORDS = HANDED_AT + MAX_HANDED
FOREVER = 2**62
LOST = -1
MESSAGE = -1
"""In place of a job's id: the slot handles a message of another program, which has no row."""


class Leaving(enum.IntEnum):
    """Why a worker stops: written when it decides to, so before its last jobs have ended."""

    NONE = 0
    IDLE = 1
    """Nothing was ready any more, and it was to stop then."""
    RECYCLED = 2
    """It has run its share of jobs, or used its share of memory: a fresh process is to take its place."""
    DRAINED = 3
    """It was told to."""


class SlotState:
    """What runs in one slot, as the supervisor sees it. Times are seconds of the boot clock."""

    __slots__ = ("attempts", "deadline", "job", "since", "suspect", "used_up")

    def __init__(self, words: memoryview) -> None:
        self.job = words[JOB]
        self.since = words[SINCE] / 1e6
        self.deadline = words[DEADLINE] / 1e6
        self.attempts = words[ATTEMPTS]
        self.used_up = words[ATTEMPTS_LEFT] <= 0
        self.suspect = bool(words[SUSPECT])

    @property
    def is_job(self) -> bool:
        """Whether it is a job, whose row somebody must free."""
        return self.job != MESSAGE


class Board:
    """The shared words, seen from either side."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, WORDS * 8)
        self._words = memoryview(self._map).cast("q")
        self._free = list(range(CLAIMS_AT + MAX_CLAIMS - 1, CLAIMS_AT - 1, -1))
        self._places: dict[int, tuple[int, int]] = {}

    @classmethod
    def create(cls) -> "Board":
        """Make a board in memory that a child can inherit by its descriptor."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("tomqueue-board", 0)
        else:
            descriptor, path = tempfile.mkstemp(prefix="tomqueue-board-")
            Path(path).unlink()
        os.set_inheritable(descriptor, True)
        os.ftruncate(descriptor, WORDS * 8)
        board = cls(descriptor)
        board.lease_until = FOREVER / 1e6
        return board

    def close(self) -> None:
        """Give the memory back."""
        self._words.release()
        self._map.close()
        os.close(self.descriptor)

    # The lease ----------------------------------------------------------------------------------------

    @property
    def lease_until(self) -> float:
        """The boot time after which others may take this worker's jobs."""
        return self._words[LEASE] / 1e6

    @lease_until.setter
    def lease_until(self, moment: float) -> None:
        self._words[LEASE] = int(min(moment * 1e6, FOREVER))

    def lose_lease(self) -> None:
        """Write that the lease was taken over: unlike one that is not yet written, it will never come back."""
        self._words[LEASE] = LOST

    @property
    def lease_lost(self) -> bool:
        """Whether the lease was taken over."""
        return self._words[LEASE] == LOST

    def has_lease(self) -> bool:
        """Say whether this worker may still touch its rows."""
        return boot_time() * 1e6 < self._words[LEASE]

    # Draining -----------------------------------------------------------------------------------------

    @property
    def drain_by(self) -> float:
        """The boot time by which running jobs must have ended; 0 while nobody drains."""
        return self._words[DRAIN_BY] / 1e6

    @drain_by.setter
    def drain_by(self, moment: float) -> None:
        self._words[DRAIN_BY] = int(moment * 1e6)

    @property
    def leaving(self) -> Leaving:
        """Why this worker stops; NONE while it does not."""
        return Leaving(self._words[LEAVING])

    def leave(self, reason: Leaving, by: float) -> None:
        """Write once why the worker stops, and until when; a ``drain_by`` that stands already stays."""
        if not self._words[DRAIN_BY]:
            self.drain_by = by
        if not self._words[LEAVING]:
            self._words[LEAVING] = reason

    # Counters -----------------------------------------------------------------------------------------

    @property
    def started(self) -> int:
        """How many jobs this process has started."""
        return int(self._words[STARTED])

    @property
    def ready(self) -> bool:
        """Whether the worker has loaded its application and takes jobs."""
        return bool(self._words[STATE])

    @ready.setter
    def ready(self, value: bool) -> None:
        self._words[STATE] = int(value)

    # Slots --------------------------------------------------------------------------------------------

    def start(self, slot: int, job: int, deadline: float, attempts: int, attempts_left: int, *, suspect: bool) -> None:
        """Write what a slot runs; the id last, so that a reader never sees it with the values of another job."""
        at = SLOTS_AT + slot * SLOT_WORDS
        words = self._words
        words[at + SINCE] = int(boot_time() * 1e6)
        words[at + DEADLINE] = int(min(deadline * 1e6, FOREVER))
        words[at + ATTEMPTS] = attempts
        words[at + ATTEMPTS_LEFT] = attempts_left
        words[at + SUSPECT] = int(suspect)
        words[at + JOB] = job
        words[STARTED] += 1

    def limit(self, slot: int, deadline: float, attempts_left: int) -> None:
        """Write what the job's own definition says about its end."""
        at = SLOTS_AT + slot * SLOT_WORDS
        self._words[at + DEADLINE] = int(min(deadline * 1e6, FOREVER))
        self._words[at + ATTEMPTS_LEFT] = attempts_left

    def cut(self, slot: int, deadline: float) -> None:
        """Write that the time of a job ends sooner than its definition says."""
        self._words[SLOTS_AT + slot * SLOT_WORDS + DEADLINE] = int(deadline * 1e6)

    def stop(self, slot: int) -> None:
        """Write that a slot runs nothing."""
        self._words[SLOTS_AT + slot * SLOT_WORDS] = 0

    def running(self) -> list[SlotState]:
        """Read what runs."""
        slots = (SLOTS_AT + slot * SLOT_WORDS for slot in range(MAX_SLOTS))
        return [SlotState(self._words[at : at + SLOT_WORDS]) for at in slots if self._words[at]]

    # Claims -------------------------------------------------------------------------------------------

    def record(self, ids: Iterable[int]) -> None:
        """Write ids before they are claimed."""
        for job in ids:
            place, times = self._places.get(job) or (self._free.pop(), 0)
            self._places[job] = (place, times + 1)
            self._words[place] = job

    def forget(self, job: int) -> None:
        """Erase an id whose row is finished or given back."""
        place, times = self._places.pop(job, (0, 0))
        if times > 1:
            self._places[job] = (place, times - 1)
        elif times == 1:
            self._words[place] = 0
            self._free.append(place)

    @property
    def empty(self) -> bool:
        """Whether this process has claimed nothing, and is about to claim nothing."""
        return not self._places

    @property
    def room(self) -> int:
        """How many more ids can be written."""
        return len(self._free)

    def claims(self) -> list[int]:
        """Read the ids that this process has claimed or is about to claim."""
        return [job for job in self._words[CLAIMS_AT:HANDED_AT] if job]

    # Hand-over: written by the supervisor, erased by the child -----------------------------------------

    def hand(self, job: int) -> bool:
        """Give the child an id of a dead neighbour to claim by key; False when there is no room."""
        for place in range(HANDED_AT, WORDS):
            if not self._words[place]:
                self._words[place] = job
                self._words[HANDED] = 1
                return True
        return False

    def handed(self) -> list[int]:
        """Read the ids that were handed over and not yet claimed."""
        return [job for job in self._words[HANDED_AT:WORDS] if job]

    def handed_done(self, ids: Iterable[int]) -> None:
        """Erase ids that the child has tried to claim."""
        done = set(ids)
        for place in range(HANDED_AT, WORDS):
            if self._words[place] in done:
                self._words[place] = 0

    def take_handed(self) -> list[int]:
        """Read what was handed over since the last call; cheap enough to ask before each job."""
        if not self._words[HANDED]:
            return []
        self._words[HANDED] = 0  # first: what is handed over meanwhile is seen by the next call
        return self.handed()

    def keep_handed(self) -> None:
        """Let the next ``take_handed`` find what could not be claimed now."""
        self._words[HANDED] = 1
