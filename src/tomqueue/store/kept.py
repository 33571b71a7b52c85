"""What follows the rows of jobs whose end is kept: their results, their history; and their checkpoints, which go."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Table, delete, insert, select

from tomqueue.store.base import FOR_GOOD, Delete
from tomqueue.store.schema import Tables
from tomqueue.store.ties import Change, Tie

__all__ = ["CheckpointTie", "End", "HistoryTie", "ResultTie"]


class End(StrEnum):
    """How a job ended whose result is kept."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DELETED = "deleted"


class Told(NamedTuple):
    """What is written of an end: ``value`` is JSON, ``error`` why it is missing."""

    state: End
    value: str | None
    error: str | None


class ResultTie(Tie):
    """Writes how a job with a ``result_ttl`` ended, whatever ended it; a person's retry takes that back."""

    def __init__(self, tables: Tables) -> None:
        self._results = tables.results

    def follow(self, connection: Connection, changes: Sequence[Change], now: datetime) -> None:
        """Write the results of these rows."""
        asked = [change for change in changes if change.before.result_ttl is not None]
        ends = {change.before.id: (change.before, told) for change in asked if (told := told_of(change))}
        stale = [*ends, *(change.before.id for change in asked if is_retried(change))]
        delete_those_of(connection, self._results, stale)
        if ends:
            connection.execute(insert(self._results), [result_row(row, told, now) for row, told in ends.values()])


def told_of(change: Change) -> Told | None:
    """Return how a job has ended by this change; None if it has not."""
    before, after, ending = change.before, change.after, change.ending
    if after is not None:
        if after.failed_at is None or before.failed_at is not None:
            return None
        return Told(End.FAILED if after.cancelled_at is None else End.CANCELLED, None, after.last_error)
    if isinstance(ending, Delete):
        return Told(End.FAILED if ending.failed else End.SUCCEEDED, ending.result, ending.error)
    return None if before.failed_at is not None else Told(End.DELETED, None, None)


def is_retried(change: Change) -> bool:
    """Say whether a job that had failed waits again."""
    return change.before.failed_at is not None and change.after is not None and change.after.failed_at is None


def result_row(row: Row[Any], told: Told, now: datetime) -> dict[str, Any]:
    """Return the row of a result."""
    return {
        "job_id": row.id,
        "name": row.name,
        **told._asdict(),
        "finished_at": now,
        "expires_at": now + timedelta(microseconds=row.result_ttl),
    }


class HistoryTie(Tie):
    """Writes down a job with a ``keep_completed`` that has succeeded."""

    def __init__(self, tables: Tables) -> None:
        self._history = tables.history
        self._workers = tables.workers.c

    def follow(self, connection: Connection, changes: Sequence[Change], now: datetime) -> None:
        """Write the history of these rows."""
        done = [one.before for one in changes if one.succeeded and one.before.keep_completed is not None]
        if not done:
            return
        workers = select(self._workers.id, self._workers.name).where(
            self._workers.id.in_({row.locked_by for row in done})
        )
        names = {found.id: found.name for found in connection.execute(workers)}
        connection.execute(insert(self._history), [history_row(row, names.get(row.locked_by), now) for row in done])


def history_row(row: Row[Any], worker: str | None, now: datetime) -> dict[str, Any]:
    """Return the row of a job that succeeded."""
    copied = ("queue", "priority", "name", "payload", "meta", "attempts", "created_at")
    keep = row.keep_completed
    return {
        "job_id": row.id,
        **{column: getattr(row, column) for column in copied},
        "started_at": row.locked_at,
        "finished_at": now,
        "expires_at": None if keep == FOR_GOOD else now + timedelta(microseconds=keep),
        "worker": worker,
    }


class CheckpointTie(Tie):
    """Deletes the checkpoint of a job that is gone. One that failed keeps it: a person may retry the job."""

    def __init__(self, tables: Tables) -> None:
        self._checkpoints = tables.checkpoints

    def follow(self, connection: Connection, changes: Sequence[Change], now: datetime) -> None:  # noqa: ARG002
        """Delete the checkpoints of these rows."""
        gone = [change.before.id for change in changes if change.after is None]
        delete_those_of(connection, self._checkpoints, gone)


def delete_those_of(connection: Connection, table: Table, ids: Sequence[int]) -> None:
    """Delete the rows of jobs, where there are any: MySQL locks the gap of one that is not, and others insert there."""
    if not ids:
        return
    found = connection.execute(select(table.c.job_id).where(table.c.job_id.in_(ids))).scalars().all()
    if found:
        connection.execute(delete(table).where(table.c.job_id.in_(found)))
