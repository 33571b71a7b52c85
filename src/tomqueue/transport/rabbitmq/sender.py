"""The publisher of one process: an outbox, and the thread that empties it."""

import threading
import time
from collections.abc import Callable, Sequence

from tomqueue.reporting import Reporting
from tomqueue.service import boot_time
from tomqueue.settings import Settings
from tomqueue.store.sql import SqlStore
from tomqueue.transport.base import Notification
from tomqueue.transport.rabbitmq.connection import Link
from tomqueue.transport.rabbitmq.outbox import Outbox, parcels_of
from tomqueue.transport.rabbitmq.publication import Publication
from tomqueue.transport.rabbitmq.repairs import Repairs
from tomqueue.transport.rabbitmq.seldom import Seldom

__all__ = ["Sender"]


LOOK_EVERY = 0.01
GATHER = 0.005
"""Seconds for which news is gathered while it comes in a stream: to be woken for each would cost its enqueue time."""


class Sender:
    """Takes news from every thread and has it published."""

    def __init__(self, store: SqlStore, settings: Settings, reporting: Reporting) -> None:
        self._settings = settings
        self._reporting = reporting
        self._outbox = Outbox(settings.publish_buffer)
        self._repairs = Repairs(store, reporting)
        self._publication = Publication(settings, self._outbox, self._repairs, reporting)
        self._link = Link(settings, "publisher", self._publication, reporting)
        self._publication.link = self._link
        self._dropped = Seldom()
        self._pumping = False
        self._starting = threading.Lock()
        self._started = False

    def send(self, notifications: Sequence[Notification]) -> None:
        """Put news into the outbox and see that somebody empties it."""
        dropped = self._outbox.put(parcels_of(notifications))
        if dropped and self._dropped.again(dropped):
            self._reporting.logger.error(
                "RabbitMQ takes no news and publish_buffer=%d is full: the oldest was dropped (%d so far); "
                "its jobs are found in the database",
                self._settings.publish_buffer, self._dropped.count,
            )  # fmt: skip
        self._start()
        if not self._pumping:
            self._pumping = True
            self._link.post(self._pump)

    def connect(self, seconds: float) -> bool:
        """Say whether the broker takes news now, or within so many seconds."""
        self._start()
        return wait_until(lambda: self._publication.takes_news, seconds)

    def flush(self, seconds: float) -> int:
        """Wait until everything is confirmed; return how many messages are not."""
        wait_until(lambda: not self._publication.unconfirmed, seconds)
        return self._publication.unconfirmed

    def close(self) -> None:
        """Wait a while for what is not with the broker yet, unless that is away, and end."""
        if self._started:
            self._link.post(self._publication.finish)
            self._publication.finished.wait(self._settings.flush_seconds)
            self._link.stop()
            self._repairs.stop()

    def _start(self) -> None:
        if self._started:
            return
        with self._starting:
            if not self._started:
                self._link.start()
                self._repairs.start()
                self._started = True

    def _pump(self) -> None:
        """Publish; as long as there is something, look again in a moment, so that nobody needs to wake us for it."""
        self._pumping = False  # first: who puts something into the outbox from now on wakes us
        if self._publication.pump():
            self._pumping = True
            self._link.later(GATHER, self._pump)


def wait_until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait for what another thread does; say whether it has come."""
    give_up = boot_time() + seconds
    while not condition():
        if boot_time() > give_up:
            return False
        time.sleep(LOOK_EVERY)
    return True
