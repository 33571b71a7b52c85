"""Deferred processes as threads of the test, on every database; what they publish is written down."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from tests.harness import PATIENCE
from tomqueue.daemon.deferred import Deferred
from tomqueue.daemon.leadership import Leadership
from tomqueue.settings import Settings
from tomqueue.store.leases import Leases
from tomqueue.store.migrate import migrate
from tomqueue.store.open import open_store
from tomqueue.store.sql import SqlStore
from tomqueue.transport.base import Notification

Lead = Callable[..., Any]


class Site:
    """One database, and deferred processes on it with a publisher that writes down what it was given."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.published: list[Notification] = []
        self.errors: list[BaseException] = []
        self.store = self.open()
        migrate(self.store.engine, self.store.tables)

    def open(self) -> SqlStore:
        """Open a store as another process would."""
        return open_store(Settings(database_url=self.url))

    def publish(self, notifications: Sequence[Notification]) -> None:
        """Be the publisher."""
        self.published.extend(notifications)

    def connect(self, seconds: float) -> bool:
        """Be there."""
        return True

    def flush(self, seconds: float) -> int:
        """Have nothing under way."""
        return 0

    def close(self) -> None:
        """Be the publisher that has nothing buffered."""

    @property
    def ids(self) -> list[int]:
        """What was published, in order."""
        return [news.job_id for news in self.published]

    def leadership(self, store: SqlStore | None = None, *, heartbeat: float = 5.0, lease: float = 20.0) -> Leadership:
        """Return a leadership to compete for."""
        return Leadership(Leases(store or self.store), heartbeat=heartbeat, lease=lease)

    def deferred(self, store: SqlStore | None = None, leadership: Any = None) -> Deferred:
        """Return a deferred process that is not started."""
        store = store or self.store
        return Deferred(store, self, leadership or self.leadership(store), self.errors.append)

    @contextmanager
    def running(self, deferred: Deferred | None = None) -> Iterator[Deferred]:
        """Run a deferred process beside the test."""
        deferred = deferred or self.deferred()
        thread = threading.Thread(target=deferred.run, name="deferred")
        thread.start()
        try:
            yield deferred
        finally:
            deferred.stop()
            thread.join(PATIENCE)
            assert not thread.is_alive()

    @contextmanager
    def not_yet(self, deferred: Deferred) -> Iterator[None]:
        """Let a deferred process believe that it is an hour earlier: what it loads is not due, however slow we are."""
        with pytest.MonkeyPatch.context() as early:
            early.setattr(deferred._clock, "now", lambda: self.store.now() - timedelta(hours=1))
            yield

    def wait_for(self, happened: Callable[[], Any]) -> None:
        """Wait until something happened."""
        give_up = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < give_up, (self.ids, self.errors)
            time.sleep(0.002)

    def wait_for_all(self, ids: Sequence[int]) -> None:
        """Wait until just these are published, each once, in whatever order."""
        self.wait_for(lambda: len(self.published) >= len(ids))
        assert sorted(self.ids) == sorted(ids)


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def kind(request: pytest.FixtureRequest) -> str:
    """Give one kind of database after the other; a test may choose fewer (``indirect``)."""
    return str(request.param)


@pytest.fixture
def site(kind: str, request: pytest.FixtureRequest) -> Iterator[Site]:
    """Give a database with TomQueue's tables."""
    site = Site(str(request.getfixturevalue(f"{kind}_url")))
    yield site
    site.store.close()
