"""The enqueueing side: never waits, never raises, survives a fork."""

import atexit
import os
from collections.abc import Sequence

from tomqueue.reporting import Reporting
from tomqueue.settings import Settings
from tomqueue.store.sql import SqlStore
from tomqueue.transport.base import Notification
from tomqueue.transport.rabbitmq.sender import Sender

__all__ = ["RabbitPublisher"]


class RabbitPublisher:
    """A Publisher. A process that was forked gets a sender of its own and never touches its parent's.

    What the parent had not sent yet, the parent sends.
    """

    def __init__(self, store: SqlStore, settings: Settings, reporting: Reporting) -> None:
        self._store = store
        self._settings = settings
        self._reporting = reporting
        self._senders: dict[int, Sender] = {}
        """By process; a parent's is kept unused, so that its connection is not closed by our garbage collector."""
        self._closed = False
        atexit.register(self.close)

    def publish(self, notifications: Sequence[Notification]) -> None:
        """Send news, soon."""
        if not notifications or self._closed:
            return
        try:
            self._sender().send(notifications)
        except Exception as error:  # noqa: BLE001 - the rows are committed: nothing may reach the caller
            self._reporting.report(error)

    def connect(self, seconds: float) -> bool:
        """Say whether the broker takes news now, or within so many seconds."""
        return self._sender().connect(seconds)

    def flush(self, seconds: float) -> int:
        """Wait until everything is confirmed; return how many messages are not."""
        return self._sender().flush(seconds)

    def close(self) -> None:
        """Send what is still buffered, for at most ``flush_seconds``, and end."""
        self._closed = True
        atexit.unregister(self.close)
        sender = self._senders.get(os.getpid())
        if sender is not None:
            sender.close()

    def _sender(self) -> Sender:
        sender = self._senders.get(os.getpid())
        if sender is None:  # setdefault is atomic: of two threads that come here, one wins
            sender = self._senders.setdefault(os.getpid(), Sender(self._store, self._settings, self._reporting))
        return sender
