"""News within one process: the smallest transport that delivers, for tests and as the model of a broker's."""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from itertools import count

from tomqueue.priority import PRIORITIES
from tomqueue.service import boot_time
from tomqueue.transport.base import Delivery, Notification

__all__ = ["MemoryTransport"]


class MemoryTransport:
    """One first-in-first-out line for each queue and priority."""

    pushes = True

    def __init__(self) -> None:
        self.news = threading.Condition()
        self.lines: defaultdict[tuple[str, int], deque[Notification]] = defaultdict(deque)

    def publisher(self) -> "MemoryPublisher":
        """Return the enqueueing side."""
        return MemoryPublisher(self)

    def consumer(self, queues: Callable[[], Sequence[str]], ranks: range = PRIORITIES) -> "MemoryConsumer":
        """Return a working side; each has deliveries of its own."""
        return MemoryConsumer(self, queues, ranks)

    def mailbox(self, *_asked: object) -> None:
        """Return None: other programs send nothing here."""


class MemoryPublisher:
    """Puts news at the end of its line."""

    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport

    def publish(self, notifications: Sequence[Notification]) -> None:
        """Deliver to the lines."""
        with self._transport.news:
            for notification in notifications:
                self._transport.lines[notification.queue, notification.priority].append(notification)
            self._transport.news.notify_all()

    def connect(self, seconds: float) -> bool:  # noqa: ARG002 - nothing to wait for
        """Say whether anybody takes news."""
        return True

    def flush(self, seconds: float) -> int:  # noqa: ARG002 - nothing to wait for
        """Return nothing: there is nothing under way."""
        return 0

    def close(self) -> None:
        """Nothing is buffered."""


class MemoryConsumer:
    """Takes news from the lines of its queues, most urgent first."""

    asks_database = False

    def __init__(self, transport: MemoryTransport, queues: Callable[[], Sequence[str]], ranks: range) -> None:
        self._transport = transport
        self._queues = queues
        self._ranks = ranks
        self._tags = count(1)
        self._open: dict[int, Delivery] = {}
        self._woken = False

    def receive(self, limit: int) -> list[Delivery]:
        """Take what has arrived."""
        received: list[Delivery] = []
        with self._transport.news:
            for priority in self._ranks:
                for queue in self._queues():
                    line = self._transport.lines[queue, priority]
                    while line and len(received) < limit:
                        received.append(Delivery(line.popleft(), next(self._tags)))
            self._open.update({delivery.tag: delivery for delivery in received})
        return received

    def most_urgent(self) -> int | None:
        """Return the rank of the most urgent news."""
        lines = self._transport.lines
        with self._transport.news:
            return next((rank for rank in self._ranks for queue in self._queues() if lines[queue, rank]), None)

    def ack(self, delivery: Delivery) -> None:
        """Forget the delivery."""
        with self._transport.news:
            self._open.pop(delivery.tag, None)

    def requeue(self, delivery: Delivery) -> bool:
        """Put the delivery back at the head of its line."""
        with self._transport.news:
            if self._open.pop(delivery.tag, None) is not None:
                notification = delivery.notification
                self._transport.lines[notification.queue, notification.priority].appendleft(notification)
                self._transport.news.notify_all()
        return True

    def doubtful(self) -> list[Notification]:
        """Return nothing: what is put back is back."""
        return []

    def empty_at(self) -> dict[tuple[str, int], float]:
        """Return the lines that are empty: now, since nothing is under way here."""
        lines = self._transport.lines
        with self._transport.news:
            pairs = [(queue, rank) for queue in self._queues() for rank in self._ranks]
            return {pair: boot_time() for pair in pairs if not lines[pair]}

    def suspend(self) -> None:
        """Put everything that is open back, in its order."""
        for tag in sorted(self._open, reverse=True):
            self.requeue(self._open[tag])

    def wait(self, seconds: float) -> None:
        """Return when there is news, or after ``seconds``."""
        with self._transport.news:
            self._transport.news.wait_for(lambda: self._woken or self._has_news(), seconds)
            self._woken = False

    def _has_news(self) -> bool:
        return any(self._transport.lines[queue, priority] for queue in self._queues() for priority in self._ranks)

    def wake(self) -> None:
        """End a ``wait`` of another thread."""
        with self._transport.news:
            self._woken = True
            self._transport.news.notify_all()

    def close(self) -> None:
        """Put everything that is open back."""
        self.suspend()
        self.wake()
