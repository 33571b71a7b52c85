"""The jobs that succeeded, where that is kept: an audit trail, and when its rows go."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Row, func, select

from tomqueue.errors import JobNotFound
from tomqueue.priority import Priority
from tomqueue.redaction import marks_of, plain_arguments
from tomqueue.store.sql import SqlStore

__all__ = ["Completed", "HistoryTable"]


class Shown:
    """What a job of the history that was read by ``tq.history`` knows; no field of it."""

    __slots__ = ("_shown",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed(Shown):
    """A job that succeeded. ``worker`` is the name of the process that ran it; times are aware and in UTC."""

    id: int
    queue: str
    priority: Priority
    name: str
    payload: str = field(repr=False)
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime
    expires_at: datetime | None
    """When it may be deleted; None: never."""
    worker: str | None
    meta: str | None = field(default=None, repr=False)

    @property
    def arguments(self) -> Any:
        """The stored arguments as plain JSON values, as they may be shown; the text itself when it is not JSON.

        Redacted fields are ``"[redacted]"``, and encrypted arguments are ``"[encrypted]"``.
        """
        shown = getattr(self, "_shown", None)
        return plain_arguments(self.payload, marks_of(self.meta)) if shown is None else shown(self)

    def shown_by(self, shown: Callable[["Completed"], Any]) -> Self:
        """Let ``shown`` say what the arguments of this job are; return it."""
        object.__setattr__(self, "_shown", shown)
        return self


class HistoryTable:
    """The history, latest first: in the order of the ids, downward."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._history = store.tables.history

    def get(self, job_id: int) -> Completed:
        """Read one job. Raises JobNotFound."""
        wanted = select(self._history).where(self._history.c.job_id == job_id)
        row = self._store.read(lambda connection: connection.execute(wanted).one_or_none())
        if row is None:
            raise JobNotFound(
                f"the history has no job {job_id}: it has not succeeded, is not kept (keep_completed), or was pruned"
            )
        return completed(row)

    def find(
        self, *, queue: str | None = None, name: str | None = None, limit: int | None = None, before: int | None = None
    ) -> list[Completed]:
        """Read jobs, latest first, at most ``limit`` and those with a smaller id than ``before``."""
        table = self._history
        wanted = select(table).where(*self._conditions(queue, name)).order_by(table.c.job_id.desc()).limit(limit)
        if before is not None:
            wanted = wanted.where(table.c.job_id < before)
        return [completed(row) for row in self._store.read(lambda connection: connection.execute(wanted).all())]

    def count(self, *, queue: str | None = None, name: str | None = None) -> int:
        """Count jobs."""
        wanted = select(func.count()).select_from(self._history).where(*self._conditions(queue, name))
        return self._store.read(lambda connection: connection.execute(wanted).scalar_one())

    def _conditions(self, queue: str | None, name: str | None) -> Sequence[Any]:
        given = {"queue": queue, "name": name}
        return [self._history.c[column] == value for column, value in given.items() if value is not None]


def completed(row: Row[Any]) -> Completed:
    """Return a row as an object."""
    values = dict(row._mapping)  # noqa: SLF001 - public in SQLAlchemy
    return Completed(id=values.pop("job_id"), **{**values, "priority": Priority.of_rank(row.priority)})
