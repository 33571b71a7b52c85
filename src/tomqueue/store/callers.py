"""The caller's own transaction: from a Session, AsyncSession or Connection to the Connection that rows go through."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Session, scoped_session

from tomqueue.errors import EnqueueError, WrongColour
from tomqueue.store.sql import SqlStore

__all__ = ["run_in_callers", "synchronous_connection"]

T = TypeVar("T")
ASYNCHRONOUS = {"AsyncSession", "async_scoped_session", "AsyncConnection"}
SAME_FILE = "tomqueue.same_file"


def synchronous_connection(caller: Any, store: SqlStore) -> Connection:
    """Return the Connection of a Session, or the Connection itself.

    Raises WrongColour for an asynchronous one, EnqueueError for anything else and for another database.
    """
    if is_asynchronous(caller):
        raise WrongColour(
            f"a synchronous call was given an {type(caller).__name__}: "
            "use `await ….aenqueue(…)`, for many `await tq.aenqueue_many(…)`"
        )
    if not is_synchronous(caller):
        raise neither(caller)
    connection = caller if isinstance(caller, Connection) else connection_of(caller, store)
    check_same_database(connection, store)
    return connection


async def run_in_callers(caller: Any, work: Callable[[Any], T]) -> T:
    """Call ``work`` with the synchronous side of an AsyncSession or AsyncConnection, where it may use the database.

    Raises WrongColour for a synchronous one, EnqueueError for anything else.
    """
    if is_synchronous(caller):
        raise WrongColour(
            f"an asynchronous call was given a {type(caller).__name__}: "
            "use `….enqueue(…)`, for many `tq.enqueue_many(…)`"
        )
    if not is_asynchronous(caller):
        raise neither(caller)
    caller = caller() if callable(caller) else caller  # an async_scoped_session gives its AsyncSession
    result: T = await caller.run_sync(work)
    return result


def is_synchronous(caller: object) -> bool:
    """Say whether ``caller`` is a transaction of synchronous code."""
    return isinstance(caller, Session | scoped_session | Connection)


def is_asynchronous(caller: object) -> bool:
    """Say whether ``caller`` is a transaction of asynchronous code, by name: without greenlet there is no import."""
    return any(
        kind.__module__.startswith("sqlalchemy.ext.asyncio") and kind.__name__ in ASYNCHRONOUS
        for kind in type(caller).__mro__
    )


def neither(caller: object) -> EnqueueError:
    """Return the error for something that is no transaction."""
    return EnqueueError(
        "session= or connection= takes a SQLAlchemy Session, AsyncSession, Connection or AsyncConnection, "
        f"not {type(caller).__name__}"
    )


def connection_of(session: "Session | scoped_session[Any]", store: SqlStore) -> Connection:
    """Return the Connection that a Session uses to insert into the jobs table."""
    try:
        return session.connection(bind_arguments={"clause": store.tables.jobs.insert()})
    except UnboundExecutionError as error:
        raise EnqueueError(
            f"the session has engines for some models only, and none for {store.tables.jobs}: pass "
            "connection=session.connection(bind_arguments={'mapper': AModelOfTheJobsDatabase})"
        ) from error


def check_same_database(connection: Connection, store: SqlStore) -> None:
    """Raise EnqueueError for a transaction of another kind of database, or of another SQLite file."""
    if family(connection.dialect.name) != family(store.engine.dialect.name):
        raise EnqueueError(
            f"the transaction is one of {connection.dialect.name} and the jobs are in {store.engine.dialect.name}: "
            "only a transaction of the same database can hold both"
        )
    if connection.dialect.name == "sqlite":
        check_same_file(connection, store)


def check_same_file(connection: Connection, store: SqlStore) -> None:
    """Raise EnqueueError unless the jobs' file is among those of the connection; asked once for each connection."""
    path = store.engine.url.database
    info = connection.connection.info
    if info.get(SAME_FILE) == path:
        return
    with store.reading() as own:
        (jobs,) = files_of(own)
    theirs = files_of(connection)
    if not any(file.samefile(jobs) for file in theirs):
        named = " and ".join(map(str, theirs)) or "a database in memory"
        raise EnqueueError(
            f"the transaction is one of {named} and the jobs are in {jobs}: "
            "only a transaction of the same file can hold both"
        )
    info[SAME_FILE] = path


def files_of(connection: Connection) -> list[Path]:
    """Return the files that an SQLite connection has open, attached ones too."""
    found = connection.exec_driver_sql("PRAGMA database_list")
    return [Path(file) for _, _, file in found if file]


def family(dialect: str) -> str:
    """Return the database that a dialect speaks to."""
    return "mysql" if dialect == "mariadb" else dialect
