"""The looks of limits: for what falls due, for the next moment of a rate, and for what an enqueuer left undone.

Otherwise a job comes in when another one ends, or as it is enqueued.
"""

from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Delete, delete, select

from tomqueue.service import boot_time
from tomqueue.store.base import Announced
from tomqueue.store.columns import Instant
from tomqueue.store.schema import counted_key
from tomqueue.store.sql import SqlStore

__all__ = ["Admissions"]

LOOK_EVERY = 1.0
"""Seconds between two looks at most, and at least where nothing is due sooner: what others write is seen so late."""
PIECE = 100
"""Keys that one look lets jobs in of."""
KEYS_READ = 500
"""Rows of keys that a piece of the walk reads, to forget those without jobs."""
WALK_EVERY = 10.0
"""Seconds between two pieces of the walk over the keys of held jobs: whose enqueuer died after its commit."""
QUIET = timedelta(seconds=10)
"""A key that was looked at so short a time ago needs no look by the walk."""
FORGOTTEN_AFTER = timedelta(days=1)
"""The row of a key that has had no job for so long goes."""


class Admissions:
    """Lets jobs in whose turn has come without anybody having ended. ``now`` is the database's clock as we keep it."""

    def __init__(self, store: SqlStore, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self._keys = store.tables.limit_keys
        self._name = store.engine.dialect.identifier_preparer.format_table(self._keys)
        self._look_at = 0.0
        self._walk_at = 0.0
        self._walked = ""
        self._read_to = ""
        self.upcoming: datetime | None = None
        """When the next key is to be looked at, as far as the last look knew."""

    def look(self) -> int:
        """Let in what is due, if it is time for a look; return how many jobs are ready by it. Raises StoreError."""
        if boot_time() < self._look_at:
            return 0
        due, now = self._due(), self._now()
        count = sum(self._admit(key) for at, key in due if at <= now)
        self.upcoming = min((at for at, _ in due if at > now), default=None)
        left = LOOK_EVERY if self.upcoming is None else (self.upcoming - self._now()).total_seconds()
        more = len(due) == PIECE and self.upcoming is None
        self._look_at = boot_time() + (0.0 if more else min(max(left, 0.0), LOOK_EVERY))
        if boot_time() >= self._walk_at:
            self._walk_at = boot_time() + WALK_EVERY
            count += self._walk()
        return count

    def before(self, announce: Callable[[], Announced]) -> Callable[[], Announced]:
        """Return a due look that lets in what is due first."""

        def look() -> Announced:
            count = self.look()
            announced = announce()
            moments = [at for at in (announced.next_run_at, self.upcoming) if at is not None]
            return Announced(count + announced.count, min(moments, default=None))

        return look

    def _admit(self, key: str) -> int:
        return self._store.write(lambda connection: self._store.limits.look(connection, key))

    def _due(self) -> list[tuple[datetime, str]]:
        """Read which keys are to be looked at first, the soonest first: by the driver, for this is asked often."""

        def work(link: Any) -> list[tuple[Any, str]]:
            with closing(link.cursor()) as cursor:
                cursor.execute(
                    f"SELECT look_at, limit_key FROM {self._name} WHERE look_at IS NOT NULL"
                    f" ORDER BY look_at LIMIT {PIECE:d}"
                )
                return [(moment, key) for moment, key in cursor.fetchall()]

        dialect, instant = self._store.engine.dialect, Instant()
        found = [(instant.process_result_value(moment, dialect), key) for moment, key in self._store.look(work)]
        return [(moment, key) for moment, key in found if moment is not None]

    # The walk -----------------------------------------------------------------------------------------

    def _walk(self) -> int:
        """Look at the next keys that have jobs, if nobody did lately; forget those that have none any more."""
        keys = self._store.read(self._next_keys)
        asleep = self._store.read(lambda connection: self._asleep(connection, keys)) if keys else []
        count = sum(self._admit(key) for key in asleep)
        self._walked = keys[-1] if len(keys) == PIECE else ""
        if unused := self._store.read(self._unused):
            self._store.write(lambda connection: connection.execute(self._forgotten(unused)))
        return count

    def _next_keys(self, connection: Connection) -> list[str]:
        """Read the next keys of the index: a probe for each, however many rows one has."""
        limits, last, found = self._store.limits, self._walked, list[str]()
        while len(found) < PIECE:
            column = counted_key(self._store.tables.jobs)
            probe = limits.indexed(select(column)).where(limits.counted(), column > last).order_by(column).limit(1)
            key = connection.execute(probe).scalar()
            if key is None:
                break
            found.append(key)
            last = key
        return found

    def _asleep(self, connection: Connection, keys: list[str]) -> list[str]:
        """Return the keys that nobody has looked at lately and nobody is to look at."""
        column = self._keys.c
        recent = (column.used_at > self._now() - QUIET) | column.look_at.is_not(None)
        known = connection.execute(select(column.limit_key).where(column.limit_key.in_(keys), recent))
        return sorted(set(keys).difference(known.scalars()))

    def _unused(self, connection: Connection) -> list[str]:
        """Read which of the next keys, however many there are, have had no job for long."""
        column, limits, used = self._keys.c, self._store.limits, counted_key(self._store.tables.jobs)
        piece = select(column.limit_key, self._stale().label("is_stale")).where(column.limit_key > self._read_to)
        read = connection.execute(piece.order_by(column.limit_key).limit(KEYS_READ)).all()
        self._read_to = read[-1].limit_key if len(read) == KEYS_READ else ""
        found = [row.limit_key for row in read if row.is_stale]
        if not found:
            return []
        with_jobs = limits.indexed(select(used)).where(limits.counted(), used.in_(found)).distinct()
        return sorted(set(found).difference(connection.execute(with_jobs).scalars()))

    def _forgotten(self, keys: list[str]) -> Delete:
        """Return the statement that deletes keys, if they are still as they were found: who needs one makes it anew."""
        return delete(self._keys).where(self._keys.c.limit_key.in_(keys), self._stale())

    def _stale(self) -> ColumnElement[bool]:
        column, past = self._keys.c, self._now() - FORGOTTEN_AFTER
        free = column.next_at.is_(None) | (column.next_at < past)
        return (column.used_at < past) & column.look_at.is_(None) & free
