"""Rows by SQLAlchemy Core: what is done one at a time, the same on every dialect."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, false, or_, update

from tomqueue.job import Job, State
from tomqueue.priority import Priority
from tomqueue.store.base import Delete, Ending, Hold, Release

__all__ = ["FREED", "all_held_by", "delete", "finish", "held_by", "job_of", "let_go", "state_of"]

FREED = {"locked_at": None, "locked_by": None, "claim_token": None}
"""What a row's columns become when its claim ends."""


def finish(connection: Connection, jobs: Table, ending: Ending, now: datetime) -> Hold:
    """Finish one row in the transaction of ``connection``; say whether the ending's token held it."""
    ours = held_by(jobs, ending)
    if isinstance(ending, Delete):
        return Hold(connection.execute(jobs.delete().where(ours)).rowcount)
    kept, failed = let_go(connection, jobs, ours, release_values(ending, now), now)
    return Hold.CANCELLED if failed else Hold(kept)


def held_by(jobs: Table, ending: Ending) -> ColumnElement[bool]:
    """Return the condition of the row that an ending is of, as long as its token holds it."""
    return (jobs.c.id == ending.id) & (jobs.c.claim_token == ending.token)


def all_held_by(jobs: Table, endings: Iterable[Ending]) -> ColumnElement[bool]:
    """Return the condition of the rows that endings are of, as long as their tokens hold them."""
    by_token: defaultdict[int, list[int]] = defaultdict(list)
    for ending in endings:
        by_token[ending.token].append(ending.id)
    return or_(*(jobs.c.id.in_(ids) & (jobs.c.claim_token == token) for token, ids in by_token.items()))


def delete(connection: Connection, jobs: Table, ids: Collection[int]) -> None:
    """Delete rows that this transaction has locked."""
    if ids:
        connection.execute(jobs.delete().where(jobs.c.id.in_(sorted(ids))))


def let_go(
    connection: Connection, jobs: Table, claimed: ColumnElement[bool], values: Mapping[str, Any], now: datetime
) -> tuple[int, int]:
    """End the claims of rows as ``values`` say, and fail those that a person has cancelled; return how many of each.

    In this order: a row that is cancelled in between is one that waits again by then.
    """
    # MySQL evaluates SET from left to right, with what stands further left changed: the counters go last
    ordered = sorted(values.items(), key=lambda item: item[0] in {"attempts", "crashes"})
    kept = update(jobs).where(claimed, jobs.c.cancelled_at.is_(None)).ordered_values(*ordered)
    cancelled = {**FREED, "failed_at": now, "announced_at": None, "parked_at": None, "updated_at": now}
    failed = update(jobs).where(claimed, jobs.c.cancelled_at.is_not(None)).values(cancelled)
    return connection.execute(kept).rowcount, connection.execute(failed).rowcount


def release_values(release: Release, now: datetime) -> dict[str, Any]:
    """Return the values of a row that is let go."""
    values: dict[str, Any] = {
        **FREED,
        "attempts": release.attempts,
        "parks": release.parks,
        "updated_at": now,
        "failed_at": now if release.failed else None,
        "parked_at": now if release.parked else None,
    }
    if release.run_at is not None:
        values["run_at"] = release.run_at
    if not release.keep_announced:
        values["announced_at"] = None
    if not release.keep_crashes:
        values.update(crashes=0, suspect=false())
    if release.last_error is not None:
        values["last_error"] = release.last_error
    return values


def state_of(row: Row[Any], now: datetime) -> State:
    """Derive the state of a row, in the order that State lists."""
    for state, applies in (
        (State.FAILED, row.failed_at is not None),
        (State.RUNNING, row.locked_by is not None),
        (State.HELD, row.held),
        (State.PARKED, row.parked_at is not None),
        (State.SCHEDULED, row.run_at > now),
    ):
        if applies:
            return state
    return State.READY


def job_of(row: Row[Any], now: datetime) -> Job:
    """Return a row as a Job."""
    values = dict(row._mapping)  # noqa: SLF001 - public in SQLAlchemy, in spite of its name
    del values["claim_token"]
    for generated in ("due_at", "counted_key"):
        values.pop(generated, None)
    values["priority"] = Priority.of_rank(row.priority)
    values["suspect"] = bool(row.suspect)
    values["held"] = bool(row.held)
    for column in ("tied", "result_ttl", "keep_completed"):
        del values[column]
    return Job(state=state_of(row, now), **values)
