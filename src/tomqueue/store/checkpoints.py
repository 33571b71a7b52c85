"""How far running jobs have come: what they read again in their next attempt, and what people see meanwhile."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select, true, update

from tomqueue.store.sql import SqlStore

__all__ = ["CheckpointTable", "Note", "Progress"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a job has come: ``done`` of ``total`` (None: nobody knows of how many), and since when that is known."""

    done: float
    total: float | None
    updated_at: datetime


class Note(NamedTuple):
    """What a job said of its progress under the token of its claim."""

    job_id: int
    token: int
    done: float
    total: float | None


class CheckpointTable:
    """The checkpoints; a row that has one is tied to it. Whoever writes must hold the row: by id and token."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._jobs = store.tables.jobs
        self._checkpoints = store.tables.checkpoints

    def save(self, job_id: int, token: int, value: str) -> bool:
        """Write a checkpoint, as JSON, in a transaction of its own; say whether the row was still ours."""
        return self._store.write(lambda connection: self.save_in(connection, job_id, token, value))

    def save_in(self, connection: Connection, job_id: int, token: int, value: str) -> bool:
        """Write a checkpoint in the transaction of ``connection``; say whether the row was still ours."""
        return self._put(connection, job_id, token, {"value": value})

    def note(self, notes: Iterable[Note]) -> None:
        """Write what jobs said of their progress, in one transaction; nothing for those that are not ours any more."""
        self._store.write(lambda connection: self.note_in(connection, notes))

    def note_in(self, connection: Connection, notes: Iterable[Note]) -> None:
        """Write what jobs said of their progress in the transaction of ``connection``."""
        for note in sorted(notes):
            self._put(connection, note.job_id, note.token, {"done": note.done, "total": note.total})

    def value(self, job_id: int) -> str | None:
        """Read the checkpoint of a job as JSON; None when it has none."""
        return self._store.read(lambda connection: self.value_in(connection, job_id))

    def value_in(self, connection: Connection, job_id: int) -> str | None:
        """Read the checkpoint of a job by ``connection``."""
        table = self._checkpoints.c
        found: str | None = connection.execute(select(table.value).where(table.job_id == job_id)).scalar()
        return found

    def progress(self, ids: Collection[int]) -> dict[int, Progress]:
        """Read how far jobs have come; only of those that said so."""
        table = self._checkpoints.c
        wanted = select(table.job_id, table.done, table.total, table.updated_at).where(
            table.job_id.in_(ids), table.done.is_not(None)
        )
        found = self._store.read(lambda connection: connection.execute(wanted).all()) if ids else []
        return {row.job_id: Progress(done=row.done, total=row.total, updated_at=row.updated_at) for row in found}

    def _put(self, connection: Connection, job_id: int, token: int, values: dict[str, Any]) -> bool:
        jobs, table, now = self._jobs, self._checkpoints, self._store.now()
        ours = (jobs.c.id == job_id) & (jobs.c.claim_token == token)
        tied = connection.execute(select(jobs.c.tied).where(ours).with_for_update()).scalar()
        if tied is None:
            return False
        if not tied:
            connection.execute(update(jobs).where(ours).values(tied=true()))
        values = {**values, "updated_at": now}
        same = table.c.job_id == job_id
        is_there = connection.execute(select(table.c.job_id).where(same)).scalar() is not None
        statement = update(table).where(same) if is_there else insert(table).values(job_id=job_id)
        connection.execute(statement.values(values))
        return True
