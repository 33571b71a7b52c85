"""The caller's own transaction: from a Session, AsyncSession or Connection to the Connection that rows go through."""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Session, scoped_session

from tomqueue.errors import EnqueueError, WrongColour
from tomqueue.store.sql import SqlStore

__all__ = ["run_in_callers", "synchronous_connection"]

T = TypeVar("T")


def synchronous_connection(caller: Any, store: SqlStore) -> Connection:
    """Return the Connection of a Session, or the Connection itself.

    Raises WrongColour for an asynchronous one, EnqueueError for anything else and for another database.
    """
    if is_asynchronous(caller):
        raise WrongColour(f"enqueue() was given an {type(caller).__name__}: use `await ….aenqueue(…)`")
    if isinstance(caller, Session | scoped_session):
        connection = connection_of(caller, store)
    elif isinstance(caller, Connection):
        connection = caller
    else:
        raise EnqueueError(
            "session= or connection= takes a SQLAlchemy Session, AsyncSession or Connection, "
            f"not {type(caller).__name__}"
        )
    if family(connection.dialect.name) != family(store.engine.dialect.name):
        raise EnqueueError(
            f"the transaction is one of {connection.dialect.name} and the jobs are in {store.engine.dialect.name}: "
            "only a transaction of the same database can hold both"
        )
    return connection


def is_asynchronous(caller: object) -> bool:
    """Say whether ``caller`` belongs to SQLAlchemy's asyncio side (which cannot be imported without greenlet)."""
    return any(kind.__module__.startswith("sqlalchemy.ext.asyncio") for kind in type(caller).__mro__)


def connection_of(session: "Session | scoped_session[Any]", store: SqlStore) -> Connection:
    """Return the Connection that a Session uses for the jobs table."""
    try:
        return session.connection(bind_arguments={"clause": store.tables.jobs})
    except UnboundExecutionError as error:
        raise EnqueueError(
            f"the session has engines for some models only, and none for {store.tables.jobs}: pass "
            "connection=session.connection(bind_arguments={'mapper': AModelOfTheJobsDatabase})"
        ) from error


def family(dialect: str) -> str:
    """Return the database that a dialect speaks to."""
    return "mysql" if dialect == "mariadb" else dialect


async def run_in_callers(caller: Any, work: Callable[[Any], T]) -> T:
    """Call ``work`` with the synchronous side of an AsyncSession or AsyncConnection, where it may use the database."""
    if is_asynchronous(caller):
        caller = caller() if callable(caller) else caller  # an async_scoped_session gives its AsyncSession
        result: T = await caller.run_sync(work)
        return result
    raise WrongColour(f"aenqueue() was given a {type(caller).__name__}: use `….enqueue(…)`")
