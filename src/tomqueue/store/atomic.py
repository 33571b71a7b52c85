"""The transaction of an atomic job: its own writes, its enqueues and its finish commit together, or not at all."""

from contextvars import ContextVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tomqueue.crash_points import reached
from tomqueue.errors import ClaimLost
from tomqueue.store.base import Ending
from tomqueue.store.sql import SqlStore

__all__ = ["AtomicTransaction", "Connection", "Session", "current_transaction"]

current_transaction: ContextVar["AtomicTransaction | None"] = ContextVar("tomqueue_transaction", default=None)
"""The transaction of the atomic job that runs in this context: what it enqueues joins it."""


class AtomicTransaction:
    """Opened at first use, so that a job that computes first holds no lock meanwhile (SQLite: BEGIN IMMEDIATE)."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._connection: Connection | None = None
        self._session: Session | None = None
        self._refused = False

    @property
    def connection(self) -> Connection:
        """The connection; its transaction begins with the first use."""
        if self._connection is None:
            self._refused = True
            with self._store.translating():
                connection = self._connection = self._store.connected().execution_options(tomqueue_write=True)
                connection.begin()
            self._refused = False
        return self._connection

    @property
    def keeps_others_out(self) -> bool:
        """Whether nobody else can write as long as it is open: it has begun, and the database is an SQLite file."""
        return self._connection is not None and self._store.engine.dialect.name == "sqlite"

    def is_to_blame_for(self, error: BaseException) -> bool:
        """Say whether a job ended with ``error`` because its transaction could not begin, or the database is away."""
        if isinstance(error, DBAPIError) and isinstance(error.orig, Exception):
            return self._refused or self._store.is_to_blame_for(error.orig)
        return self._refused or (self._connection is not None and self._connection.invalidated)

    def session(self) -> Session:
        """Return the Session of the transaction; its ``commit`` only flushes, its ``rollback`` rolls the job back."""
        if self._session is None:
            self._session = Session(self.connection, join_transaction_mode="rollback_only")
        return self._session

    def commit(self, ending: Ending | None) -> None:
        """Finish the row (a job that runs inline has none) and commit all.

        Raises ClaimLost, with nothing changed, when the row is no longer ours.
        """
        try:
            if self._session is not None:
                self._session.flush()  # what the database says to the job's own writes is the job's error
            with self._store.translating():
                connection = self.connection
                if ending is not None and not self._store.finish_in(connection, ending):
                    raise ClaimLost(f"job {ending.id} belongs to another claim: its writes are rolled back")
                reached("atomic.before_commit")
                connection.commit()
                reached("atomic.after_commit")
        finally:
            self.close()

    def close(self) -> None:
        """Roll back what is not committed and give the connection back."""
        if self._session is not None:
            self._session.close()
        if self._connection is not None:
            try:
                self._connection.close()
            except DBAPIError:
                if not self._connection.closed:  # as one is whose loss the rollback has found
                    self._connection.invalidate()
        self._session = self._connection = None
