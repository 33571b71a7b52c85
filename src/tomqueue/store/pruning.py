"""What is kept for a while goes again, in pieces: each is a short transaction, however much there is to delete."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Table, delete, exists, select

from tomqueue.store.sql import SqlStore

__all__ = ["PIECE", "Pruning"]

PIECE = 500
"""Rows that one transaction deletes."""


class Pruning:
    """Deletes results and history that have expired, and what belongs to jobs that were deleted by plain SQL."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._tables = store.tables

    def now(self) -> datetime:
        """Return the database's clock."""
        return self._store.now()

    def results(self, now: datetime, limit: int) -> int:
        """Delete at most ``limit`` results that have expired; return how many."""
        return self._store.write(lambda connection: len(self._expired(connection, self._tables.results, now, limit)))

    def history(self, now: datetime, limit: int) -> int:
        """Delete at most ``limit`` jobs of the history whose time is over, with their errors; return how many."""

        def work(connection: Connection) -> int:
            ids = self._expired(connection, self._tables.history, now, limit)
            self._store.errors.forget_gone(connection, ids)
            return len(ids)

        return self._store.write(work)

    def orphans(self, after: int, limit: int) -> int | None:
        """Delete errors and checkpoints of jobs that are gone, of the next ``limit`` jobs with a greater id.

        Returns where to go on; None at the end.
        """
        found = sorted({job for table in self._of_jobs() for job in self._next_of(table, after, limit)})[:limit]
        if not found:
            return None

        def work(connection: Connection) -> None:
            self._store.errors.forget_gone(connection, found)
            table, jobs = self._tables.checkpoints, self._tables.jobs
            is_there = exists().where(jobs.c.id == table.c.job_id)
            connection.execute(delete(table).where(table.c.job_id.in_(found), ~is_there))

        self._store.write(work)
        return found[-1]

    def _of_jobs(self) -> Sequence[Table]:
        return self._tables.errors, self._tables.checkpoints

    def _next_of(self, table: Table, after: int, limit: int) -> Sequence[int]:
        key = table.c.job_id
        wanted = select(key).where(key > after).distinct().order_by(key).limit(limit)
        return self._store.read(lambda connection: connection.execute(wanted).scalars().all())

    def _expired(self, connection: Connection, table: Table, now: datetime, limit: int) -> list[int]:
        """Delete the rows that expired first; those that another worker is deleting are passed over."""
        key, expires_at = table.c.job_id, table.c.expires_at
        oldest = select(key).where(expires_at < now).order_by(expires_at).limit(limit).with_for_update(skip_locked=True)
        ids = list(connection.execute(oldest).scalars())
        if ids:
            connection.execute(delete(table).where(key.in_(ids)))
        return ids
