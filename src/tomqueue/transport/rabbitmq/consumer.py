"""The working side: hands out what has arrived, and settles it."""

from collections.abc import Callable, Sequence

from tomqueue.reporting import Reporting
from tomqueue.settings import Settings
from tomqueue.transport.base import Delivery, Notification
from tomqueue.transport.rabbitmq.connection import Link
from tomqueue.transport.rabbitmq.hand import Hand
from tomqueue.transport.rabbitmq.subscription import Subscription

__all__ = ["RabbitConsumer"]

ACK_SECONDS = 0.01
"""How long an ack waits for others: each visit of the connection's thread takes the interpreter from a job."""
ACKS = 4
"""Acks go at once when this part of the prefetch waits, so that the broker goes on sending."""


class RabbitConsumer:
    """A Consumer. Its connection lives in a thread of its own; only ``wait`` and ``close`` wait."""

    def __init__(
        self, settings: Settings, queues: Callable[[], Sequence[str]], ranks: range, reporting: Reporting
    ) -> None:
        self._settings = settings
        self._hand = Hand()
        self._subscription = Subscription(settings, queues, ranks, self._hand, reporting)
        self._link = Link(settings, "consumer", self._subscription, reporting)
        self._subscription.link = self._link
        self._flushing = self._flushing_later = False
        self._woken = False
        self._closed = False
        self._link.start()

    @property
    def asks_database(self) -> bool:
        """Whether the broker is away, or stopped delivering to us."""
        return not self._subscription.has_news_channel

    @property
    def bad_messages(self) -> int:
        """How many messages were no news."""
        return self._subscription.bad.count

    @property
    def closed_cleanly(self) -> bool:
        """Whether the broker answered our goodbye, so that what was requeued before it is in its queue again."""
        return self._link.closed_cleanly

    def receive(self, limit: int) -> list[Delivery]:
        """Return what has arrived."""
        self._resume()
        return self._hand.take(limit)

    def most_urgent(self) -> int | None:
        """Return the rank of what ``receive`` would give first."""
        return self._hand.most_urgent()

    def ack(self, delivery: Delivery) -> None:
        """Say that the delivery is done with."""
        if self._hand.settle(delivery, requeue=False):
            if self._hand.acks * ACKS >= self._settings.prefetch:
                self._flush_soon()
            elif not self._flushing_later:
                self._flushing_later = True
                self._link.post(self._flush_later)

    def requeue(self, delivery: Delivery) -> bool:
        """Put the delivery back; False, when its channel is gone."""
        done = self._hand.settle(delivery, requeue=True)
        if done:
            self._flush_soon()
        return done is not False

    def doubtful(self) -> list[Notification]:
        """Return, once, what was put back by a channel that was lost."""
        return self._hand.doubtful()

    def empty_at(self) -> dict[tuple[str, int], float]:
        """Return which of the broker's queues are empty, and when that was last seen."""
        return self._subscription.empty_at()

    def suspend(self) -> None:
        """Close the channel: the broker puts all that is not settled back at the head of its queue, in order."""
        if not self._subscription.suspended:
            self._subscription.suspended = True
            self._hand.forget()
            self._link.post(self._subscription.let_go)

    def wait(self, seconds: float) -> None:
        """Return on a delivery, a wake or a change of the connection, or after ``seconds``."""
        self._resume()
        before = self.asks_database
        if before:
            seconds = min(seconds, self._settings.server_poll_interval)
        with self._hand.changed:
            self._hand.changed.wait_for(
                lambda: self._woken or self._hand.has_news or self.asks_database != before, seconds
            )
            self._woken = False

    def wake(self) -> None:
        """End a ``wait`` of another thread."""
        with self._hand.changed:
            self._woken = True
            self._hand.changed.notify_all()

    def close(self) -> None:
        """Settle what is to be settled, give the rest back, and end."""
        if not self._closed:
            self._closed = True
            self._link.post(self._subscription.flush)
            self._link.stop()
            if self._link.closed_cleanly:
                self._hand.proved(self._hand.put_back_so_far)
            self._hand.lose()
        self.wake()

    def _resume(self) -> None:
        if self._subscription.suspended and not self._closed:
            self._subscription.suspended = False
            self._link.post(self._subscription.follow)

    def _flush_soon(self) -> None:
        """Have one visit of the connection's thread settle what comes together."""
        if not self._flushing:
            self._flushing = True
            self._link.post(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self._subscription.flush()

    def _flush_later(self) -> None:
        self._link.later(ACK_SECONDS, self._flush_now)

    def _flush_now(self) -> None:
        self._flushing_later = False
        self._subscription.flush()
