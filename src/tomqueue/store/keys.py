"""Unique keys: new rows of which some may meet the holder of their key, and rows that want theirs again.

A row holds its key by ``unique_lock``, and a unique index sees to it that no two hold the same. What a claim, a failure
or the end of its time takes from a row is that column; ``unique_key`` stays, to be told and to be taken again.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, or_, select, update
from sqlalchemy.exc import IntegrityError

from tomqueue.errors import StoreUnavailable
from tomqueue.job import Job, NewJob, lock_of
from tomqueue.store.base import Inserted
from tomqueue.store.rows import job_of

__all__ = [
    "Ways",
    "holder_of",
    "holders",
    "insert_with_keys",
    "let_expired_go",
    "met_ones",
    "new_ones",
    "retake",
    "wanting",
]

TRIES = 50
"""So often a key may be gone from a holder that was met, and be taken by another one, until that is given up."""
LONGEST_PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class Ways:
    """How the rows of one enqueue are written, and read, in its transaction. Locks are what the unique index holds."""

    plain: Callable[[Sequence[NewJob]], list[Inserted]]
    """Inserts rows without a key."""
    keyed: Callable[[Sequence[NewJob]], list[Inserted | None]]
    """Inserts rows with different keys; None for each whose key another row holds."""
    holders: Callable[[Sequence[str]], dict[str, Job]]
    """Reads who holds which of the locks."""
    let_expired_go: Callable[[Sequence[str]], object]
    """Takes the locks from rows whose time to hold them is over."""


def insert_with_keys(jobs: Sequence[NewJob], ways: Ways) -> list[Inserted]:
    """Insert those whose key is free; answer for all, in their order. Raises StoreUnavailable."""
    places = {place: job.unique.lock(job.name) for place, job in enumerate(jobs) if job.unique is not None}
    plain = [place for place in range(len(jobs)) if place not in places]
    found = dict(zip(plain, ways.plain([jobs[place] for place in plain]), strict=True)) if plain else {}
    firsts: dict[str, NewJob] = {}
    for place, lock in places.items():
        firsts.setdefault(lock, jobs[place])
    by_lock = insert_keyed(firsts, ways)
    return [by_lock[places[place]] if place in places else found[place] for place in range(len(jobs))]


def insert_keyed(missing: dict[str, NewJob], ways: Ways) -> dict[str, Inserted]:
    """Insert rows by their locks, or find who holds these; a holder may be gone by the time that it is looked for."""
    answers: dict[str, Inserted] = {}
    for attempt in range(TRIES):
        made = dict(zip(missing, ways.keyed(list(missing.values())), strict=True))
        answers.update({lock: one for lock, one in made.items() if one is not None})
        met = [lock for lock, one in made.items() if one is None]
        if not met:
            return answers
        found = ways.holders(met)
        answers.update({lock: existing(job) for lock, job in found.items() if job.unique_held})
        if over := [lock for lock, job in found.items() if not job.unique_held]:
            ways.let_expired_go(over)
        missing = {lock: missing[lock] for lock in met if lock not in answers}
        if not missing:
            return answers
        if attempt:
            time.sleep(random.uniform(0, LONGEST_PAUSE))  # noqa: S311 - jitter, no secret
    named = sorted({job.name for job in missing.values()})
    raise StoreUnavailable(f"a unique key of {', '.join(named)} was taken and let go again {TRIES} times: try again")


def new_ones(jobs: Sequence[NewJob], written: Sequence[Inserted]) -> dict[int, NewJob]:
    """Return the jobs that were inserted, by their ids; those that met the holder of their unique key were not."""
    new: dict[int, NewJob] = {}
    for job, one in zip(jobs, written, strict=True):
        if one.existing is None:
            new.setdefault(one.id, job)
    return new


def met_ones(jobs: Sequence[NewJob], written: Sequence[Inserted]) -> list[NewJob]:
    """Return, as jobs that enter, the holders that a caller's transaction met and locked.

    Until its end whoever lets jobs in may pass over them.
    """
    return [
        replace(job, ties={"limit_key": one.existing.limit_key})
        for job, one in zip(jobs, written, strict=True)
        if one.existing is not None and one.existing.limit_key is not None
    ]


def existing(job: Job) -> Inserted:
    """Return the answer of a row that was there already."""
    return Inserted(job.id, job.run_at, job.announced_at, job.created_at, job.as_existing())


def holders(connection: Connection, wanted: Any, now: datetime) -> dict[str, Job]:
    """Read rows of the jobs table by a SELECT of all columns; return them by their locks."""
    return {row.unique_lock: job_of(row, now) for row in connection.execute(wanted)}


def holder_of(connection: Connection, jobs: Table, lock: str, now: datetime) -> int | None:
    """Return the id of the row that holds a lock; None when its time is over, or none does."""
    held = or_(jobs.c.unique_expires_at.is_(None), jobs.c.unique_expires_at > now)
    holder: int | None = connection.execute(select(jobs.c.id).where(jobs.c.unique_lock == lock, held)).scalar()
    return holder


def let_expired_go(connection: Connection, jobs: Table, locks: Sequence[str], now: datetime) -> int:
    """Take locks from rows whose time to hold them is over; return from how many."""
    over = and_(jobs.c.unique_lock.in_(locks), jobs.c.unique_expires_at <= now)
    return connection.execute(update(jobs).where(over).values(unique_lock=None)).rowcount


def wanting(jobs: Table, now: datetime) -> ColumnElement[bool]:
    """Return the condition of a row that waits without its key, and whose time to hold it is not over."""
    waits = and_(jobs.c.locked_by.is_(None), jobs.c.failed_at.is_(None))
    in_time = or_(jobs.c.unique_expires_at.is_(None), jobs.c.unique_expires_at > now)
    return and_(jobs.c.unique_key.is_not(None), jobs.c.unique_lock.is_(None), waits, in_time)


def retake(connection: Connection, jobs: Table, row_id: int, now: datetime) -> int | None:
    """Let a row that waits without its key hold it again; return the id of the row that holds it instead, if any."""
    ours = and_(jobs.c.id == row_id, wanting(jobs, now))
    while (row := connection.execute(select(jobs.c.name, jobs.c.unique_key).where(ours)).one_or_none()) is not None:
        lock = lock_of(row.name, row.unique_key)
        holder = holder_of(connection, jobs, lock, now)
        if holder is not None:
            return holder
        let_expired_go(connection, jobs, [lock], now)
        try:
            with connection.begin_nested():
                connection.execute(update(jobs).where(ours).values(unique_lock=lock))
        except IntegrityError:  # another one was quicker
            continue
        return None
    return None
