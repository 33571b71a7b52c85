"""The errors of a job's attempts: the latest of them are kept for as long as the job is, or its history."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, exists, insert, select, update

from tomqueue.store.base import Ending, Release
from tomqueue.store.rows import held_by
from tomqueue.store.schema import Tables

__all__ = ["PLACES", "REPLACE", "UPSERT", "AttemptError", "AttemptErrors", "Dialect", "has_error", "values_of"]

PLACES = 25
"""The errors of so many attempts are kept of a job: that of attempt 26 takes the place of that of attempt 1."""


class Dialect(NamedTuple):
    """How a statement begins that writes a row or replaces it, and how it ends."""

    begin: str
    end: str


REPLACE = Dialect("REPLACE INTO", "")
UPSERT = Dialect(
    "INSERT INTO",
    " ON CONFLICT (job_id, place) DO UPDATE SET attempt = excluded.attempt, raised_at = excluded.raised_at,"
    " worker = excluded.worker, error = excluded.error",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptError:
    """The error of one attempt, with its traceback. ``worker`` is the name of the process that ran it, if known."""

    attempt: int
    raised_at: datetime
    worker: str | None
    error: str


class AttemptErrors:
    """Writes them: by the driver beside a plain ending (the statement), by SQLAlchemy everywhere else."""

    def __init__(self, tables: Tables, named: Callable[[Table], str]) -> None:
        self._tables = tables
        self._errors = tables.errors
        self.name = named(tables.errors)
        self._jobs = named(tables.jobs)
        self._workers = named(tables.workers)

    def statement(self, now: str, mark: str, dialect: Dialect) -> str:
        """Return the statement that keeps the error of a claimed row; its values are those of ``values_of``."""
        modulo = mark.replace("?", "%").replace("%s", "%%")  # a driver that marks by %s reads %% as %
        return (
            f"{dialect.begin} {self.name} (job_id, place, attempt, raised_at, worker, error)"
            f" SELECT id, attempts {modulo} {PLACES}, attempts, {now},"
            f" (SELECT w.name FROM {self._workers} AS w WHERE w.id = locked_by), {mark}"
            f" FROM {self._jobs} WHERE id = {mark} AND claim_token = {mark}{dialect.end}"
        )

    def keep_those_of(self, connection: Connection, endings: Sequence[Ending], now: datetime) -> None:
        """Keep the errors that endings carry, each if its token still holds the row."""
        for ending in endings:
            if isinstance(ending, Release) and has_error(ending):
                assert ending.last_error is not None
                self.keep(connection, held_by(self._tables.jobs, ending), ending.last_error, now)

    def keep(self, connection: Connection, claimed: ColumnElement[bool], error: str, now: datetime) -> None:
        """Keep ``error`` of the attempts that claimed rows are at."""
        jobs, workers, errors = self._tables.jobs.c, self._tables.workers.c, self._errors
        name = select(workers.name).where(workers.id == jobs.locked_by).scalar_subquery()
        for job_id, attempt, worker in connection.execute(select(jobs.id, jobs.attempts, name).where(claimed)).all():
            row = {"job_id": job_id, "place": attempt % PLACES}
            same = and_(*(errors.c[column] == value for column, value in row.items()))
            values = {"attempt": attempt, "raised_at": now, "worker": worker, "error": error}
            is_there = connection.execute(select(errors.c.place).where(same)).scalar() is not None
            statement = update(errors).where(same) if is_there else insert(errors).values(row)
            connection.execute(statement.values(values))

    def forget_gone(self, connection: Connection, ids: Sequence[int]) -> None:
        """Delete the errors of those jobs among ``ids`` that are gone, and whose history is not kept."""
        if not ids:
            return
        errors, jobs, history = self._errors, self._tables.jobs, self._tables.history
        kept = exists().where(jobs.c.id == errors.c.job_id) | exists().where(history.c.job_id == errors.c.job_id)
        # read before: MySQL locks the gap where there is nothing to delete, and others insert there
        gone = select(errors.c.job_id).where(errors.c.job_id.in_(ids), ~kept).distinct()
        if found := connection.execute(gone).scalars().all():
            connection.execute(delete(errors).where(errors.c.job_id.in_(found)))

    def of(self, connection: Connection, job_id: int) -> list[AttemptError]:
        """Read the errors of one job, oldest first."""
        errors = self._errors
        columns = (errors.c.attempt, errors.c.raised_at, errors.c.worker, errors.c.error)
        wanted = select(*columns).where(errors.c.job_id == job_id).order_by(errors.c.raised_at, errors.c.attempt)
        return [AttemptError(**row._mapping) for row in connection.execute(wanted)]  # noqa: SLF001 - public


def has_error(release: Release) -> bool:
    """Say whether an attempt ended with an error; a job that could not be read made none."""
    return release.last_error is not None and not release.parked


def values_of(release: Release) -> tuple[Any, ...]:
    """Return the values of ``AttemptErrors.statement``."""
    return release.last_error, release.id, release.token
