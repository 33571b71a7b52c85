"""Errors injected at the driver: the n-th statement of an Engine's connections fails as a real server lets it fail.

Connections stay the driver's own, of a class that counts what passes; TomQueue is given the Engine and knows nothing
of it. An error leaves behind what the real one does: an aborted transaction, one that is rolled back, or a
connection that is gone.
"""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import MySQLdb.connections
import MySQLdb.cursors
import psycopg
from sqlalchemy import Engine, create_engine, event

__all__ = ["TROUBLES", "Injector", "Trouble", "faulty_engine"]

T = TypeVar("T")
BEGINS = ("BEGIN", "START TRANSACTION")


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """One way to fail. ``make`` returns the driver's error."""

    name: str
    make: Callable[[], Exception]
    loses: bool = False
    """Whether the connection is gone with it."""
    happened: bool = False
    """Whether the statement was carried out, and only its answer lost."""
    rolls_back: bool = False
    """Whether the database rolls the whole transaction back by itself."""
    passes: bool = False
    """Whether trying the transaction again at once is the cure."""
    own_doing: bool = False
    """Whether a job whose own statement meets it is charged for it."""
    rare: bool = False
    """Whether it is treated as another one here, so that a few calls show it for all."""

    def __str__(self) -> str:
        return self.name


def of_postgres(name: str, state: str, **more: bool) -> Trouble:
    """Return an error of PostgreSQL by its SQLSTATE."""
    return Trouble(name=name, make=lambda: psycopg.errors.lookup(state)(f"injected: {name}"), **more)


def of_mariadb(name: str, code: int, **more: bool) -> Trouble:
    """Return an error of MariaDB by its number."""
    return Trouble(name=name, make=lambda: MySQLdb.OperationalError(code, f"injected: {name}"), **more)


def of_sqlite(name: str, code: int, **more: bool) -> Trouble:
    """Return an error of SQLite by its result code."""

    def make() -> Exception:
        error = sqlite3.OperationalError(f"injected: {name}")
        error.sqlite_errorcode = code
        return error

    return Trouble(name=name, make=make, **more)


def hung_up(*, happened: bool) -> Trouble:
    """Return the error of libpq for a connection that is gone: it has no SQLSTATE."""
    name = f"connection lost {'after' if happened else 'before'} it"
    return Trouble(
        name=name, make=lambda: psycopg.OperationalError(f"injected: {name}"), loses=True, happened=happened
    )  # fmt: skip


TROUBLES: dict[str, tuple[Trouble, ...]] = {
    "postgres": (
        of_postgres("deadlock", "40P01", passes=True),
        of_postgres("serialization failure", "40001", passes=True, rare=True),
        of_postgres("lock time-out", "55P03", own_doing=True, rare=True),
        of_postgres("statement time-out", "57014", own_doing=True, rare=True),
        of_postgres("disk full", "53100", rare=True),
        of_postgres("read-only", "25006"),
        of_postgres("terminated backend", "57P01", loses=True, rare=True),
        hung_up(happened=False),
        hung_up(happened=True),
    ),
    "mariadb": (
        of_mariadb("deadlock", 1213, rolls_back=True, passes=True),
        of_mariadb("snapshot too old", 1020, rolls_back=True, passes=True, rare=True),
        of_mariadb("lock wait time-out", 1205, own_doing=True, passes=True),
        of_mariadb("disk full", 1114),
        of_mariadb("read-only", 1290, rare=True),
        of_mariadb("killed connection", 1927, loses=True, rare=True),
        of_mariadb("connection lost before it", 2013, loses=True),
        of_mariadb("connection lost after it", 2013, loses=True, happened=True),
    ),
    "sqlite": (
        of_sqlite("busy", sqlite3.SQLITE_BUSY),
        of_sqlite("disk full", sqlite3.SQLITE_FULL, rolls_back=True),
        of_sqlite("disk full, transaction kept", sqlite3.SQLITE_FULL, rare=True),
        of_sqlite("read-only", sqlite3.SQLITE_READONLY),
        of_sqlite("input/output error", sqlite3.SQLITE_IOERR, rolls_back=True, rare=True),
    ),
}
"""By the kind of database. What SQLite's manual says of automatic rollbacks: "might or might not"."""


class Injector:
    """Counts the statements and COMMITs of all connections that it was given, and fails the one it is armed for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._trouble: Trouble | None = None
        self._left = self._more = self.struck = 0
        self._from_begin = False
        self._spare: str | None = None

    def arm(
        self, trouble: Trouble, at: int, *, times: int = 1, from_begin: bool = False, spare: str | None = None
    ) -> None:
        """Fail the ``at``-th statement from now, or from the next BEGIN on, and as many after it as ``times`` says.

        A statement with the text ``spare`` passes.
        """
        with self._lock:
            self._spare = spare
            self._trouble, self._left, self._more, self.struck = trouble, at, times, 0
            self._from_begin = from_begin

    def disarm(self) -> int:
        """Let everything pass; return how often it struck."""
        with self._lock:
            self._trouble = None
            return self.struck

    def pass_on(self, link: "Watched", what: str, run: Callable[[], T]) -> T:
        """Run a statement, or fail it."""
        trouble = self._due(what)
        if trouble is None:
            return run()
        if trouble.happened:
            run()
        link.suffer(trouble)
        raise trouble.make()

    def _due(self, what: str) -> Trouble | None:
        with self._lock:
            if self._trouble is None or (self._from_begin and not what.startswith(BEGINS)):
                return None
            if self._spare is not None and self._spare in what:
                return None
            self._from_begin = False
            self._left -= 1
            if self._left > 0 or self.struck >= self._more:
                return None
            self.struck += 1
            return self._trouble


class Watched:
    """A connection whose statements an Injector sees."""

    injector: Injector | None = None

    def seen(self, what: Any, run: Callable[[], T]) -> T:
        """Let the Injector decide."""
        return run() if self.injector is None else self.injector.pass_on(self, str(what), run)

    def suffer(self, trouble: Trouble) -> None:
        """Leave behind what the error does."""
        raise NotImplementedError


class PostgresCursor(psycopg.Cursor[Any]):
    """psycopg's cursor, seen."""

    def execute(self, query: Any, *args: Any, **options: Any) -> Any:
        text = query.decode() if isinstance(query, bytes) else query
        link: Any = self.connection
        return link.seen(text, lambda: psycopg.Cursor.execute(self, query, *args, **options))


class PostgresLink(Watched, psycopg.Connection[Any]):
    """psycopg's connection, seen."""

    def commit(self) -> None:
        self.seen("COMMIT", lambda: psycopg.Connection.commit(self))

    def suffer(self, trouble: Trouble) -> None:
        if trouble.loses:
            self.close()
            return
        with suppress(psycopg.Error):  # an error leaves an aborted transaction: its COMMIT is a ROLLBACK
            psycopg.Cursor(self).execute("SELECT 1 / 0")


class MariadbCursor(MySQLdb.cursors.Cursor):  # type: ignore[misc] # untyped
    """mysqlclient's cursor, seen."""

    def execute(self, query: Any, args: Any = None) -> Any:
        return self.connection.seen(query, lambda: MySQLdb.cursors.Cursor.execute(self, query, args))


class MariadbLink(Watched, MySQLdb.connections.Connection):  # type: ignore[misc] # untyped
    """mysqlclient's connection, seen."""

    def commit(self) -> None:
        self.seen("COMMIT", lambda: MySQLdb.connections.Connection.commit(self))

    def suffer(self, trouble: Trouble) -> None:
        if trouble.loses:
            self.close()
        elif trouble.rolls_back:
            self.rollback()


class SqliteCursor(sqlite3.Cursor):
    """sqlite3's cursor, seen."""

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        link: Any = self.connection
        return link.seen(sql, lambda: sqlite3.Cursor.execute(self, sql, parameters))

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        link: Any = self.connection
        return link.seen(sql, lambda: sqlite3.Cursor.executemany(self, sql, parameters))


class SqliteLink(Watched, sqlite3.Connection):
    """sqlite3's connection, seen."""

    def cursor(self, factory: Any = SqliteCursor) -> Any:
        return sqlite3.Connection.cursor(self, factory)

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        return self.cursor().executemany(sql, parameters)

    def commit(self) -> None:
        self.seen("COMMIT", lambda: sqlite3.Connection.commit(self))

    def suffer(self, trouble: Trouble) -> None:
        if trouble.rolls_back:
            self.rollback()


def connect(dialect: str, positional: Any, named: dict[str, Any]) -> Any:
    """Open a connection that is seen."""
    if dialect == "sqlite":
        return sqlite3.connect(*positional, **named, factory=SqliteLink)
    if dialect == "mysql":
        return MariadbLink(*positional, **named, cursorclass=MariadbCursor)
    return PostgresLink.connect(*positional, **named, cursor_factory=PostgresCursor)


def faulty_engine(url: str, injector: Injector) -> Engine:
    """Return an Engine as an application has one, of whose connections ``injector`` sees every statement."""
    engine = create_engine(url)

    @event.listens_for(engine, "do_connect")
    def do_connect(dialect: Any, _record: Any, positional: Any, named: Any) -> Any:
        link = connect(dialect.name, positional, named)
        link.injector = injector
        return link

    return engine
