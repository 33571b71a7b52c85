"""Where messages of other programs arrive in a worker, and are settled."""

from functools import partial

from tomqueue.reporting import Reporting
from tomqueue.settings import Settings
from tomqueue.transport.base import Letter, Wanted
from tomqueue.transport.rabbitmq.connection import Link
from tomqueue.transport.rabbitmq.inbox import Inbox
from tomqueue.transport.rabbitmq.reception import Reception

__all__ = ["RabbitMailbox"]


class RabbitMailbox:
    """A Mailbox, on a connection of its own: the jobs' channel is closed whenever no slot is free."""

    def __init__(self, settings: Settings, wanted: Wanted, reporting: Reporting) -> None:
        self._inbox = Inbox()
        self._reception = Reception(settings, wanted, self._inbox, reporting)
        self._link = self._reception.link = Link(settings, "messages", self._reception, reporting)
        self._link.start()

    def most_urgent(self) -> int | None:
        """Return the rank of what ``take`` would give."""
        return self._inbox.most_urgent()

    def take(self) -> Letter | None:
        """Return the most urgent message that has arrived."""
        return self._inbox.take()

    def ack(self, letter: Letter) -> None:
        """Say that the message is handled."""
        self._link.post(partial(self._reception.ack, letter))

    def discard(self, letter: Letter) -> None:
        """Have the broker drop it, or dead-letter it."""
        self._link.post(partial(self._reception.discard, letter))

    def hold(self, letter: Letter, seconds: float) -> None:
        """Put it back after a while."""
        self._link.post(partial(self._reception.hold, letter, seconds))

    def suspend(self) -> None:
        """Put back what was not taken, and let none come until ``resume``."""
        if not self._reception.suspended:
            self._reception.suspended = True
            self.follow()

    def resume(self) -> None:
        """Let messages come again."""
        if self._reception.suspended:
            self._reception.suspended = False
            self.follow()

    def follow(self) -> None:
        """See at once which queues are served."""
        self._link.post(self._reception.serve)

    def drain(self) -> None:
        """Put back what is not being handled, and let nothing more come."""
        if not self._reception.draining:
            self._reception.draining = True
            self.follow()

    def close(self) -> None:
        """Settle what is to be settled, give the rest back, and end."""
        self._link.stop()
