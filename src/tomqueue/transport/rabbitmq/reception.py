"""What an application's consumers have at the broker: one channel, and a consumer on each one's queue.

All of it happens in the connection's thread, but for the flags that say what is wanted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tomqueue.definition import ConsumerDefinition
from tomqueue.reporting import Reporting
from tomqueue.settings import Settings
from tomqueue.transport.base import Letter, Wanted
from tomqueue.transport.rabbitmq.channel import OneChannel
from tomqueue.transport.rabbitmq.foreign import received
from tomqueue.transport.rabbitmq.inbox import Inbox
from tomqueue.transport.topology import Declaration, Topology

__all__ = ["Reception"]

MOST_HELD = 32
"""Messages of one consumer that are held while others of its queue go on coming; beyond it they wait as well."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message was delivered, and where alone it can be settled."""

    channel: Any
    tag: int


@dataclass(slots=True, eq=False)
class Line:
    """One consumer's queue, and what we have there: ``tag`` is that of our consumer at the broker."""

    consumer: ConsumerDefinition
    declarations: Sequence[Declaration]
    queue: str
    tag: str | None = None
    is_asked: bool = False
    held: int = 0


class Reception(OneChannel):
    """Consumes while it is wanted, brings what arrives into the inbox, and settles it.

    As many messages of each consumer as there are slots are here at a time, beside those that are held.
    """

    def __init__(self, settings: Settings, wanted: Wanted, inbox: Inbox, reporting: Reporting) -> None:
        super().__init__(reporting)
        self.suspended = False
        self.draining = False
        topology = Topology(settings.prefix, settings.queue_type)
        self._lines = {
            one.name: Line(
                one,
                list(topology.of_consumer(one.name, one.exchange, one.type, one.routing_keys)),
                topology.consumer_queue(one.name),
            )
            for one in wanted.consumers
        }
        self._wanted = wanted
        self._inbox = inbox
        self._held: dict[Letter, Line] = {}

    # The connection --------------------------------------------------------------------------------------

    def tick(self) -> None:
        """See whether the queues have changed."""
        self.serve()

    # The channel -----------------------------------------------------------------------------------------

    def _begin(self, channel: Any) -> None:
        self.pulse.answered()
        channel.add_on_cancel_callback(self._cancelled)
        channel.basic_qos(prefetch_count=self._wanted.slots)
        self.link.ready()
        self.serve()

    def _without_channel(self) -> None:
        self._channel = None
        self._held.clear()
        self._inbox.take_out(lambda _letter: True)
        for line in self._lines.values():
            line.tag, line.is_asked, line.held = None, False, 0

    # The consumers ---------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Consume what is wanted and no more what is not; put back what waits of that."""
        if not self._is_open:
            return
        active = self._wanted.queues()
        stopped = self.suspended or self.draining
        wanted = {name for name, line in self._lines.items() if not stopped and line.consumer.queue in active}
        for name, line in self._lines.items():
            if name not in wanted:
                self._cancel(line)
            elif not line.is_asked:
                line.is_asked = True
                self._declarations.declare(self._channel, line.declarations, partial(self._consume, line))
        for letter in self._inbox.take_out(lambda letter: letter.consumer.name not in wanted):
            self._put_back(letter)
        if self.draining:
            for letter in list(self._held):
                self._release(letter)

    def _consume(self, line: Line) -> None:
        if self._is_open and line.is_asked and line.tag is None:
            line.tag = self._channel.basic_consume(line.queue, partial(self._deliver, line))

    def _cancel(self, line: Line) -> None:
        if line.tag is not None:
            self._stop_consuming(line)
        line.is_asked = False

    def _stop_consuming(self, line: Line) -> None:
        """Let nothing more come; pika puts back what is on its way. Without a callback it would keep every tag."""
        self._channel.basic_cancel(line.tag, callback=lambda _frame: None)
        line.tag = None

    def _cancelled(self, frame: Any) -> None:
        """Consume again, with the next tick: the broker ended a consumer, whose queue was deleted or moved."""
        for line in [line for line in self._lines.values() if line.tag == frame.method.consumer_tag]:
            line.tag, line.is_asked = None, False
            self._declarations.forget(line.declarations)
            self._reporting.logger.warning("RabbitMQ cancelled the consumer of %s", line.queue)

    def _deliver(self, line: Line, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        if channel is self._channel:
            message = received(method, properties, body)
            self._inbox.put(Letter(message, line.consumer, Place(channel, method.delivery_tag)))
            self._wanted.arrived()

    # Settling --------------------------------------------------------------------------------------------

    def ack(self, letter: Letter) -> None:
        """Tell the broker that a message is handled."""
        if self._is_ours(letter):
            self._channel.basic_ack(tag_of(letter))
        else:
            name = letter.consumer.name
            self._reporting.logger.warning(
                "consumer %s: a message was handled whose channel is gone; it comes again", name
            )

    def discard(self, letter: Letter) -> None:
        """Have the broker drop a message, or dead-letter it."""
        if self._is_ours(letter):
            self._channel.basic_nack(tag_of(letter), requeue=False)

    def hold(self, letter: Letter, seconds: float) -> None:
        """Keep a message unacked for a while, then put it back; let others of its queue come meanwhile."""
        if seconds <= 0 or self.draining:
            self._put_back(letter)
        elif self._is_ours(letter):
            line = self._lines[letter.consumer.name]
            self._held[letter] = line
            line.held += 1
            self.link.later(seconds, partial(self._release, letter))
            if line.tag is not None and line.held <= MOST_HELD:  # the prefetch is counted for each consumer anew
                self._stop_consuming(line)
                self._consume(line)

    def _release(self, letter: Letter) -> None:
        line = self._held.pop(letter, None)
        if line is not None:
            line.held -= 1
            self._put_back(letter)

    def _put_back(self, letter: Letter) -> None:
        if self._is_ours(letter):
            self._channel.basic_nack(tag_of(letter), requeue=True)

    def _is_ours(self, letter: Letter) -> bool:
        return isinstance(letter.place, Place) and letter.place.channel is self._channel and self._is_open


def tag_of(letter: Letter) -> int:
    """Return the number of a delivery on its channel."""
    assert isinstance(letter.place, Place)
    return letter.place.tag
