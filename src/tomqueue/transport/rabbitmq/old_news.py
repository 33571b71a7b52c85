"""News that waited too long to be sent as it is, after an outage for example."""

from collections import deque
from collections.abc import Callable
from datetime import timedelta

from tomqueue.transport.rabbitmq.outbox import Parcel
from tomqueue.transport.rabbitmq.repairs import Repairs

__all__ = ["OldNews"]

OLD_AFTER = timedelta(seconds=15)
PIECE = 50
"""Parcels that the database is asked about at once."""


class OldNews:
    """Has what is still news stamped anew, a piece at a time, while fresh news goes on."""

    def __init__(self, repairs: Repairs) -> None:
        self._repairs = repairs
        self._waiting: deque[Parcel] = deque()
        self._asked = 0

    def __len__(self) -> int:
        return len(self._waiting) + self._asked

    def takes(self, parcel: Parcel) -> bool:
        """Take a parcel if it is old; say whether it was."""
        is_old = (self._repairs.now() or parcel.stamp) - parcel.stamp > OLD_AFTER
        if is_old:
            self._waiting.append(parcel)
        return is_old

    def ask(self, then: Callable[[list[Parcel]], None]) -> None:
        """Ask about the next piece, if none is asked about; ``then`` gets what is fresh, in another thread."""
        if self._waiting and not self._asked:
            piece = [self._waiting.popleft() for _ in range(min(len(self._waiting), PIECE))]
            self._asked = len(piece)
            self._repairs.restamp(piece, then)

    def answered(self) -> None:
        """Take note that the answer has come."""
        self._asked = 0

    def give_up(self) -> list[Parcel]:
        """Return what was not asked about yet."""
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting
