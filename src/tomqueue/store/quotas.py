"""How many jobs a limit lets in now, and at which moments. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

__all__ = ["HORIZON", "LOOK_AGAIN", "MOST", "Quota"]

HORIZON = timedelta(seconds=3)
"""Moments of a rate are given so far ahead: longer than the pause between two looks, so that none comes late."""
LOOK_AGAIN = timedelta(seconds=1)
"""Until the next look at a key whose moments ahead belong to jobs that have not started."""
MOST = 500
"""Jobs that one transaction lets in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """The room of one key. Of ``taken`` jobs that are in, ``idle`` have not started."""

    most: int | None
    """So many at once; None: no such limit."""
    taken: int
    idle: int
    every: timedelta | None
    """One start in so long; None: no rate."""
    free_at: datetime | None
    """The first moment that no job has."""
    now: datetime

    @property
    def room(self) -> int:
        """How many jobs may come in now."""
        room = MOST if self.most is None else min(self.most - self.taken, MOST)
        if self.every is not None:
            room = min(room, self._ahead() - self.idle, self._moments())
        return max(0, room)

    def slots(self, due: int) -> list[datetime]:
        """Return the moments of the next jobs, at most ``due``: now, or spread as the rate says."""
        count = min(due, self.room)
        if self.every is None:
            return [self.now] * count
        return [self._first() + self.every * place for place in range(count)]

    def next_at(self, used: int) -> datetime | None:
        """Return the first moment that no job has once ``used`` came in."""
        if self.every is None or not used:
            return self._soonest()
        return self._first() + self.every * used

    def look_at(self, due: int, later: datetime | None) -> datetime | None:
        """Return when to look again although no job ends; None where only an end makes room, or nothing waits.

        ``due`` jobs were found to be due, at most one more than there was room for; the next falls due ``later``.
        """
        if self.most is not None and self.taken + min(due, self.room) >= self.most:
            return None
        if due <= self.room and (self.room or self.every is None):
            return later
        if self.every is None:
            return self.now  # one transaction lets in no more
        ahead = (self.next_at(min(due, self.room)) or self.now) - HORIZON
        return ahead if ahead > self.now else self.now + LOOK_AGAIN

    def _first(self) -> datetime:
        return max(self._soonest() or self.now, self.now)

    def _soonest(self) -> datetime | None:
        """Return the first moment that no job has; of a rate that was lower before, no later than today's allows."""
        if self.free_at is None or self.every is None:
            return self.free_at
        return min(self.free_at, self.now + HORIZON + self.every)

    def _ahead(self) -> int:
        """Return how many may be in that have not started: what has piled up starts at once when workers are back."""
        assert self.every is not None
        return max(1, -(-HORIZON // self.every))

    def _moments(self) -> int:
        """Return how many moments are left within the horizon."""
        assert self.every is not None
        left = self.now + HORIZON - self._first()
        return 0 if left < timedelta() else left // self.every + 1
