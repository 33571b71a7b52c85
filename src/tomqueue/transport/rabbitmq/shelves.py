"""What has arrived and waits for a slot: most urgent first, queues in turn."""

from collections import deque
from itertools import count

from tomqueue.priority import PRIORITIES
from tomqueue.transport.base import Delivery

__all__ = ["Shelves"]


class Shelves:
    """A line for each queue and priority. Not thread-safe."""

    def __init__(self) -> None:
        self._lines: list[dict[str, deque[Delivery]]] = [{} for _ in PRIORITIES]
        self._turns: list[dict[str, int]] = [{} for _ in PRIORITIES]
        self._numbers = count(1)
        self.count = 0

    def put(self, delivery: Delivery) -> None:
        """Put a delivery at the end of its line."""
        notification = delivery.notification
        lines = self._lines[notification.priority]
        line = lines.get(notification.queue)
        if line is None:
            line = lines[notification.queue] = deque()
        line.append(delivery)
        self.count += 1

    def take(self, limit: int) -> list[Delivery]:
        """Take at most ``limit``: all of a priority before any of the next, within it one of each queue in turn."""
        taken: list[Delivery] = []
        for lines, turns in zip(self._lines, self._turns, strict=True):
            while lines and len(taken) < limit:
                queue = next(iter(lines))
                line = lines.pop(queue)
                turns[queue] = next(self._numbers)
                share = limit - len(taken) if not lines else 1
                while line and share:
                    taken.append(line.popleft())
                    share -= 1
                if line:
                    lines[queue] = line
        self.count -= len(taken)
        return taken

    def arrange(self) -> None:
        """Begin with the queue that was served longest ago, whichever came first after a ``clear``."""
        for rank, lines in enumerate(self._lines):
            turns = self._turns[rank]
            self._lines[rank] = {queue: lines[queue] for queue in sorted(lines, key=lambda queue: turns.get(queue, 0))}

    def most_urgent(self) -> int | None:
        """Return the first priority that has something."""
        if self.count:
            for rank, lines in enumerate(self._lines):
                if lines:
                    return rank
        return None

    def sources(self) -> list[tuple[str, int]]:
        """Return the queues and priorities that have something."""
        return [(queue, rank) for rank, lines in enumerate(self._lines) for queue in lines]

    def clear(self, queue: str | None = None) -> list[Delivery]:
        """Take everything; of one ``queue``, when it is named."""
        cleared: list[Delivery] = []
        for lines in self._lines:
            for name in list(lines) if queue is None else lines.keys() & {queue}:
                cleared.extend(lines.pop(name))
        self.count -= len(cleared)
        return cleared
