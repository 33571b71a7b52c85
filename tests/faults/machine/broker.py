"""A broker whose every message is in the test's hand: it arrives late, twice, in any order, or never."""

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from itertools import count

from tomqueue import service
from tomqueue.priority import PRIORITIES
from tomqueue.transport.base import Delivery, Notification

__all__ = ["HeldBroker", "HeldConsumer"]


class HeldBroker:
    """A Transport. What is published stays ``under_way`` until the test lets it arrive in its line."""

    pushes = True

    def __init__(self) -> None:
        self.under_way: list[Notification] = []
        self.lines: defaultdict[tuple[str, int], deque[Notification]] = defaultdict(deque)
        self.away = False

    def publisher(self) -> "HeldPublisher":
        """Return the enqueueing side."""
        return HeldPublisher(self)

    def consumer(self, queues: Callable[[], Sequence[str]], _ranks: range = PRIORITIES) -> "HeldConsumer":
        """Return a working side."""
        return HeldConsumer(self, queues)

    def mailbox(self, *_asked: object) -> None:
        """Return None: other programs send nothing here."""

    def arrive(self, place: int = 0) -> None:
        """Let one that is under way arrive."""
        news = self.under_way.pop(place)
        self.lines[news.queue, news.priority].append(news)

    def deliver(self) -> None:
        """Let all that is under way arrive, in order."""
        while self.under_way:
            self.arrive()

    def tamper(self, how: str, place: int) -> None:
        """Let one arrive before the others (``one``), or never (``dropped``), or twice (``doubled``)."""
        if how == "one":
            self.arrive(place)
        elif how == "dropped":
            del self.under_way[place]
        else:
            self.under_way.append(self.under_way[place])

    def purge(self) -> None:
        """Forget all that has arrived."""
        self.lines.clear()


class HeldPublisher:
    """A Publisher that sends nothing by itself."""

    def __init__(self, broker: HeldBroker) -> None:
        self._broker = broker

    def publish(self, notifications: Sequence[Notification]) -> None:
        """Put the news on its way."""
        self._broker.under_way += notifications

    def connect(self, seconds: float) -> bool:  # nothing to wait for
        """Say whether anybody takes news."""
        return not self._broker.away

    def flush(self, seconds: float) -> int:  # nothing to wait for
        """Return nothing: what is under way counts as confirmed."""
        return 0

    def close(self) -> None:
        """Nothing is buffered."""


class HeldConsumer:
    """A Consumer. Its channel can be lost, and with it what was put back and not yet proved to be back."""

    def __init__(self, broker: HeldBroker, queues: Callable[[], Sequence[str]]) -> None:
        self._broker = broker
        self._queues = queues
        self._tags = count(1)
        self._open: dict[int, Delivery] = {}
        self._put_back: list[Notification] = []
        self._doubtful: list[Notification] = []

    @property
    def asks_database(self) -> bool:
        """Whether the broker is away."""
        return self._broker.away

    def receive(self, limit: int) -> list[Delivery]:
        """Take what has arrived, most urgent first."""
        received: list[Delivery] = []
        for line in self._lines():
            while line and len(received) < limit:
                received.append(Delivery(line.popleft(), next(self._tags)))
        self._open.update({delivery.tag: delivery for delivery in received})
        return received

    def most_urgent(self) -> int | None:
        """Return the rank of the most urgent news that has arrived."""
        return next((line[0].priority for line in self._lines() if line), None)

    def waiting(self) -> list[Notification]:
        """Return all that has arrived, for the test to look at."""
        return [news for line in self._lines() for news in line]

    def _lines(self) -> list[deque[Notification]]:
        if self._broker.away:
            return []
        return [self._broker.lines[queue, rank] for rank in range(4) for queue in self._queues()]

    def ack(self, delivery: Delivery) -> None:
        """Forget the delivery."""
        self._open.pop(delivery.tag, None)

    def requeue(self, delivery: Delivery) -> bool:
        """Put the delivery back at the head of its line; False when its channel is gone."""
        if self._open.pop(delivery.tag, None) is None:
            return False
        news = delivery.notification
        self._broker.lines[news.queue, news.priority].appendleft(news)
        self._put_back.append(news)
        return True

    def doubtful(self) -> list[Notification]:
        """Return, once, what was put back by a channel that then was lost."""
        doubtful, self._doubtful = self._doubtful, []
        return doubtful

    def empty_at(self) -> dict[tuple[str, int], float]:
        """Return the lines that are empty now."""
        lines = [] if self._broker.away else [(queue, rank) for rank in range(4) for queue in self._queues()]
        return {line: service.boot_time() for line in lines if not self._broker.lines[line]}

    def suspend(self) -> None:
        """Put everything that is open back, in its order."""
        for tag in sorted(self._open, reverse=True):
            self.requeue(self._open[tag])

    def lose_channel(self, *, forget: bool = False) -> None:
        """Let the broker have everything back; with ``forget`` what was put back and not proved never came there."""
        self._doubtful += self._put_back
        for news in self._put_back:
            line = self._broker.lines[news.queue, news.priority]
            if forget and news in line:
                line.remove(news)
        self._put_back = []
        self.suspend()
        self._put_back = []

    def wait(self, seconds: float) -> None:
        """Return at once; a broker that answers proves by it that it has what was put back."""
        self._put_back = []

    def wake(self) -> None:
        """Nobody waits."""

    def close(self) -> None:
        """Put everything that is open back."""
        self.suspend()
