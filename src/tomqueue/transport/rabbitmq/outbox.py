"""What waits to be published: bounded, so that a broker that is away costs no more than some memory."""

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tomqueue.transport.base import Notification
from tomqueue.transport.rabbitmq.message import MOST_JOBS

__all__ = ["Outbox", "Parcel", "parcels_of"]


@dataclass(slots=True, eq=False)
class Parcel:
    """What becomes one message: jobs of one queue and priority."""

    queue: str
    priority: int
    stamp: datetime
    """The oldest of theirs."""
    notifications: list[Notification]
    sent_at: float = 0.0
    is_returned: bool = False
    """The broker had no queue for it."""
    is_retried: bool = False

    @property
    def ids(self) -> list[int]:
        """The jobs in it."""
        return [one.job_id for one in self.notifications]

    def by_stamp(self) -> dict[datetime, list[int]]:
        """Return the jobs of each stamp: a row is changed only where it still has the one that its news told of."""
        found: dict[datetime, list[int]] = {}
        for one in self.notifications:
            found.setdefault(one.stamp, []).append(one.job_id)
        return found

    def can_join(self, other: "Parcel") -> bool:
        """Say whether both may become one message. What the broker did not take at first goes by itself."""
        return (
            (self.queue, self.priority) == (other.queue, other.priority)
            and len(self.notifications) + len(other.notifications) <= MOST_JOBS
            and not (self.is_retried or other.is_retried)
        )

    def join(self, other: "Parcel") -> None:
        """Take over what the other one tells."""
        self.notifications += other.notifications
        self.stamp = min(self.stamp, other.stamp)


def parcels_of(notifications: Sequence[Notification]) -> list[Parcel]:
    """Group what came together into messages, most urgent first."""
    groups: dict[tuple[int, str, datetime], list[Notification]] = {}
    for one in notifications:
        groups.setdefault((one.priority, one.queue, one.stamp), []).append(one)
    return [
        Parcel(queue, priority, stamp, groups[priority, queue, stamp][start : start + MOST_JOBS])
        for priority, queue, stamp in sorted(groups)
        for start in range(0, len(groups[priority, queue, stamp]), MOST_JOBS)
    ]


class Outbox:
    """First in, first out; beyond ``limit`` notifications the oldest are dropped. For every thread.

    What is put in together is kept whole, also if it is more than that: the broker had no time yet to take it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.RLock()  # a signal's handler may enqueue as well
        self._parcels: deque[Parcel] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def parcels(self) -> int:
        """How many messages wait."""
        return len(self._parcels)

    def put(self, parcels: Iterable[Parcel]) -> int:
        """Add at the end; return how many notifications were dropped at the front."""
        with self._lock:
            earlier = len(self._parcels)
            for parcel in parcels:
                self._parcels.append(parcel)
                self._count += len(parcel.notifications)
            dropped = 0
            while earlier and self._count > self._limit:
                dropped += self._drop()
                earlier -= 1
            return dropped

    def put_back(self, parcels: Sequence[Parcel]) -> None:
        """Add at the front, in their order: they were taken and not published."""
        with self._lock:
            self._parcels.extendleft(reversed(parcels))
            self._count += sum(len(parcel.notifications) for parcel in parcels)

    def take(self) -> Parcel | None:
        """Take the oldest, and with it what was put in right after it and fits into the same message."""
        with self._lock:
            if not self._parcels:
                return None
            parcel = self._parcels.popleft()
            while self._parcels and self._parcels[0].can_join(parcel):
                parcel.join(self._parcels.popleft())
            self._count -= len(parcel.notifications)
            return parcel

    def _drop(self) -> int:
        size = len(self._parcels.popleft().notifications)
        self._count -= size
        return size
