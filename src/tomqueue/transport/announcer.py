"""Announces rows and publishes their news: just those that it changed, also when it first did not know which."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tomqueue.crash_points import reached
from tomqueue.errors import OutcomeUnknown
from tomqueue.job import checksum_of
from tomqueue.service import boot_time
from tomqueue.store.announcing import AnnouncedRow
from tomqueue.store.base import Announced
from tomqueue.store.sql import SqlStore
from tomqueue.transport.base import Notification, Publisher

__all__ = ["Announcer", "news_of"]

DOUBT = 2.0
"""A transaction may still commit at the server so many seconds after its client lost the connection."""
SETTLE_EVERY = 0.25
SOON = timedelta(seconds=1)


@dataclass(slots=True)
class Doubt:
    """An announcement whose COMMIT nobody answered."""

    ids: set[int]
    since: datetime
    until: float


class Announcer:
    """Stamps rows as ready and publishes what it stamped. ``now`` is a lower bound of the database's clock."""

    def __init__(self, store: SqlStore, publisher: Publisher, now: Callable[[], datetime]) -> None:
        self._store = store
        self._publisher = publisher
        self._now = now
        self._doubts: list[Doubt] = []
        self._settle_at = 0.0
        self._queues: set[str] = set()

    def announce(self, ids: Sequence[int]) -> int:
        """Announce those of ``ids`` that are due and wait unannounced; return how many. Raises StoreError."""
        since = self._now()
        try:
            rows = self._store.announce_news(ids)
        except OutcomeUnknown:
            self._doubts.append(Doubt(set(ids), since, boot_time() + DOUBT))
            raise
        for doubt in self._doubts:
            doubt.ids.difference_update(row.id for row in rows)
        self._publish(rows)
        self.know_queues()
        return len(rows)

    def look(self, limit: int = 500) -> Announced:
        """Announce what is due, most urgent first: for a worker that looks itself because the broker is away."""
        self.settle()
        rows, now = self._store.coming(SOON, limit), self._now()
        due = [row.id for row in rows if row.run_at <= now]
        count = self.announce(due[:limit])
        return Announced(count, min((row.run_at for row in rows if row.run_at > now), default=None))

    def settle(self) -> None:
        """Publish what announcements changed whose outcome was unknown: read by key, until no more can come of them."""
        if not self._doubts or boot_time() < self._settle_at:
            return
        self._settle_at = boot_time() + SETTLE_EVERY
        for doubt in list(self._doubts):
            over = boot_time() >= doubt.until
            rows = self._store.announced_since(sorted(doubt.ids), doubt.since)
            doubt.ids.difference_update(row.id for row in rows)
            if over or not doubt.ids:
                self._doubts.remove(doubt)
            self._publish(rows)

    def know_queues(self) -> None:
        """Write down queues that rows by plain SQL brought: after their news, which must not wait for it."""
        self._store.know_queues(self._queues)
        self._queues.clear()

    def _publish(self, rows: Sequence[AnnouncedRow]) -> None:
        if rows:
            reached("announce.after_commit")
            self._publisher.publish([news_of(row) for row in rows])
            reached("announce.after_publish")
            self._queues.update(row.queue for row in rows)


def news_of(row: AnnouncedRow) -> Notification:
    """Return the notification of a row that was announced just now; without a checksum for a large payload."""
    checksum = ""
    if row.payload is not None:
        checksum = checksum_of(row.id, row.queue, row.priority, row.name, row.payload)
    return Notification(row.id, row.queue, row.priority, row.stamp, checksum)
