"""Jobs that were put aside because no worker knew them, until one starts that does."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Table, and_, select, text, update

from tomqueue.priority import PRIORITIES
from tomqueue.store.schema import UNANNOUNCED
from tomqueue.store.sql import SqlStore

__all__ = ["LONGEST_PARK", "parked", "unpark"]

LONGEST_PARK = timedelta(minutes=5)
"""For so long at most a job is put aside, until it is offered again."""


def parked(jobs: Table, now: datetime) -> ColumnElement[bool]:
    """Return the condition of parked rows, so that it is found by short ranges of the due index.

    They are among the unannounced ones (in the very words of the partial index, for SQLite), and soon due.
    """
    due_at = jobs.c.get("due_at", jobs.c.run_at)
    due = and_(jobs.c.priority.in_(PRIORITIES), due_at <= now + LONGEST_PARK)
    return and_(due, jobs.c.parked_at.is_not(None), text(UNANNOUNCED))


def unpark(store: SqlStore, names: Sequence[str]) -> list[tuple[int, str, int]]:
    """Release parked jobs whose names a starting worker knows; return id, queue and rank, most urgent first."""
    jobs, now = store.tables.jobs, store.now()
    known = and_(parked(jobs, now), jobs.c.name.in_(names))
    unlocked = jobs.c.locked_by.is_(None)
    # a row that somebody has locked is passed over: a worker that starts waits for nobody
    wanted = select(jobs.c.id, jobs.c.queue, jobs.c.priority).where(known, unlocked)
    free = wanted.order_by(jobs.c.priority, jobs.c.id).with_for_update(skip_locked=True)

    def work(connection: Connection) -> list[tuple[int, str, int]]:
        rows = [(job, queue, rank) for job, queue, rank in connection.execute(free)]
        if rows:
            statement = update(jobs).where(jobs.c.id.in_([job for job, _, _ in rows]), unlocked)
            connection.execute(statement.values(parked_at=None, run_at=now, updated_at=now))
        return rows

    return store.write(work)
