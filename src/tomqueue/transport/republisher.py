"""Publishes anew what is ready: for a broker that is fresh, was failed over, or lost its messages."""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from tomqueue.errors import JobNotFound, JobStateError, PublishError, SettingsError
from tomqueue.priority import PRIORITIES
from tomqueue.store.announcing import AnnouncedRow, Place
from tomqueue.store.sql import SqlStore
from tomqueue.transport.announcer import news_of
from tomqueue.transport.base import Publisher

__all__ = ["DEFAULT_RATE", "Republisher"]

DEFAULT_RATE = 5000.0
PIECE = 500
"""Rows of one transaction, and of one call of the publisher."""
CONNECT_SECONDS = 10.0
CONFIRM_SECONDS = 30.0


class Republisher:
    """Gives ready rows a new stamp and publishes what that changed, so that no row is told of by two clocks.

    ``pushes`` says whether there is a broker at all.
    """

    def __init__(self, store: SqlStore, publisher: Publisher, *, pushes: bool) -> None:
        self._store = store
        self._publisher = publisher
        self._pushes = pushes

    def republish(
        self,
        queues: Sequence[str] = (),
        *,
        older_than: timedelta | None = None,
        rate: float = DEFAULT_RATE,
        progress: Callable[[int], object] = lambda _: None,
    ) -> int:
        """Publish anew every ready job, most urgent first, at most ``rate`` a second; return how many.

        ``queues`` empty means all; ``older_than`` only those created longer ago. Raises SettingsError without a broker,
        JobNotFound for a queue that nobody used, and PublishError when the broker takes no news: before anything is
        changed, or with the piece that it did not take.
        """
        names = self._known(queues)
        self._check()
        now = self._store.now()
        created_before = None if older_than is None else now - older_than
        began = time.monotonic()
        done = 0
        for priority in PRIORITIES:
            for queue in names:
                place: Place | None = Place(queue, priority, before=now, created_before=created_before)
                while place is not None:
                    rows, place = self._store.renew(place, PIECE)
                    self._publish(rows)
                    self._confirm()  # a broker that goes away meanwhile is noticed with this piece
                    done += len(rows)
                    progress(len(rows))
                    time.sleep(max(0.0, done / rate - (time.monotonic() - began)))
        return done

    def publish(self, job_id: int) -> None:
        """Publish one ready job anew. Raises JobStateError when it is not ready, and as ``republish`` does."""
        self._check()
        rows = self._store.renew_one(job_id) or self._store.announce_news([job_id])
        if not rows:
            raise JobStateError(
                f"job {job_id} is not ready, so there is no news of it: see `tomqueue explain {job_id}`"
            )
        self._publish(rows)
        self._confirm()

    def _known(self, queues: Sequence[str]) -> list[str]:
        known = self._store.queue_states()
        if unknown := sorted(set(queues) - set(known)):
            names = ", ".join(sorted(known)) or "none yet"
            raise JobNotFound(f"no job was ever enqueued in a queue {unknown[0]!r}; known queues: {names}")
        return sorted(queues or known)

    def _check(self) -> None:
        if not self._pushes:
            raise SettingsError("no broker: set broker_url; without one workers ask the database, and need no news")
        if not self._publisher.connect(CONNECT_SECONDS):
            raise PublishError("the broker takes no news: nothing was changed; `tomqueue doctor` says why")

    def _publish(self, rows: Sequence[AnnouncedRow]) -> None:
        self._publisher.publish([news_of(row) for row in rows])

    def _confirm(self) -> None:
        if missing := self._publisher.flush(CONFIRM_SECONDS):
            raise PublishError(
                f"the broker did not confirm {missing:,} messages within {CONFIRM_SECONDS:g} s: "
                "run this again when it is well (see `tomqueue doctor`)"
            )
