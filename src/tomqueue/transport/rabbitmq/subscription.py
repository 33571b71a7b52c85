"""What a consumer has at the broker: one channel, and a consumer for each queue and priority.

All of it happens in the connection's thread.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from pika.exceptions import ChannelClosedByClient

from tomqueue.reporting import Reporting
from tomqueue.service import boot_time
from tomqueue.settings import Settings
from tomqueue.transport.rabbitmq.channel import OneChannel
from tomqueue.transport.rabbitmq.hand import Hand
from tomqueue.transport.rabbitmq.message import BadMessage, decode
from tomqueue.transport.rabbitmq.seldom import Seldom
from tomqueue.transport.rabbitmq.settlement import Ledger
from tomqueue.transport.rabbitmq.silence import Silence, Source
from tomqueue.transport.topology import Topology

__all__ = ["Subscription"]

GATHERING_SECONDS = 1.0
"""Bound of the wait for all queues' first news, which usually takes some milliseconds."""
MOST_OPENING = 1.0
"""Seconds from the moment when a channel or a queue is asked for until the worker asks the database meanwhile."""


class Subscription(OneChannel):
    """Keeps the consumers as ``queues``, ``ranks`` and ``suspended`` say, and brings what arrives into the hand."""

    def __init__(
        self, settings: Settings, queues: Callable[[], Sequence[str]], ranks: range, hand: Hand, reporting: Reporting
    ) -> None:
        super().__init__(reporting)
        self.suspended = False
        self.has_news_channel = False
        """Whether everything that we want is delivered to us, or would be if we were not suspended."""
        self.bad = Seldom()
        self._prefetch = settings.prefetch
        self._topology = Topology(settings.prefix, settings.queue_type)
        self._queues = queues
        self._ranks = ranks
        self._hand = hand
        self._ledger = Ledger()
        self._silence = Silence()
        self._is_proving = False
        self._opening_since: float | None = None
        self._consumers: dict[Source, str] = {}
        self._wanted: set[Source] = set()
        self._asked: set[Source] = set()
        self._asked_to_show = False

    # The connection --------------------------------------------------------------------------------------

    def opened(self, connection: Any) -> None:
        """Begin with a new connection."""
        self._connection = connection
        connection.add_on_connection_blocked_callback(lambda _connection, _frame: self._say(news=False))
        connection.add_on_connection_unblocked_callback(lambda _connection, _frame: self._look())
        self._declarations.reset()
        self.follow()

    def lost(self) -> None:
        """Forget the connection."""
        super().lost()
        self._say(news=False)

    def tick(self) -> None:
        """See whether the queues have changed, and whether the broker answers."""
        channel = self._channel
        if channel is not None and channel.is_open:
            self._serve(channel)
            self._silence.listen(boot_time(), self._hand.full(self._prefetch))
            if not self._is_proving:
                self._prove(channel)
        if self.pulse.is_late or self._is_long_in_opening:
            self._say(news=False)

    def empty_at(self) -> dict[Source, float]:
        """Return which queues are empty, and when that was last seen; for every thread.

        No news is ever sent of a queue that the broker cannot have. What we have in hand is not at its end.
        """
        unsent = [queue for queue in self._queues() if not self._topology.can_carry(queue)]
        empty = self._silence.empty_at() | {(queue, rank): boot_time() for queue in unsent for rank in self._ranks}
        for source in self._hand.waiting():
            empty.pop(source, None)
        return empty

    def follow(self) -> None:
        """Have a channel, unless suspended."""
        if self._is_connected and self._channel is None and not self.suspended:
            self._opening_since = boot_time()
            self._open_channel()

    def let_go(self) -> None:
        """Close the channel, also when another is wanted by now: what it held is forgotten already."""
        if self._is_open:
            self.flush()
            self._hand.forget()
            self._silence.listen(boot_time(), ())  # what we hold very much of was heard at the last tick
            self.pulse.asked()
            self._channel.close()

    def flush(self) -> None:
        """Tell the broker what was settled."""
        acked, requeued = self._hand.settled()
        channel = self._channel
        if channel is None or not channel.is_open:
            return
        for tag, earlier_too in self._ledger.acks(acked):
            channel.basic_ack(tag, multiple=earlier_too)
        for tag in requeued:
            channel.basic_nack(tag, requeue=True)
        self._ledger.settled(requeued)
        if requeued:
            self._prove(channel)

    def _prove(self, channel: Any) -> None:
        """Ask for an answer that comes only if the channel lived when it put things back."""
        so_far = self._hand.put_back_so_far

        def answered(_frame: Any) -> None:
            if channel is self._channel:
                self._is_proving = False
                self._hand.proved(so_far)
                self.pulse.answered()
                self._look()

        self._is_proving = True
        self.pulse.asked()
        channel.basic_qos(prefetch_count=self._prefetch, callback=answered)

    # The channel -----------------------------------------------------------------------------------------

    def _begin(self, channel: Any) -> None:
        if self.suspended:
            self.let_go()
            return
        self._ledger = Ledger()
        self._hand.gather()
        self._asked_to_show = False
        self.link.later(GATHERING_SECONDS, partial(self._show, channel))
        channel.add_on_cancel_callback(self._cancelled)
        channel.basic_qos(prefetch_count=self._prefetch)
        self._declarations.declare(channel, self._topology.common(), partial(self._serve, channel))

    def _serve(self, channel: Any) -> None:
        """Consume what is wanted, and no more what is not."""
        if channel is not self._channel or not channel.is_open:
            return
        wanted = {(queue, rank) for queue in self._queues() if self._topology.can_carry(queue) for rank in self._ranks}
        self._wanted = wanted
        self._silence.keep(wanted)
        for source in sorted(self._consumers.keys() - wanted):
            channel.basic_cancel(self._consumers.pop(source))
        self._give_back(source for source in self._asked - wanted)
        if wanted - self._asked and self._opening_since is None:
            self._opening_since = boot_time()
        for queue in sorted({queue for queue, _ in wanted - self._asked}):
            declarations = list(self._topology.of_queue(queue))
            sources = [(queue, rank) for rank in self._ranks if (queue, rank) not in self._asked]
            self._asked.update(sources)
            self._declarations.declare(channel, declarations, partial(self._consume, channel, sources))
        self._look()

    def _give_back(self, sources: Iterable[Source]) -> None:
        """Put back what waits of queues that are not served any more: another worker may serve them."""
        for queue in {queue for queue, _ in sources}:
            self._hand.put_back(queue)
        self._asked &= self._consumers.keys()
        self.flush()

    def _consume(self, channel: Any, sources: Iterable[Source]) -> None:
        for queue, rank in sources:
            name = self._topology.queue(queue, rank)
            if self._declarations.lacks(name):
                self._asked.discard((queue, rank))
                continue
            arrived = partial(self._arrived, (queue, rank))
            started = partial(self._started, channel, (queue, rank))
            channel.basic_consume(name, arrived, callback=started)

    def _started(self, channel: Any, source: Source, frame: Any) -> None:
        if channel is not self._channel:
            return
        self.pulse.heard()
        self._consumers[source] = frame.method.consumer_tag
        self._silence.begins(source, boot_time())
        self._look()

    def _look(self) -> None:
        """Say whether everything is consumed that is wanted; what is on a node that is down is not, and we go on."""
        if self._is_open and self._asked == self._consumers.keys():
            self._opening_since = None
            self.link.ready()
            self._say(news=self._wanted <= self._consumers.keys() and not self.pulse.is_late)
            if self._hand.gathering and not self._asked_to_show and self._consumers:
                self._asked_to_show = True  # the answer comes after what each queue delivers at once
                channel = self._channel
                channel.basic_qos(prefetch_count=self._prefetch, callback=lambda _frame: self._show(channel))

    def _show(self, channel: Any) -> None:
        if channel is self._channel and self._hand.gathering:
            self._hand.show()

    @property
    def _is_long_in_opening(self) -> bool:
        """Whether what was asked for a while ago is not there yet: a channel, or the consumer of a queue."""
        return self._opening_since is not None and boot_time() - self._opening_since >= MOST_OPENING

    def _say(self, *, news: bool) -> None:
        if news != self.has_news_channel:
            with self._hand.changed:
                self.has_news_channel = news
                self._hand.changed.notify_all()

    def _arrived(self, source: Source, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        if channel is not self._channel:
            return
        tag = method.delivery_tag
        self.pulse.heard()
        self._ledger.delivered(tag)
        self._silence.heard(source, boot_time())
        try:
            self._hand.put(tag, decode(*source, properties.headers, body))
        except BadMessage as error:
            self._refuse(source, tag, error)

    def _refuse(self, source: Source, tag: int, error: BadMessage) -> None:
        """Ack what is no news: another worker could not read it either."""
        self._hand.refuse(tag)
        self.flush()
        if self.bad.again():
            where = self._topology.queue(*source)
            text = f"a message in {where} is no news and was acked ({self.bad.count} so far): {error}"
            self._reporting.logger.error("%s", text)

    def _cancelled(self, frame: Any) -> None:
        """Consume again: the broker ended a consumer, whose queue was deleted or moved."""
        for source in [one for one, tag in self._consumers.items() if tag == frame.method.consumer_tag]:
            del self._consumers[source]
            self._asked.discard(source)
            self._silence.breaks(source)
            self._declarations.forget(self._topology.of_queue(source[0]))
            self._reporting.logger.warning("RabbitMQ cancelled the consumer of %s", self._topology.queue(*source))
        self._say(news=False)  # until the next tick

    def _closed(self, channel: Any, reason: Any) -> None:
        if channel is not self._channel:
            return
        if isinstance(reason, ChannelClosedByClient):  # its answer came after all that was put back
            self._hand.proved(self._hand.put_back_so_far)
        super()._closed(channel, reason)

    def _go_on(self, reason: Any) -> None:
        if isinstance(reason, ChannelClosedByClient) or self._declarations.refused(reason):
            self.follow()
        else:
            self.link.restart(reason)

    def _without_channel(self) -> None:
        self._channel = self._opening_since = None
        self._is_proving = False
        self.pulse.answered()
        self._consumers.clear()
        self._asked.clear()
        self._silence.breaks()
        self._hand.lose()
        self._hand.gather()
