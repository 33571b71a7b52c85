"""What an application opens once, at its first use: the database, and both sides of the news."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any

import msgspec

from tomqueue.errors import PublishError
from tomqueue.reporting import Reporting
from tomqueue.settings import Settings
from tomqueue.store.announcing import AnnouncedRow
from tomqueue.store.catalog import Catalog
from tomqueue.store.open import open_store, ready_store, url_of
from tomqueue.store.sql import SqlStore
from tomqueue.transport.announcer import Announcer, news_of
from tomqueue.transport.base import MessagePublisher, Publisher, Transport
from tomqueue.transport.polling import PollingTransport
from tomqueue.transport.rabbitmq import RabbitMessagePublisher, RabbitTransport
from tomqueue.transport.republisher import Republisher

__all__ = ["Parts"]

PIECE = 500
"""Jobs that are announced at once."""


class Parts:
    """Opens each part when it is first asked for, once for all threads."""

    def __init__(self, settings: Settings, engine: Any, reporting: Reporting) -> None:
        self._settings = settings
        self._reporting = reporting
        self._engine = engine
        self._lock = RLock()
        self._store: SqlStore | None = None
        self._transport: Transport | None = None
        self._publisher: Publisher | None = None
        self._message_publisher: MessagePublisher | None = None

    @property
    def store(self) -> SqlStore:
        """The database. Raises StoreError when it cannot be reached or its tables do not fit."""
        with self._lock:
            if self._store is None:
                self._store = ready_store(self._settings, self._engine)
                self._store.ties.on_freed = self._announce
                if self._settings.broker_url:
                    self._store.limits.publish = self._publish
            return self._store

    @property
    def catalog(self) -> Catalog:
        """The jobs as people ask for them."""
        return Catalog(self.store)

    @property
    def transport(self) -> Transport:
        """How workers learn that a job is ready."""
        with self._lock:
            if self._transport is None:
                if self._settings.broker_url:
                    self._transport = RabbitTransport(self.store, self._settings, self._reporting)
                else:
                    self._transport = PollingTransport(self.store, self._settings)
            return self._transport

    @property
    def publisher(self) -> Publisher:
        """The enqueueing side of the news."""
        with self._lock:
            if self._publisher is None:
                self._publisher = self.transport.publisher()
            return self._publisher

    @property
    def message_publisher(self) -> MessagePublisher:
        """The sending side of producers, which needs no database. Raises PublishError without a broker."""
        with self._lock:
            if self._message_publisher is None:
                if not self._settings.broker_url:
                    raise PublishError("there is no broker to publish to: set broker_url, or TOMQUEUE_BROKER_URL")
                self._message_publisher = RabbitMessagePublisher(self._settings, self._reporting)
            return self._message_publisher

    @property
    def republisher(self) -> Republisher:
        """What publishes ready jobs anew."""
        return Republisher(self.store, self.publisher, pushes=self.transport.pushes)

    @contextmanager
    def published_by(self, publisher: Publisher) -> Iterator[None]:
        """Let ``publisher`` publish in place of our own until the block is left."""
        with self._lock:
            before, self._publisher = self._publisher, publisher
        try:
            yield
        finally:
            with self._lock:
                self._publisher = before

    def _announce(self, ids: Sequence[int]) -> None:
        """Announce jobs that a workflow has let go, rather than leave that to the next look."""
        store = self.store
        announce: Callable[[Sequence[int]], object] = store.announce_news
        if self.transport.pushes:
            announce = Announcer(store, self.publisher, store.now).announce
        for first in range(0, len(ids), PIECE):
            announce(ids[first : first + PIECE])

    def _publish(self, rows: Sequence[AnnouncedRow]) -> None:
        """Publish the news of jobs that their limit has let in."""
        self.publisher.publish([news_of(row) for row in rows])

    def supervisor_settings(self) -> Settings:
        """Return the settings with the database's URL in them, for a process that does not import the application.

        Without the keys, which it does not need.
        """
        url = self._settings.database_url if self._engine is None else url_of(self._engine)
        return msgspec.structs.replace(self._settings, database_url=url, encryption_keys="", encrypt=False)

    def bare_store(self) -> SqlStore:
        """Return the database once more, whether or not its tables fit; the caller closes it."""
        return open_store(self._settings, self._engine)

    def close(self) -> None:
        """Close what is open; the next use opens it again."""
        with self._lock:
            if self._publisher is not None:
                self._publisher.close()
            if self._message_publisher is not None:
                self._message_publisher.close()
            if self._store is not None:
                self._store.close()
            self._store = self._transport = self._publisher = self._message_publisher = None
