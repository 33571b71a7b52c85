"""No broker: nobody publishes, and workers ask the database in turn.

On SQLite a look is a PRAGMA that says whether anyone committed; on a server it is the query itself.
"""

import threading
from collections.abc import Sequence

from tomqueue.service import boot_time
from tomqueue.settings import Settings
from tomqueue.store.base import Store
from tomqueue.transport.base import Consumer, Delivery, Notification, Publisher

__all__ = ["PollingTransport"]

DEEP_SLEEP_AFTER = 5.0
"""Seconds without news after which a look happens half as often."""


class PollingTransport:
    """A Transport without a broker."""

    pushes = False

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def publisher(self) -> Publisher:
        """Return a publisher with nothing to do."""
        return SilentPublisher()

    def consumer(self, *_wanted: object) -> Consumer:
        """Return a consumer that notices commits."""
        return PollingConsumer(self._store, self._settings)

    def mailbox(self, *_asked: object) -> None:
        """Return None: a database has no exchanges."""


class SilentPublisher:
    """Rows are found by looking, so there is no news to send."""

    def publish(self, notifications: Sequence[Notification]) -> None:
        """Do nothing."""

    def connect(self, seconds: float) -> bool:  # noqa: ARG002 - nothing to wait for
        """Say whether anybody takes news."""
        return False

    def flush(self, seconds: float) -> int:  # noqa: ARG002 - nothing to wait for
        """Return nothing: there is nothing under way."""
        return 0

    def close(self) -> None:
        """Do nothing."""


class Seen(threading.local):
    """The change counter at the last look: each thread's, because it counts the commits of *other* connections."""

    counter: int | None = None


class PollingConsumer:
    """Waits until the database may have something new."""

    asks_database = True

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._seen = Seen()
        self._news_at = boot_time()
        self._woken = threading.Event()

    def receive(self, limit: int) -> list[Delivery]:  # noqa: ARG002 - there are never any
        """Return nothing: without a broker there are no deliveries."""
        return []

    def most_urgent(self) -> int | None:
        """Return None: there are never any deliveries."""
        return None

    def ack(self, delivery: Delivery) -> None:
        """Do nothing."""

    def requeue(self, delivery: Delivery) -> bool:  # noqa: ARG002 - there are never any
        """Do nothing."""
        return True

    def doubtful(self) -> list[Notification]:
        """Return nothing: what is put back is back."""
        return []

    def empty_at(self) -> dict[tuple[str, int], float]:
        """Return nothing: there is no news to be lost."""
        return {}

    def suspend(self) -> None:
        """Do nothing."""

    def wait(self, seconds: float) -> None:
        """Return when someone committed (SQLite), at the next look (servers), or after ``seconds``."""
        until = boot_time() + seconds
        counter = self._store.change_counter()
        while counter is not None and counter == self._seen.counter:
            left = until - boot_time()
            if left <= 0 or self._woken.wait(min(left, self._pause())):
                break
            counter = self._store.change_counter()
        if counter is None:
            self._woken.wait(min(seconds, self._settings.server_poll_interval))
        elif counter != self._seen.counter:
            self._seen.counter = counter
            self._news_at = boot_time()
        self._woken.clear()

    def wake(self) -> None:
        """End a ``wait`` of another thread."""
        self._woken.set()

    def close(self) -> None:
        """End a ``wait`` of another thread."""
        self._woken.set()

    def _pause(self) -> float:
        idle = boot_time() - self._news_at > DEEP_SLEEP_AFTER
        return self._settings.poll_interval * (2 if idle else 1)
