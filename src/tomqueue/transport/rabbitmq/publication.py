"""Publishing on one connection: a window of messages under way, each until the broker has confirmed it.

All of it happens in the connection's thread.
"""

import secrets
import threading
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from tomqueue.crash_points import reached
from tomqueue.reporting import Reporting
from tomqueue.service import boot_time
from tomqueue.settings import Settings
from tomqueue.transport.rabbitmq.channel import OneChannel
from tomqueue.transport.rabbitmq.message import encode_body, encode_properties
from tomqueue.transport.rabbitmq.old_news import OldNews
from tomqueue.transport.rabbitmq.outbox import Outbox, Parcel
from tomqueue.transport.rabbitmq.repairs import Repairs
from tomqueue.transport.rabbitmq.seldom import Seldom
from tomqueue.transport.rabbitmq.window import Window
from tomqueue.transport.topology import Topology

__all__ = ["Publication"]

WINDOW = 2000
"""Messages under way. A confirm may take hundreds of milliseconds on a quorum queue, so many are."""
CONFIRM_SECONDS = 10.0
RENEW_PAUSE = 1.0
"""Seconds from a refusal to another try on another channel: after a node was lost RabbitMQ (3.10) may refuse all that
comes for a quorum queue by a channel that was opened before the queue had its next leader."""


class Publication(OneChannel):
    """Empties the outbox into the broker."""

    def __init__(self, settings: Settings, outbox: Outbox, repairs: Repairs, reporting: Reporting) -> None:
        super().__init__(reporting)
        self.finished = threading.Event()
        """Set after ``finish``, when nothing is left to be sent, or the broker is away."""
        self._topology = Topology(settings.prefix, settings.queue_type)
        self._outbox = outbox
        self._repairs = repairs
        self._ready = False
        self._blocked = False
        self._declaring = False
        self._old = OldNews(repairs)
        self._finishing = False
        self._moving = False
        """Whether news is between two places where it is counted."""
        self._mark = secrets.token_hex(4)
        self._under_way: Window[Parcel] = Window()
        self._nacked: list[Parcel] = []
        self._refused: deque[Parcel] = deque()
        self._unroutable = Seldom()

    @property
    def takes_news(self) -> bool:
        """Whether the broker is there and takes what is published."""
        return self._ready and not self._blocked

    @property
    def unconfirmed(self) -> int:
        """How many messages wait, or are under way; for every thread."""
        waiting = self._outbox.parcels + len(self._old) + len(self._nacked)
        return waiting + self._moving + len(self._under_way) + len(self._refused)

    # The connection --------------------------------------------------------------------------------------

    def opened(self, connection: Any) -> None:
        """Begin with a new connection."""
        connection.add_on_connection_blocked_callback(self._block)
        connection.add_on_connection_unblocked_callback(self._unblock)
        super().opened(connection)
        self._repairs.measure(self._pump_soon)

    def lost(self) -> None:
        """Keep what was not confirmed for the next connection: twice is harmless."""
        super().lost()
        self._settle()

    def tick(self) -> None:
        """Let rows be announced again whose news the broker, which is there, did not take."""
        if not self._ready or self._blocked:
            self._settle()
            return
        if self._is_silent():
            return
        overdue = boot_time() - CONFIRM_SECONDS
        for parcel in self._under_way.take_out(lambda parcel: parcel.sent_at < overdue):
            self._repairs.unannounce(parcel)
        while self._refused and self._refused[0].sent_at < overdue:
            self._repairs.unannounce(self._refused.popleft())
        self.pump()

    def _is_silent(self) -> bool:
        """Ask whether the broker is there while it owes us confirms: of one that is silent they tell nothing."""
        if self._under_way and not self.pulse.silence:
            self.pulse.asked()
            self._channel.basic_qos(prefetch_count=1, callback=self._speaks)
        return self.pulse.is_late

    def _speaks(self, _frame: Any) -> None:
        if self.pulse.is_late:
            self._wait_anew()
        self.pulse.answered()

    def _wait_anew(self) -> None:
        """Count the time for a confirm from now: the broker could not send any."""
        for parcel in self._under_way:
            parcel.sent_at = boot_time()

    def finish(self) -> None:
        """Say when nothing is left."""
        self._finishing = True
        self.pump()
        self._settle()

    def _settle(self) -> None:
        left = len(self._outbox) or len(self._old) or self._under_way or self._nacked
        if self._finishing and (not left or self.link.away):
            self.finished.set()

    def _block(self, _connection: Any, frame: Any) -> None:
        if not self._blocked:
            self._blocked = True
            self.pulse.answered()  # it stopped listening, and said so
            self._reporting.logger.warning("RabbitMQ takes no news for now: %s", frame.method.reason)

    def _unblock(self, _connection: Any, _frame: Any) -> None:
        self._say_it_works()
        self._wait_anew()
        self.pump()

    # The channel -----------------------------------------------------------------------------------------

    def _begin(self, channel: Any) -> None:
        channel.add_on_return_callback(self._returned)
        channel.confirm_delivery(partial(self._confirmed, channel), callback=lambda _frame: None)
        self._declarations.declare(channel, self._topology.common(), self._begin_publishing)

    def _begin_publishing(self) -> None:
        self._ready = True
        self.pulse.answered()
        # After a loss by an alarm only a confirm shows that the broker takes news again.
        self.link.ready(works=not self._blocked)
        self.pump()

    def _without_channel(self) -> None:
        self._channel = None
        self._ready = self._declaring = False
        self._moving = True
        self._outbox.put_back([*self._old.give_up(), *self._nacked, *self._under_way.end()])
        self._moving = False
        self._nacked.clear()

    def _renew(self, channel: Any) -> None:
        """Go on by another channel with what was refused and with what is under way: twice is harmless."""
        if channel is self._channel and channel.is_open:
            self._without_channel()
            self._open_channel()
            channel.close()

    # The messages ----------------------------------------------------------------------------------------

    def pump(self) -> bool:
        """Publish while there is something and the window is not full; say whether there was something."""
        self._repairs.measure(self._pump_soon)
        found = False
        self._moving = True
        try:
            while self._may_publish() and (parcel := self._outbox.take()) is not None:
                self._handle(parcel)
                found = True
        finally:
            self._moving = False
        if self._may_publish():
            self._old.ask(lambda fresh: self.link.post(partial(self._stamped_anew, fresh)))
        self._settle()
        return found

    def _may_publish(self) -> bool:
        return (
            self._ready
            and not self._declaring
            and len(self._under_way) < (1 if self._blocked else WINDOW)
            and self._channel.is_open
            and self._repairs.now() is not None
        )

    def _handle(self, parcel: Parcel) -> None:
        if not self._topology.can_carry(parcel.queue):
            self._tell_unroutable(parcel, "the broker can have no queue of that name")
            return
        if self._old.takes(parcel):
            return
        declarations = list(self._topology.of_queue(parcel.queue))
        if not self._declarations.holds(declarations):
            self._outbox.put_back([parcel])
            self._declaring = True
            self._declarations.declare(self._channel, declarations, self._declared)
        else:
            self._publish(parcel)

    def _declared(self) -> None:
        self._declaring = False
        self.pump()

    def _stamped_anew(self, fresh: Sequence[Parcel]) -> None:
        self._outbox.put_back(fresh)
        self._old.answered()
        self.pump()

    def _publish(self, parcel: Parcel) -> None:
        parcel.sent_at = boot_time()
        tag = self._under_way.add(parcel)
        self._channel.basic_publish(
            self._topology.work,
            self._topology.routing_key(parcel.queue, parcel.priority),
            encode_body(parcel.notifications, parcel.stamp),
            encode_properties(parcel.priority, parcel.stamp, f"{self._mark}-{tag}"),
            mandatory=True,
        )

    def _confirmed(self, channel: Any, frame: Any) -> None:
        if channel is not self._channel:
            return
        reached("publish.before_confirm")
        stood_still = not self._may_publish()
        self._say_it_works()
        self.pulse.heard()
        for parcel, is_taken in self._under_way.answered(frame.method):
            self._answered(parcel, is_taken=is_taken)
        if stood_still:
            self.pump()
        else:  # what waits is being gathered: a look with every confirm would send most of it singly
            self._settle()

    def _answered(self, parcel: Parcel, *, is_taken: bool) -> None:
        if is_taken and not parcel.is_returned:
            return
        if not parcel.is_retried and len(self._nacked) < WINDOW:
            parcel.is_returned, parcel.is_retried = False, True
            if is_taken:
                self._declarations.forget(self._topology.of_queue(parcel.queue))
                self._outbox.put_back([parcel])
                self._pump_soon()
            else:
                self._try_again(parcel)
            return
        self._tell_unroutable(parcel, "it has no queue for them" if is_taken else "it refused them (a full queue?)")
        self._refused.append(parcel)

    def _try_again(self, parcel: Parcel) -> None:
        self._nacked.append(parcel)
        if len(self._nacked) == 1:
            self.link.later(RENEW_PAUSE, partial(self._renew, self._channel))

    def _tell_unroutable(self, parcel: Parcel, why: str) -> None:
        if self._unroutable.again(len(parcel.notifications)):
            self._reporting.logger.error(
                "RabbitMQ did not take news of jobs in queue %r: %s (%d jobs so far)",
                parcel.queue, why, self._unroutable.count,
            )  # fmt: skip

    def _say_it_works(self) -> None:
        if self._blocked:
            self._blocked = False
            self._reporting.logger.warning("RabbitMQ takes news again")
        if self.link.away:
            self.link.works()

    def _returned(self, channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
        """Remember that there was no queue; the broker confirms the message right after."""
        mark, _, tag = str(properties.message_id).rpartition("-")
        parcel = self._under_way.get(int(tag)) if mark == self._mark and channel is self._channel else None
        if parcel is not None:
            parcel.is_returned = True

    def _pump_soon(self) -> None:
        self.link.post(self.pump)
