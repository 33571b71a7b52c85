"""The deliveries that this process holds, between the connection's thread and the worker's."""

import threading
from collections import Counter
from collections.abc import Sequence
from itertools import count

from tomqueue.transport.base import Delivery, Notification
from tomqueue.transport.rabbitmq.shelves import Shelves
from tomqueue.transport.rabbitmq.silence import Source

__all__ = ["Hand"]


class Envelope:
    """A message: settled at the broker when all of its deliveries are, requeued when one of them was."""

    __slots__ = ("left", "requeue", "source", "tag")

    def __init__(self, tag: int, source: Source, left: int) -> None:
        self.tag = tag
        self.source = source
        self.left = left
        self.requeue = False


class Hand:
    """What was delivered and is not settled, all of it by one channel. For every thread."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        """Notified when there is something new to look at."""
        self._shelves = Shelves()
        self._numbers = count(1)
        self._open: dict[int, Envelope] = {}
        self._held: Counter[Source] = Counter()
        self._acked: list[int] = []
        self._requeued: list[int] = []
        self._put_back: list[Notification] = []
        self._proved = 0
        self._doubtful: list[Notification] = []
        self._newest = 0
        self._lost = 0
        self.gathering = False
        """Whether what arrives is kept out of sight."""

    @property
    def has_news(self) -> bool:
        """Whether something has arrived and was not received."""
        return self._shelves.count > 0 and not self.gathering

    def gather(self) -> None:
        """Keep what arrives out of sight until ``show``: a channel has begun, and not all of its queues deliver yet."""
        self.gathering = True

    def show(self) -> None:
        """Give out what has arrived: the most urgent, and the queue whose turn it is, are among it."""
        with self.changed:
            self.gathering = False
            self._shelves.arrange()
            self.changed.notify_all()

    def put(self, tag: int, notifications: Sequence[Notification]) -> None:
        """Take a message in."""
        source = notifications[0].queue, notifications[0].priority
        envelope = Envelope(tag, source, len(notifications))
        with self.changed:
            self._held[source] += 1
            for notification in notifications:
                self._newest = number = next(self._numbers)
                self._open[number] = envelope
                self._shelves.put(Delivery(notification, number))
            self.changed.notify_all()

    def take(self, limit: int) -> list[Delivery]:
        """Give out at most ``limit`` deliveries, most urgent first."""
        with self.changed:
            return [] if self.gathering else self._shelves.take(limit)

    def most_urgent(self) -> int | None:
        """Return the rank of what ``take`` would give first."""
        return None if self.gathering else self._shelves.most_urgent()

    def settle(self, delivery: Delivery, *, requeue: bool) -> bool | None:
        """Settle a delivery. None: there is nothing to tell the broker; False: its channel is gone; else True."""
        with self.changed:
            envelope = self._open.pop(delivery.tag, None)
            if envelope is None:
                return False if delivery.tag <= self._lost else None
            envelope.requeue |= requeue
            if requeue:
                self._put_back.append(delivery.notification)
            envelope.left -= 1
            if envelope.left:
                return None
            self._held[envelope.source] -= 1
            (self._requeued if envelope.requeue else self._acked).append(envelope.tag)
            return True

    def waiting(self) -> list[Source]:
        """Return the queues and priorities of what has arrived and was not received."""
        with self.changed:
            return self._shelves.sources()

    def full(self, prefetch: int) -> set[Source]:
        """Return the queues and priorities of which so many messages are unsettled that no more come."""
        with self.changed:
            return {source for source, count in self._held.items() if count >= prefetch}

    def refuse(self, tag: int) -> None:
        """Settle a message that is no news."""
        with self.changed:
            self._acked.append(tag)

    def put_back(self, queue: str) -> None:
        """Requeue what waits of a queue."""
        with self.changed:
            for delivery in self._shelves.clear(queue):
                self.settle(delivery, requeue=True)

    @property
    def put_back_so_far(self) -> int:
        """How many deliveries were ever put back."""
        return self._proved + len(self._put_back)

    def proved(self, so_far: int) -> None:
        """Take note that the channel lived when it had put back ``so_far``."""
        with self.changed:
            fresh = max(0, so_far - self._proved)
            del self._put_back[:fresh]
            self._proved += fresh

    def doubtful(self) -> list[Notification]:
        """Return, once, what was put back by a channel that was lost before it could prove that it had lived."""
        with self.changed:
            doubtful, self._doubtful = self._doubtful, []
            return doubtful

    @property
    def acks(self) -> int:
        """How many messages are done with, and the broker was not told."""
        return len(self._acked)

    def settled(self) -> tuple[list[int], list[int]]:
        """Return the tags to ack and to requeue, once."""
        with self.changed:
            acked, requeued = self._acked, self._requeued
            self._acked, self._requeued = [], []
            return acked, requeued

    def forget(self) -> None:
        """Let go of all that is not settled: its channel is about to close, which puts it back at the broker."""
        with self.changed:
            self._shelves.clear()
            self._open.clear()
            self._held.clear()
            self._lost = self._newest

    def lose(self) -> None:
        """Let go of everything: the channel is gone."""
        with self.changed:
            self.forget()
            self._acked.clear()
            self._requeued.clear()
            self._doubtful += self._put_back
            self._proved = self.put_back_so_far
            self._put_back.clear()
