"""What the tests of the store say often: a job to insert, a look at its row, a change of it by plain SQL."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from tomqueue.job import Claimed, NewJob
from tomqueue.store.base import Ending, Want
from tomqueue.store.sql import SqlStore

PAST = datetime(2020, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)
FUTURE = datetime(2999, 1, 1, 0, 0, 0, 654321, tzinfo=UTC)
HIGH, NORMAL, LOW, BULK = range(4)
SERVERS = ("postgres", "mariadb", "mariadb-pymysql", "like-mysql")
"""The kinds of database where two transactions can write at the same time."""


def new(name: str = "greet", queue: str = "default", priority: int = NORMAL, **values: Any) -> NewJob:
    """Return a job to insert."""
    return NewJob(name=name, queue=queue, priority=priority, payload=values.pop("payload", "{}"), **values)


def insert(store: SqlStore, *jobs: NewJob) -> list[int]:
    """Insert jobs and return their ids."""
    return [inserted.id for inserted in store.insert(jobs)]


def want(*queues: str, limit: int = 10, worker: int = 1, below: int = 4, **more: Any) -> Want:
    """Return what a worker with free slots wants."""
    return Want(queues or ("default",), limit, worker, below, **more)


def take(store: SqlStore, wanted: Want | None = None, token: int = 1, endings: Sequence[Ending] = ()) -> list[Claimed]:
    """Take rows, where nobody keeps a record."""
    return store.take(wanted or want(), token, lambda _: None, endings)[0]


def names(rows: Iterable[Claimed]) -> list[str]:
    """Return the names of claimed rows."""
    return [row.name for row in rows]


def change(store: SqlStore, *ids: int, **values: Any) -> None:
    """Change rows by plain SQL, as a person may."""
    jobs = store.tables.jobs
    with store.writing() as connection:
        connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(values))


def row(store: SqlStore, row_id: int) -> Any:
    """Read a row; None when it is gone."""
    jobs = store.tables.jobs
    with store.reading() as connection:
        return connection.execute(select(jobs).where(jobs.c.id == row_id)).one_or_none()


def ago(store: SqlStore, seconds: float) -> datetime:
    """Return the database's clock so many seconds ago."""
    return store.now() - timedelta(seconds=seconds)
