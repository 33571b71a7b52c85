"""What the SQL stores share about unique keys: enqueues that may meet one, and rows that want theirs again."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, select

from tomqueue.errors import StoreUnavailable
from tomqueue.job import Job, NewJob
from tomqueue.store import keys
from tomqueue.store.base import Inserted
from tomqueue.store.callers_keys import CallersKeys
from tomqueue.store.callers_rows import CallersRows
from tomqueue.store.keys import Ways
from tomqueue.store.schema import Tables
from tomqueue.store.transactions import Transactions

__all__ = ["KeyedRows"]

T = TypeVar("T")


class KeyedRows(Transactions):
    """Inserts rows of which some have a unique key; a dialect says how its statements read."""

    tables: Tables
    _callers_rows: CallersRows

    @abstractmethod
    def now(self) -> datetime:
        """Return the database's clock, aware and in UTC."""

    @abstractmethod
    def _insert(self, link: Any, jobs: Sequence[NewJob]) -> list[Inserted]:
        """Insert rows by the driver; answer in the order of ``jobs``."""

    @abstractmethod
    def _insert_keyed(self, link: Any, jobs: Sequence[NewJob]) -> list[Inserted | None]:
        """Insert unique jobs of different keys by the driver; None for each whose key another row holds."""

    @abstractmethod
    def _let_expired_go(self, link: Any, locks: Sequence[str]) -> None:
        """Take unique keys from rows whose time to hold them is over."""

    def _be_impatient(self, connection: Connection) -> None:
        """Wait for the locks of others only for a moment in this transaction, where a dialect can say so."""

    def retake_keys(self, ids: Sequence[int]) -> dict[int, int | None]:
        """Let unique jobs that wait again hold their keys again; return those that could not, and who holds them."""
        jobs, now = self.tables.jobs, self.now()
        wanting = select(jobs.c.id).where(jobs.c.id.in_(ids), keys.wanting(jobs, now))
        without: dict[int, int | None] = {}
        for row_id in self.read(lambda connection: connection.execute(wanting).scalars().all()):
            try:
                with self.writing() as connection:
                    self._be_impatient(connection)
                    holder = keys.retake(connection, jobs, row_id, now)
            except StoreUnavailable:  # somebody enqueues a job of this key, and has not committed yet
                without[row_id] = None
            else:
                if holder is not None:
                    without[row_id] = holder
        return without

    def _insert_with_keys_in(self, connection: Connection, jobs: Sequence[NewJob]) -> list[Inserted]:
        """Insert rows, some of them with keys, in the caller's transaction."""
        ways = CallersKeys(self.tables.jobs, self._callers_rows, self).ways(connection)
        return keys.insert_with_keys(jobs, ways)

    def _insert_with_keys(self, link: Any, jobs: Sequence[NewJob]) -> list[Inserted]:
        # who holds a key is read beside this transaction: it is committed, or nobody has met it yet
        return keys.insert_with_keys(
            jobs,
            Ways(
                plain=lambda some: self._insert(link, some),
                keyed=lambda some: self._insert_keyed(link, some),
                holders=self.key_holders,
                let_expired_go=lambda locks: self._let_expired_go(link, locks),
            ),
        )

    def with_key(self, lock: str, work: Callable[[bool], T]) -> T:
        """Call ``work`` with whether a committed row holds a key; no other enqueue takes it meanwhile, on MySQL."""
        return work(bool(self.key_holders([lock])))

    def key_holders(self, locks: Sequence[str]) -> dict[str, Job]:
        """Read who holds unique keys, of what is committed."""
        jobs, now = self.tables.jobs, self.now()
        wanted = select(jobs).where(jobs.c.unique_lock.in_(locks))
        return self.read(lambda connection: keys.holders(connection, wanted, now))
