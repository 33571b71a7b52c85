"""What is due now or soon, by urgency and time. Pure: the clock is the caller's."""

import heapq
from collections.abc import Iterable
from datetime import datetime

from tomqueue.priority import PRIORITIES

__all__ = ["DueHeap"]


class DueHeap:
    """Ids by the time they are due, a heap for each priority. What is due leaves it most urgent first."""

    def __init__(self) -> None:
        self._heaps: list[list[tuple[datetime, int]]] = [[] for _ in PRIORITIES]

    def __len__(self) -> int:
        return sum(map(len, self._heaps))

    def load(self, entries: Iterable[tuple[int, datetime, int]]) -> None:
        """Hold these and nothing else: id, when it is due, rank of its priority."""
        for heap in self._heaps:
            heap.clear()
        for job, due, priority in entries:
            self._heaps[priority].append((due, job))
        for heap in self._heaps:
            heapq.heapify(heap)

    def left(self, priority: int) -> int:
        """Return how many of a priority there are."""
        return len(self._heaps[priority])

    def next(self) -> datetime | None:
        """Return when the soonest is due; None when there is none."""
        return min((heap[0][0] for heap in self._heaps if heap), default=None)

    def take(self, now: datetime, limit: int) -> list[int]:
        """Take out at most ``limit`` ids that are due by ``now``: most urgent first, then the soonest."""
        taken: list[int] = []
        for heap in self._heaps:
            while heap and heap[0][0] <= now and len(taken) < limit:
                taken.append(heapq.heappop(heap)[1])
        return taken
