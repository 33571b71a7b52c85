"""Unique jobs in the caller's transaction, which a key that is held must not abort.

Who is told of a job that is there counts on it to see what the transaction writes. So a job that waits is locked until
that transaction ends, in a way that claims pass over; the other way round it could start before the commit.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Select, Table, select, text
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError

from tomqueue.job import Job, NewJob, State
from tomqueue.store.base import Inserted
from tomqueue.store.callers_rows import CallersRows
from tomqueue.store.keys import Ways, holders, let_expired_go
from tomqueue.store.mysql_text import is_held_key
from tomqueue.store.schema import UNIQUE_HELD

__all__ = ["CallersKeys", "Committed", "nobody_waits_for"]

T = TypeVar("T")
INSERTS: Mapping[str, Callable[[Table], Any]] = {"sqlite": sqlite_insert, "postgresql": postgres_insert}
"""Each dialect's own INSERT, which knows of ON CONFLICT."""
NOBODY_WAITS = "tomqueue.nobody_waits"
"""What is noted with a Connection whose transaction no other one is to wait for, as a test's is."""


class Committed(Protocol):
    """What is asked beside the caller's transaction, where all that is committed can be seen."""

    def now(self) -> datetime:
        """Return the database's clock."""

    def key_holders(self, locks: Sequence[str]) -> dict[str, Job]:
        """Read who holds unique keys, of what is committed."""

    def with_key(self, lock: str, work: Callable[[bool], T]) -> T:
        """Call ``work`` with whether a committed row holds a key; no other enqueue of ours takes it meanwhile."""

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work``, which only reads, in a short transaction."""

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a short transaction."""


@contextmanager
def nobody_waits_for(connection: Connection) -> Iterator[None]:
    """Say that a transaction may keep others waiting: a test's, in which rows are claimed and end as well."""
    info = connection.info  # kept, for the connection may be closed by then
    info[NOBODY_WAITS] = True
    try:
        yield
    finally:
        info.pop(NOBODY_WAITS, None)


class CallersKeys:
    """Inserts rows with unique keys by a Connection of the caller's."""

    def __init__(self, jobs: Table, rows: CallersRows, committed: Committed) -> None:
        self._jobs = jobs
        self._rows = rows
        self._committed = committed

    def ways(self, connection: Connection) -> Ways:
        """Return how rows are written and read in the transaction of ``connection``."""
        kinds: dict[str, type[InSqlite]] = {"sqlite": InSqlite, "postgresql": InPostgres}
        way = kinds.get(connection.dialect.name, InMysql)(connection, self._jobs, self._rows, self._committed)
        return Ways(
            plain=lambda jobs: self._rows.insert(connection, jobs),
            keyed=way.keyed,
            holders=way.holders,
            let_expired_go=way.let_expired_go,
        )


class InSqlite:
    """On SQLite whoever inserts holds the only lock to write that there is: nobody claims meanwhile."""

    def __init__(self, connection: Connection, jobs: Table, rows: CallersRows, committed: Committed) -> None:
        self._connection = connection
        self._jobs = jobs
        self._rows = rows
        self._committed = committed

    def keyed(self, jobs: Sequence[NewJob]) -> list[Inserted | None]:
        """Insert rows whose keys are free."""
        return [self._insert(job) for job in jobs]

    def holders(self, locks: Sequence[str]) -> dict[str, Job]:
        """Read who holds locks."""
        return holders(self._connection, self._holding(locks), self._committed.now())

    def let_expired_go(self, locks: Sequence[str]) -> None:
        """Take locks from rows whose time to hold them is over."""
        let_expired_go(self._connection, self._jobs, locks, self._committed.now())

    def _insert(self, job: NewJob) -> Inserted | None:
        statement, row = self._rows.keyed(job, self._unless_held)
        found = self._connection.execute(statement, row).one_or_none()
        return None if found is None else Inserted(*found)

    def _unless_held(self, computed: Mapping[str, Any]) -> Any:
        """Return the INSERT that does nothing where its key is held, and tells so by returning nothing."""
        insert: Any = INSERTS[self._connection.dialect.name](self._jobs).values(computed)
        on_lock = {"index_elements": [self._jobs.c.unique_lock], "index_where": text(UNIQUE_HELD)}
        return insert.on_conflict_do_nothing(**on_lock).returning(*self._rows.wanted)

    def _holding(self, locks: Sequence[str]) -> Select[Any]:
        return select(self._jobs).where(self._jobs.c.unique_lock.in_(locks))

    def _waiting(self, locks: Sequence[str]) -> Select[Any]:
        return self._holding(locks).where(self._jobs.c.locked_by.is_(None))


class InPostgres(InSqlite):
    """On PostgreSQL a waiting job is locked FOR KEY SHARE: claims pass over it, what a person changes does not wait.

    At REPEATABLE READ and above a key that was taken after the snapshot is a serialization failure, as is every
    row that changed since: the caller's transaction is to be tried again.
    """

    def holders(self, locks: Sequence[str]) -> dict[str, Job]:
        """Read who holds locks; lock those that wait."""
        now = self._committed.now()
        waiting = self._waiting(locks).with_for_update(read=True, key_share=True)
        found = holders(self._connection, waiting, now)
        if left := [lock for lock in locks if lock not in found]:
            found |= holders(self._connection, self._holding(left), now)
        return found

    def let_expired_go(self, locks: Sequence[str]) -> None:
        """Do so in a transaction of our own: it is right whatever becomes of the caller's; else in the caller's."""
        jobs, now = self._jobs, self._committed.now()
        if not self._committed.write(lambda connection: let_expired_go(connection, jobs, locks, now)):
            super().let_expired_go(locks)


class InMysql(InSqlite):
    """On MySQL an INSERT that waits for a key, or meets it, locks the gap before it in the unique index.

    Where that is the first one, all other INSERTs come into this gap: they would wait, or there would be a deadlock. So
    a key is looked for and taken by one at a time, on a connection of our own, which locks no gap. A waiting job is
    locked by its primary key, as claims lock rows: they pass over it. The caller's snapshot (REPEATABLE READ) may be
    old, so that a locking read decides.
    """

    def __init__(self, connection: Connection, jobs: Table, rows: CallersRows, committed: Committed) -> None:
        super().__init__(connection, jobs, rows, committed)
        self._freed: set[str] = set()

    def holders(self, locks: Sequence[str]) -> dict[str, Job]:
        """Read who holds locks; lock those that wait. One whose time is over is nobody's to wait for."""
        committed = self._committed.key_holders(locks)
        found = {lock: job for lock, job in committed.items() if job.state is State.RUNNING or not job.unique_held}
        left = [lock for lock in locks if lock not in found]
        ids = [job.id for lock, job in committed.items() if lock in left]
        ids += self._own([lock for lock in left if lock not in committed])
        if ids:
            current = self._waiting(left).where(self._jobs.c.id.in_(ids)).with_for_update(read=True)
            found |= holders(self._connection, current, self._committed.now())
        if gone := [lock for lock in left if lock in committed and lock not in found]:
            now = self._committed.key_holders(gone)
            found |= {lock: job for lock, job in now.items() if job.state is State.RUNNING}  # just claimed
            self._freed.update(lock for lock in now if lock not in found)  # others see it wait: this one let it go
        return found

    def let_expired_go(self, locks: Sequence[str]) -> None:
        """Do so in a transaction of our own for what is committed; else it is the caller's own row."""
        jobs, now = self._jobs, self._committed.now()
        others = list(self._committed.key_holders(locks))
        if others:
            self._committed.write(lambda connection: let_expired_go(connection, jobs, others, now))
        if own := [lock for lock in locks if lock not in others]:
            super().let_expired_go(own)
            self._freed.update(own)

    def _insert(self, job: NewJob) -> Inserted | None:
        assert job.unique is not None
        lock = job.unique.lock(job.name)
        if lock in self._freed or NOBODY_WAITS in self._connection.info:
            return self._insert_alone(job)  # a look from outside would wait for the end of this transaction
        if self._committed.key_holders([lock]) or self._own([lock]):
            return None
        return self._committed.with_key(lock, lambda held: None if held else self._insert_alone(job))

    def _own(self, locks: Sequence[str]) -> list[int]:
        """Return the ids of this transaction's own rows that hold locks; what it sees of others may be old."""
        jobs = self._jobs
        seen = select(jobs.c.id).where(jobs.c.unique_lock.in_(locks))
        ids = set(self._connection.execute(seen).scalars()) if locks else set()
        if ids:
            theirs = select(jobs.c.id).where(jobs.c.id.in_(ids))
            ids -= self._committed.read(lambda connection: set(connection.execute(theirs).scalars()))
        if not ids:
            return []
        still = select(jobs.c.id).where(jobs.c.id.in_(ids), jobs.c.unique_lock.in_(locks)).with_for_update(read=True)
        return list(self._connection.execute(still).scalars())

    def _insert_alone(self, job: NewJob) -> Inserted | None:
        returning = self._connection.dialect.insert_returning
        statement, row = self._rows.keyed(job, lambda computed: self._plainly(computed, returning=returning))
        try:
            result = self._connection.execute(statement, row)
        except IntegrityError as error:  # the statement is undone, the transaction goes on
            if isinstance(error.orig, Exception) and is_held_key(error.orig, f"{self._jobs.name}_unique"):
                return None
            raise
        if returning:
            return Inserted(*result.one())
        key = result.inserted_primary_key
        assert key is not None
        made = select(*self._rows.wanted).where(self._jobs.c.id == key[0])
        return Inserted(*self._connection.execute(made).one())

    def _plainly(self, computed: Mapping[str, Any], *, returning: bool) -> Any:
        statement = self._jobs.insert().values(computed)
        return statement.returning(*self._rows.wanted) if returning else statement
