"""Transactions on the store's own connections, by the driver for what is hot and by SQLAlchemy for what is cold."""

import os
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from tomqueue.crash_points import reached
from tomqueue.errors import OutcomeUnknown, StoreError, StoreUnavailable
from tomqueue.store.links import Links

__all__ = ["Transactions"]

T = TypeVar("T")
TRANSIENT_RETRIES = 8


class Transactions(ABC):
    """Runs work in short transactions, tries it again where that helps, and says what a driver's error means."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._links = Links(self._connect)
        self._pid = os.getpid()

    @abstractmethod
    def _connect(self) -> Any:
        """Open a driver connection that is ours alone, in autocommit mode, with our session settings."""

    @abstractmethod
    def _begin(self, link: Any) -> None:
        """Begin a transaction that may write."""

    @abstractmethod
    def _translated(self, error: Exception) -> StoreError | None:
        """Return what a driver's error means to the caller; None when it is no error of the database."""

    @abstractmethod
    def _is_transient(self, error: Exception) -> bool:
        """Say whether the whole transaction can simply be tried again (deadlock, serialization)."""

    @abstractmethod
    def _is_broken(self, error: Exception) -> bool:
        """Say whether the connection is gone."""

    def _relieved(self, error: Exception) -> bool:  # noqa: ARG002 - for dialects
        """Do what may cure an error that passes by nothing else; say whether it is worth another attempt."""
        return False

    def _is_own_doing(self, error: Exception) -> bool:  # noqa: ARG002 - for dialects
        """Say whether the statement itself may be the trouble: it waited, ran or idled for too long."""
        return False

    def _limit_waits(self, connection: Connection) -> None:  # noqa: B027 - for dialects
        """Wait for nobody's lock for ever in this transaction, and keep nobody waiting, where a dialect can say so."""

    def is_to_blame_for(self, error: Exception) -> bool:
        """Say whether the database is to blame for what a job's own statement met, and not the statement.

        It is gone, read-only or full, or has chosen this transaction to give way to others.
        """
        if self._is_own_doing(error):
            return False
        return self._is_transient(error) or isinstance(self._translated(error), StoreUnavailable)

    def close(self) -> None:
        """Close the connections of every thread."""
        self._links.close()
        self._forget_the_parents()
        self.engine.dispose()

    def rest(self) -> None:
        """Close pooled connections that nobody uses: what is cold may not be needed for hours.

        Of the pool itself, which goes on: one that a thread is just using comes back to it, and is not left open.
        """
        self._forget_the_parents()
        self.engine.pool.dispose()

    # For what is cold: SQLAlchemy ---------------------------------------------------------------------

    def connected(self) -> Connection:
        """Return a Connection of our own Engine."""
        self._forget_the_parents()
        return self.engine.connect()

    def own_engine(self) -> Engine:
        """Return our own Engine, for sessions."""
        self._forget_the_parents()
        return self.engine

    def _forget_the_parents(self) -> None:
        """Leave pooled connections that were opened before a fork to the parent."""
        if self._pid != os.getpid():
            self._inherited = self.engine.pool  # kept: closing its connections here would end the parent's sessions
            self.engine.dispose(close=False)
            self._pid = os.getpid()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a short transaction that only reads."""
        with self.translating(), self.connected() as connection:
            with connection.execution_options(tomqueue_write=False).begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a short transaction that may write. Raises OutcomeUnknown when the connection broke during COMMIT."""
        committing = False
        try:
            with self.translating(), self.connected() as connection:
                with connection.execution_options(tomqueue_write=True).begin():
                    self._limit_waits(connection)
                    yield connection
                    committing = True
        except StoreUnavailable as error:
            if committing and self._is_broken(driver_error(error)):
                raise unknown(error) from error.__cause__
            raise

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a short transaction that may write, and all of it again where that helps (deadlock)."""
        return self._tried(self.writing, work)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a short transaction that only reads, and all of it again where that helps."""
        return self._tried(self.reading, work)

    def _tried(self, begin: Callable[[], AbstractContextManager[Connection]], work: Callable[[Connection], T]) -> T:
        for attempt in range(TRANSIENT_RETRIES):
            try:
                with begin() as connection:
                    return work(connection)
            except StoreError as error:
                if isinstance(error, OutcomeUnknown) or not self._is_worth_another(error, attempt):
                    raise
            pause(attempt)
        raise AssertionError("unreachable")

    def _is_worth_another(self, error: StoreError, attempt: int) -> bool:
        """Say whether a transaction that changed nothing is to be tried again at once."""
        if attempt == TRANSIENT_RETRIES - 1:
            return False
        if isinstance(error.__cause__, IntegrityError):  # another one was quicker to insert the same key
            return True
        original = driver_error(error)
        once_more = attempt == 0 and (self._is_broken(original) or self._relieved(original))
        return self._is_transient(original) or once_more

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Turn SQLAlchemy's errors of the database into StoreErrors."""
        try:
            yield
        except DBAPIError as error:
            original = error.orig if isinstance(error.orig, Exception) else error
            raise self._translated(original) or StoreError(str(original)) from error

    # What is hot: the driver --------------------------------------------------------------------------

    def _transact(self, work: Callable[[Any], T]) -> T:
        return self._repeated(lambda: self._transact_once(work))

    def _repeated(self, run: Callable[[], T]) -> T:
        """Run what is all or nothing, again where that helps."""
        for attempt in range(TRANSIENT_RETRIES):
            try:
                return run()
            except StoreError:
                raise
            except Exception as error:
                # a connection that broke before COMMIT (the server was restarted) changed nothing: once anew
                again = self._is_transient(error) or (
                    attempt == 0 and (self._is_broken(error) or self._relieved(error))
                )
                if not again or attempt == TRANSIENT_RETRIES - 1:
                    raise self._raised(error) from error
            pause(attempt)
        raise AssertionError("unreachable")

    def _at_once(self, work: Callable[[Any], T]) -> T:
        """Run a single piece of writing work; a dialect where that can be one statement runs it by itself."""
        return self._transact(work)

    def _transact_once(self, work: Callable[[Any], T]) -> T:
        link = self._links.get()
        committing = False
        try:
            self._begin(link)
            result = work(link)
            committing = True
            reached("store.before_commit")
            link.commit()
            reached("store.after_commit")
        except BaseException as error:
            if isinstance(error, Exception) and self._is_broken(error):
                self._links.drop()
                if committing:
                    raise unknown(error) from error
            else:
                self._roll_back(link)
            raise
        return result

    def look(self, work: Callable[[Any], T]) -> T:
        """Run one reading statement by the driver, on this thread's own connection, for what looks often."""
        return self._read(work)

    def _read(self, work: Callable[[Any], T]) -> T:
        """Run one reading statement by the driver, outside of any transaction."""
        try:
            return self._read_once(work)
        except Exception as error:
            if not (self._is_broken(error) or self._is_transient(error)):
                raise self._raised(error) from error
        try:
            return self._read_once(work)
        except Exception as error:
            raise self._raised(error) from error

    def _read_once(self, work: Callable[[Any], T]) -> T:
        link = self._links.get()
        try:
            return work(link)
        except Exception as error:
            if self._is_broken(error):
                self._links.drop()
            raise

    def _roll_back(self, link: Any) -> None:
        try:
            link.rollback()
        except Exception:  # noqa: BLE001 - a connection that cannot even roll back is of no use
            self._links.drop()

    def _raised(self, error: Exception) -> Exception:
        if isinstance(error, StoreError):
            return error
        if self._is_broken(error):
            return StoreUnavailable(f"the database connection broke: {error}")
        return self._translated(error) or error


def pause(attempt: int) -> None:
    """Wait a moment before the next attempt: longer each time, and not all at the same moment."""
    time.sleep(random.uniform(0, 0.005 * 2**attempt))  # noqa: S311 - jitter, no secret


def unknown(error: Exception) -> OutcomeUnknown:
    """Return the error of a connection that broke during COMMIT."""
    return OutcomeUnknown(f"the connection broke while committing: {error}")


def driver_error(error: StoreError) -> Exception:
    """Return what the driver said, of an error that SQLAlchemy brought; else the error itself."""
    cause = error.__cause__
    return cause.orig if isinstance(cause, DBAPIError) and isinstance(cause.orig, Exception) else error
