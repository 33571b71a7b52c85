"""What the news needs of announced rows, by SQLAlchemy Core on every dialect.

The announcement itself is hot: it stands with the dialects.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, literal_column, not_, or_, select, update

__all__ = [
    "NEWS",
    "AnnouncedRow",
    "Place",
    "Upcoming",
    "announced_since",
    "renew",
    "renew_one",
    "restamp",
]

LARGE = 10_000
PAYLOAD = f"CASE WHEN length(payload) <= {LARGE} THEN payload END"
"""A large payload is not read for the sake of its checksum: what is announced at once would fill the memory."""
NEWS = f"id, queue, priority, name, {PAYLOAD}"
"""The columns of an announced row, in the order of its fields."""


@dataclass(frozen=True, slots=True)
class AnnouncedRow:
    """A row that was announced just now, with what its notification says. ``payload`` is None where it is large."""

    stamp: datetime
    id: int
    queue: str
    priority: int
    name: str
    payload: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Upcoming:
    """An unannounced row that is due or will be."""

    id: int
    run_at: datetime
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far a walk through the ready rows of a queue and priority, in the order of their stamps, has come."""

    queue: str = field(kw_only=False)
    priority: int = field(kw_only=False)
    before: datetime
    """Rows that were announced later have their news from somebody else."""
    created_before: datetime | None = None
    after: tuple[datetime, int] | None = None


def renew(
    connection: Connection, jobs: Table, place: Place, limit: int, new: datetime
) -> tuple[list[AnnouncedRow], Place | None]:
    """Give the next ready rows a new stamp; return them, and the place to go on from (None: that was all)."""
    row = jobs.c
    meant = [row.queue == place.queue, row.priority == place.priority, row.announced_at < place.before, waits(jobs)]
    if place.created_before is not None:
        meant.append(row.created_at < place.created_before)
    if place.after is not None:
        stamp, last = place.after
        meant += [row.announced_at >= stamp, or_(row.announced_at > stamp, row.id > last)]
    wanted: tuple[Any, ...] = (row.announced_at, row.id, row.queue, row.priority, row.name, literal_column(PAYLOAD))
    statement = select(*wanted).where(*meant).order_by(row.announced_at, row.id).limit(limit)
    found = connection.execute(statement.with_for_update(skip_locked=True)).all()
    if not found:
        return [], None
    connection.execute(update(jobs).where(row.id.in_([one.id for one in found])).values(announced_at=new))
    rows = [AnnouncedRow(new, *values) for _, *values in found]
    reached = replace(place, after=(found[-1].announced_at, found[-1].id))
    return rows, reached if len(found) == limit else None


def renew_one(connection: Connection, jobs: Table, job_id: int, new: datetime) -> list[AnnouncedRow]:
    """Give one row that is announced and waits a new stamp; return it, or nothing."""
    meant = and_(jobs.c.id == job_id, jobs.c.announced_at.is_not(None), waits(jobs))
    changed = connection.execute(update(jobs).where(meant).values(announced_at=new)).rowcount
    return announced_since(connection, jobs, [job_id], new) if changed else []


def restamp(connection: Connection, jobs: Table, ids: Sequence[int], old: datetime, new: datetime) -> list[int]:
    """Give rows that still have the stamp ``old`` a new one; return their ids. Waits for nobody's lock."""
    meant = and_(jobs.c.id.in_(ids), jobs.c.announced_at == old, waits(jobs))
    locked = by_key(select(jobs.c.id).where(meant).order_by(jobs.c.id), jobs).with_for_update(skip_locked=True)
    found = list(connection.execute(locked).scalars())
    if found:
        connection.execute(update(jobs).where(jobs.c.id.in_(found)).values(announced_at=new))
    return found


def announced_since(connection: Connection, jobs: Table, ids: Sequence[int], since: datetime) -> list[AnnouncedRow]:
    """Read which of ``ids`` wait and were announced at ``since`` or later, most urgent first."""
    row = jobs.c
    columns: tuple[Any, ...] = (row.announced_at, row.id, row.queue, row.priority, row.name, literal_column(PAYLOAD))
    meant = and_(jobs.c.id.in_(ids), jobs.c.announced_at >= since, waits(jobs))
    statement = by_key(select(*columns).where(meant), jobs)
    return sorted((AnnouncedRow(*row) for row in connection.execute(statement)), key=lambda row: row.priority)


def by_key(statement: Select[Any], jobs: Table) -> Select[Any]:
    """Keep MySQL's optimizer from reading the whole of a table that was small when it last counted."""
    return statement.with_hint(jobs, "FORCE INDEX (PRIMARY)", "mysql").with_hint(
        jobs, "FORCE INDEX (PRIMARY)", "mariadb"
    )


def waits(jobs: Table) -> ColumnElement[bool]:
    """Return the condition of a row that nobody runs, and that may run."""
    return and_(jobs.c.locked_by.is_(None), jobs.c.failed_at.is_(None), not_(jobs.c.held))
