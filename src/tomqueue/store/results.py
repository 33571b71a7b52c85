"""How jobs ended whose results are kept, as it is read by who waits for them."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select

from tomqueue.errors import JobNotFound, ResultNotKept
from tomqueue.store.kept import End
from tomqueue.store.sql import SqlStore

__all__ = ["ResultRow", "ResultTable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """How a job ended. ``value`` is what it returned, as JSON; ``error`` why it failed, or why there is no value."""

    job_id: int
    name: str
    state: End
    value: str | None
    error: str | None
    finished_at: datetime
    expires_at: datetime


class Asked(NamedTuple):
    """What a job's own row says of its result."""

    name: str
    result_ttl: int | None


class ResultTable:
    """The results. Each look is a short transaction of its own."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    def look(self, job_id: int) -> ResultRow | None:
        """Return how a job ended; None while it has not. Raises ResultNotKept, JobNotFound."""
        found = self._read(job_id)
        if found is not None:
            return found
        job = self._job(job_id)
        if job is None:
            found = self._read(job_id)  # it may have ended between the two looks
            if found is None:
                raise JobNotFound(
                    f"there is no result of a job {job_id}: it is not committed yet, its result is not kept "
                    "(result_ttl), or it ended longer ago than that"
                )
            return found
        if job.result_ttl is None:
            raise ResultNotKept(f"job {job_id} {job.name} keeps no result: declare it with @tq.job(result_ttl=…)")
        return None

    def _read(self, job_id: int) -> ResultRow | None:
        table = self._store.tables.results
        wanted = select(table).where(table.c.job_id == job_id)
        row = self._store.read(lambda connection: connection.execute(wanted).one_or_none())
        if row is None:
            return None
        return ResultRow(**{**row._mapping, "state": End(row.state)})  # noqa: SLF001 - public in SQLAlchemy

    def _job(self, job_id: int) -> Asked | None:
        jobs = self._store.tables.jobs.c
        wanted = select(jobs.name, jobs.result_ttl).where(jobs.id == job_id)
        row = self._store.read(lambda connection: connection.execute(wanted).one_or_none())
        return None if row is None else Asked(*row)
