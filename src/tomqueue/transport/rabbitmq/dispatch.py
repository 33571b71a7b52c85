"""Sending the messages of producers on one connection, each until the broker has confirmed it.

All of it happens in the connection's thread.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pika

from tomqueue.message import Outgoing
from tomqueue.reporting import Reporting
from tomqueue.transport.rabbitmq.channel import OneChannel
from tomqueue.transport.rabbitmq.window import Window
from tomqueue.transport.topology import Exchange

__all__ = ["Dispatch", "Item"]

WINDOW = 2000
NOT_FOUND = 404
LOST = "the connection was lost before the broker confirmed it: it may or may not be there"


@dataclass(slots=True, eq=False)
class Item:
    """A message on its way. ``answered`` is called once: with None when the broker has it, else with why not."""

    message: Outgoing
    properties: pika.BasicProperties
    answered: Callable[[str | None], None]
    is_waited_for: bool
    """Whether its caller waits, and is told of trouble at once; else it is kept for the next connection."""
    is_returned: bool = False
    is_retried: bool = False

    @property
    def exchange(self) -> Exchange:
        """Where it goes."""
        return Exchange(self.message.exchange, self.message.exchange_type, is_foreign=True)


class Dispatch(OneChannel):
    """Sends what is put in, in order."""

    def __init__(self, limit: int, reporting: Reporting) -> None:
        super().__init__(reporting)
        self.finished = threading.Event()
        """Set after ``finish``, when nothing is left to be sent, or the broker is away."""
        self._limit = limit
        self._items: deque[Item] = deque()
        self._under_way: Window[Item] = Window()
        self._ready = False
        self._declaring = False
        self._blocked: str = ""
        self._finishing = False

    def put(self, item: Item) -> None:
        """Take a message to be sent; beyond the limit the oldest that waits is given up."""
        if item.is_waited_for and self._trouble:
            item.answered(self._trouble)
            return
        self._items.append(item)
        if len(self._items) > self._limit:
            self._items.popleft().answered(f"RabbitMQ takes no messages, and publish_buffer={self._limit} is full")
        self.pump()

    def finish(self) -> None:
        """Say when nothing is left."""
        self._finishing = True
        self.pump()

    def give_up(self, why: str) -> None:
        """Answer for all that was not sent."""
        items = [*self._under_way.take_out(lambda _item: True), *self._items]
        self._items.clear()
        for item in items:
            item.answered(why)

    # The connection --------------------------------------------------------------------------------------

    def opened(self, connection: Any) -> None:
        """Begin with a new connection."""
        self._blocked = ""
        connection.add_on_connection_blocked_callback(self._block)
        connection.add_on_connection_unblocked_callback(lambda _connection, _frame: self._unblock())
        super().opened(connection)

    def tick(self) -> None:
        """Tell those who wait that the broker is away."""
        self._disappoint()
        self.pump()

    def _block(self, _connection: Any, frame: Any) -> None:
        self._blocked = f"RabbitMQ takes no messages for now: {frame.method.reason}"
        self._disappoint()

    def _unblock(self) -> None:
        self._blocked = ""
        self.pump()

    # The channel -----------------------------------------------------------------------------------------

    def _begin(self, channel: Any) -> None:
        channel.add_on_return_callback(self._returned)
        channel.confirm_delivery(partial(self._confirmed, channel), callback=partial(self._begin_publishing, channel))

    def _begin_publishing(self, channel: Any, _frame: Any) -> None:
        if channel is not self._channel:
            return
        self._ready = True
        self.pulse.answered()
        self.link.ready()
        self.pump()

    def _closed(self, channel: Any, reason: Any) -> None:
        if channel is not self._channel:
            return
        if not self._is_connected:
            self._without_channel()
            return
        goes_on = self._declarations.refused(reason)
        code, text = getattr(reason, "reply_code", 0), getattr(reason, "reply_text", str(reason))
        if code == NOT_FOUND:  # somebody deleted an exchange
            self._declarations.reset()
        if self._declaring and not goes_on and self._items:
            self._items.popleft().answered(f"RabbitMQ refused its exchange: {text}")
        self._without_channel(f"RabbitMQ refused it: {text}", retry=goes_on or code == NOT_FOUND)
        if code:
            self._open_channel()
        else:
            self.link.restart(reason)

    def _without_channel(self, why: str = LOST, *, retry: bool = False) -> None:
        """Send again what may be sent again; answer for the rest."""
        self._channel = None
        self._ready = self._declaring = False
        items = self._under_way.end()
        kept = [item for item in items if self._may_go_again(item, why, retry=retry)]
        self._items.extendleft(reversed(kept))
        for item in items:
            if item not in kept:
                item.answered(why)

    def _may_go_again(self, item: Item, why: str, *, retry: bool) -> bool:
        if retry:
            again, item.is_retried = not item.is_retried, True
            return again
        return why is LOST and not item.is_waited_for

    # The messages ----------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Send while there is something and the window is not full."""
        while self._items and self._may_send():
            item = self._items[0]
            if not self._declarations.holds([item.exchange]):
                self._declaring = True
                self._declarations.declare(self._channel, [item.exchange], self._declared)
                break
            self._send(self._items.popleft())
        self._settle()

    def _may_send(self) -> bool:
        free = len(self._under_way) < WINDOW
        return free and self._ready and not self._declaring and not self._blocked and self._channel.is_open

    def _declared(self) -> None:
        self._declaring = False
        self.pump()

    def _send(self, item: Item) -> None:
        self._under_way.add(item)
        item.is_returned = False
        message = item.message
        self._channel.basic_publish(
            message.exchange, message.routing_key, message.body, item.properties, mandatory=message.mandatory
        )

    def _confirmed(self, channel: Any, frame: Any) -> None:
        if channel is not self._channel:
            return
        for item, is_taken in self._under_way.answered(frame.method):
            item.answered(answer(item, is_taken=is_taken))
        self.link.works()
        self.pump()

    def _returned(self, _channel: Any, method: Any, properties: Any, _body: bytes) -> None:
        """Remember that no queue gets it; the broker confirms it right after."""
        returned = (properties.message_id, method.exchange, method.routing_key)
        for item in self._under_way:
            message = item.message
            if (message.message_id, message.exchange, message.routing_key) == returned:
                item.is_returned = True

    @property
    def _trouble(self) -> str:
        """Why nothing can be sent now; empty when it can, or soon."""
        return self._blocked or ("RabbitMQ is away" if self.link.away else "")

    def _disappoint(self) -> None:
        """Answer those who wait in vain."""
        why = self._trouble
        if why:
            waiting = [item for item in self._items if item.is_waited_for]
            self._items = deque(item for item in self._items if not item.is_waited_for)
            for item in waiting:
                item.answered(why)

    def _settle(self) -> None:
        """Say when nothing is left."""
        if self._finishing and (not (self._items or self._under_way) or self._trouble):
            self.finished.set()


def answer(item: Item, *, is_taken: bool) -> str | None:
    """Return why the broker has not got a message; None if it has."""
    if not is_taken:
        return "RabbitMQ refused it (a full queue?)"
    return "no queue gets messages of this exchange and routing_key (mandatory=True)" if item.is_returned else None
