"""Run something after the caller's outermost COMMIT, and never when it rolled back.

SQLAlchemy's own events cannot say that: Core's ``commit`` fires before COMMIT is sent, the Session's
``after_commit`` also when a savepoint is released and in a session joined to an outer transaction. So the one
place that every commit of a DBAPI connection passes is wrapped, once for each engine: its dialect's ``do_commit``
and the methods beside it (SQLAlchemy's documented ``Dialect`` interface). What waits belongs to the DBAPI
connection's transaction, never to a session, class, thread or process.

A COMMIT, ROLLBACK or SAVEPOINT that is sent as plain SQL text is not seen, nor is the recovery of a prepared
transaction by another connection; the rows are then found by the database's own looks.
"""

import functools
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Dialect

__all__ = ["after_commit"]

Callback = Callable[[], None]
WAITING = "tomqueue.after_commit"
_wrapping = threading.Lock()
_logger = logging.getLogger("tomqueue")


class Waiting:
    """The callbacks of one transaction, and where its savepoints began among them."""

    def __init__(self) -> None:
        self._callbacks: list[Callback] = []
        self._savepoints: list[tuple[str, int]] = []

    def add(self, callback: Callback) -> None:
        self._callbacks.append(callback)

    def savepoint(self, name: str) -> None:
        self._savepoints.append((name, len(self._callbacks)))

    def rolled_back_to(self, name: str) -> None:
        for place, (savepoint, position) in reversed(list(enumerate(self._savepoints))):
            if savepoint == name:
                del self._callbacks[position:]
                del self._savepoints[place + 1 :]
                return

    def committed(self) -> None:
        for callback in self._callbacks:
            try:
                callback()
            except Exception:  # the row is committed: the caller must not be told otherwise
                _logger.exception("an after-commit callback failed; the job is committed and will run")


def after_commit(connection: Connection, callback: Callback) -> None:
    """Call ``callback`` once the transaction that ``connection`` is in has committed, at once in autocommit mode.

    It runs in the committing thread; it is dropped when the transaction, or the savepoint it was added in, rolls back.
    """
    if is_autocommit(connection):
        callback()
        return
    watch(connection.dialect)
    waiting_of(connection).add(callback)


def is_autocommit(connection: Connection) -> bool:
    """Say whether every statement of ``connection`` commits by itself."""
    dbapi = connection.connection.dbapi_connection
    detect = getattr(connection.dialect, "detect_autocommit_setting", None)
    if dbapi is None or detect is None or not detect(dbapi):
        return False
    # an SQLite connection without isolation level is in a transaction if someone sent BEGIN
    return not is_in_transaction(connection.dialect, dbapi)


def is_in_transaction(dialect: Dialect, dbapi: Any) -> bool:
    """Say whether the driver knows of an open transaction; of those we meet, only sqlite3 and aiosqlite would."""
    return bool(getattr(dialect.get_driver_connection(dbapi), "in_transaction", False))


def waiting_of(connection: Connection) -> Waiting:
    """Return what waits for the end of the transaction of the connection's DBAPI connection."""
    info = connection.connection.info
    if WAITING not in info:
        info[WAITING] = waiting = Waiting()
        nested = connection.get_nested_transaction()
        if nested is not None:  # the savepoints that were open before the first callback lose it with any rollback
            for name in open_savepoints(nested):
                waiting.savepoint(name)
    found: Waiting = info[WAITING]
    return found


def open_savepoints(nested: Any) -> list[str]:
    """Return the names of the savepoints around ``nested``, outermost first."""
    names: list[str] = []
    while nested is not None:
        names.append(nested._savepoint)  # noqa: SLF001 - SQLAlchemy keeps no public list of open savepoints
        nested = nested._previous_nested  # noqa: SLF001
    return names[::-1]


def watch(dialect: Dialect) -> None:
    """Wrap the ends of transactions of ``dialect``, once."""
    with _wrapping:
        if getattr(dialect, "_tomqueue_watched", False):
            return
        for name, around in (
            ("do_commit", committing),
            ("do_commit_twophase", committing),
            ("do_rollback", rolling_back),
            ("do_rollback_twophase", rolling_back),
            ("do_savepoint", opening_savepoint),
            ("do_rollback_to_savepoint", rolling_back_to_savepoint),
        ):
            setattr(dialect, name, around(dialect, getattr(dialect, name)))
        dialect._tomqueue_watched = True  # type: ignore[attr-defined]  # noqa: SLF001 - our mark


def pooled(connection: Any) -> Any:
    """Return the pooled DBAPI connection of a Connection (two-phase methods and savepoints are given that one)."""
    return connection.connection if isinstance(connection, Connection) else connection


def info_of(connection: Any) -> dict[str, Any]:
    """Return the info dictionary of a Connection or of a pooled DBAPI connection."""
    found: dict[str, Any] | None = getattr(pooled(connection), "info", None)
    return {} if found is None else found


def roll_back_open(dialect: Dialect, link: Any) -> None:
    """Roll back a transaction that survived its failed COMMIT, as on SQLite.

    SQLAlchemy holds it ended and sends no ROLLBACK (``RootTransaction.rollback``): the caller's next commit would
    bring back what the caller believes rolled back.
    """
    dbapi = getattr(link, "dbapi_connection", None)
    if dbapi is not None and is_in_transaction(dialect, dbapi):
        with suppress(Exception):  # the caller is to see why COMMIT failed
            dialect.do_rollback(link)


def committing(dialect: Dialect, original: Callable[..., None]) -> Callable[..., None]:
    """Run what waits once ``original`` has committed; drop it when that failed."""

    @functools.wraps(original)
    def commit(connection: Any, *args: Any, **kwargs: Any) -> None:
        link = pooled(connection)
        info = info_of(link)
        waiting = info.pop(WAITING, None)  # taken out first: a two-phase commit ends with a rollback of nothing
        try:
            original(connection, *args, **kwargs)
        except BaseException:
            if waiting is not None:
                roll_back_open(dialect, link)
            raise
        if waiting is not None:
            waiting.committed()

    return commit


def rolling_back(_dialect: Dialect, original: Callable[..., None]) -> Callable[..., None]:
    """Drop what waits, then roll back."""

    @functools.wraps(original)
    def roll_back(connection: Any, *args: Any, **kwargs: Any) -> None:
        info_of(connection).pop(WAITING, None)
        original(connection, *args, **kwargs)

    return roll_back


def opening_savepoint(_dialect: Dialect, original: Callable[..., None]) -> Callable[..., None]:
    """Remember where a savepoint begins."""

    @functools.wraps(original)
    def savepoint(connection: Connection, name: str) -> None:
        original(connection, name)
        if waiting := info_of(connection).get(WAITING):
            waiting.savepoint(name)

    return savepoint


def rolling_back_to_savepoint(_dialect: Dialect, original: Callable[..., None]) -> Callable[..., None]:
    """Drop what was added since the savepoint, then roll back to it."""

    @functools.wraps(original)
    def roll_back(connection: Connection, name: str) -> None:
        if waiting := info_of(connection).get(WAITING):
            waiting.rolled_back_to(name)
        original(connection, name)

    return roll_back
