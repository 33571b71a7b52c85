"""The rows as tests see and move them: on any connection, also inside a transaction that will be rolled back.

The clock of a database cannot be set. So time passes by moving every row that much toward the past, all its instants
alike: what was an hour away is due, in the same order and with the same spans between, and the clock stays honest.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    NestedTransaction,
    Select,
    and_,
    bindparam,
    func,
    not_,
    select,
    update,
)
from sqlalchemy.orm import Session

from tomqueue.errors import ClaimLost
from tomqueue.job import Claimed, Job
from tomqueue.store.atomic import AtomicTransaction
from tomqueue.store.base import Ending
from tomqueue.store.limits import waits_for_limit
from tomqueue.store.rows import job_of
from tomqueue.store.schema import Tables
from tomqueue.store.sql import SqlStore
from tomqueue.store.statements import CLAIMED

__all__ = ["BorrowedAccess", "BorrowedTransaction", "Rehearsal", "Savepoint"]

T = TypeVar("T")

INSTANTS = ("run_at", "expires_at", "announced_at", "created_at", "updated_at", "parked_at", "failed_at")
SCHEDULED = ("next_run_at", "last_run_at", "paused_at")
"""Of a schedule; since when it is declared, and seen, is no matter of its ticks."""


class Rehearsal:
    """What the testing kit asks of the jobs, each on the connection that it is given."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._jobs = store.tables.jobs
        self._schedules = store.tables.schedules
        self._keys = store.tables.limit_keys

    def jobs(self, connection: Connection) -> list[Job]:
        """Read every job, in the order of their ids."""
        now = self._store.now()
        return [job_of(row, now) for row in connection.execute(select(self._jobs).order_by(self._jobs.c.id))]

    def next_time(self, connection: Connection, periodic: Collection[str]) -> datetime | None:
        """Read when the next row that waits for its time may run, or one of these schedules has its next tick.

        Parked rows wait for something else.
        """
        schedules, jobs = self._schedules.c, self._jobs.c
        scheduled = and_(self._free(), jobs.announced_at.is_(None))
        ticks = and_(schedules.name.in_(periodic), schedules.paused_at.is_(None))
        found = [
            connection.execute(select(func.min(jobs.run_at)).where(scheduled)).scalar(),
            connection.execute(select(func.min(self._keys.c.look_at))).scalar(),  # of jobs that a limit holds
        ]
        if periodic:
            found.append(connection.execute(select(func.min(schedules.next_run_at)).where(ticks)).scalar())
        return min((moment for moment in found if moment is not None), default=None)

    def advance(self, connection: Connection, by: timedelta) -> None:
        """Let so much time pass for every row that nobody runs, for every schedule, and every limit."""
        jobs, schedules, keys = self._jobs, self._schedules, self._keys
        unclaimed = select(jobs.c.id, *(jobs.c[name] for name in INSTANTS)).where(jobs.c.locked_by.is_(None))
        move(connection, unclaimed, jobs.c.id, by)
        move(connection, select(schedules.c.name, *(schedules.c[name] for name in SCHEDULED)), schedules.c.name, by)
        move(connection, select(keys.c.limit_key, keys.c.next_at, keys.c.look_at), keys.c.limit_key, by)

    def claim_next(self, connection: Connection, worker: int, token: int) -> Claimed | None:
        """Claim the row that is to run next: the most urgent, then the one that is ready longest."""
        jobs = self._jobs
        now = self._store.now()
        self._let_in(connection, now)
        ready = and_(self._free(), jobs.c.run_at <= now)
        columns = [jobs.c[name] for name in CLAIMED.split(", ")]
        order = (jobs.c.priority, func.coalesce(jobs.c.announced_at, jobs.c.run_at), jobs.c.id)
        found = connection.execute(select(*columns).where(ready).order_by(*order).limit(1)).one_or_none()
        if found is None:
            return None
        attempts = found.attempts + 1
        claim = {"locked_at": now, "locked_by": worker, "claim_token": token, "attempts": attempts}
        connection.execute(update(jobs).where(jobs.c.id == found.id).values(claim))
        return Claimed(
            id=found.id, queue=found.queue, rank=found.priority, name=found.name, payload=found.payload,
            attempts=attempts, max_attempts=found.max_attempts, run_at=found.run_at, created_at=found.created_at,
            expires_at=found.expires_at, parks=found.parks, suspect=bool(found.suspect), meta=found.meta,
            tied=bool(found.tied), token=token,
        )  # fmt: skip

    def _let_in(self, connection: Connection, now: datetime) -> None:
        """Let in what limits hold: here nobody looks, and what a test enqueues in its transaction never commits."""
        jobs, keys = self._jobs.c, self._keys.c
        held = select(jobs.limit_key).where(waits_for_limit(self._jobs), jobs.failed_at.is_(None))
        due = select(keys.limit_key).where(keys.look_at <= now)
        for key in sorted({key for found in (held, due) for key in connection.execute(found).scalars()}):
            self._store.limits.admit(connection, key)

    def finish(self, connection: Connection, ending: Ending) -> bool:
        """Let a claimed row be as its job ended; say whether it was still ours."""
        return self._store.finish_in(connection, ending)

    def _free(self) -> ColumnElement[bool]:
        jobs, queues = self._jobs.c, self._store.tables.queues.c
        paused = jobs.queue.in_(select(queues.name).where(queues.paused_at.is_not(None)))
        waits = and_(jobs.locked_by.is_(None), jobs.failed_at.is_(None), jobs.parked_at.is_(None))
        return and_(waits, not_(jobs.held), not_(paused))


def move(connection: Connection, which: Select[Any], key: Column[Any], by: timedelta) -> None:
    """Move the instants of rows, which are read behind their key, that much toward the past."""
    _, *names = which.selected_columns.keys()
    moved = [
        {"row": row, **{name: at and at - by for name, at in zip(names, found, strict=True)}}
        for row, *found in connection.execute(which)
    ]
    if moved:
        connection.execute(update(key.table).where(key == bindparam("row")), moved)


class BorrowedAccess:
    """What reaches the schedules within a transaction of somebody else's; each write is a savepoint of its own."""

    def __init__(self, store: SqlStore, connection: Connection) -> None:
        self.engine: Engine = store.engine
        self.tables: Tables = store.tables
        self.now = store.now
        self._connection = connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give the connection."""
        yield self._connection

    def look(self, work: Callable[[Any], T]) -> T:
        """Run one reading statement by the driver."""
        return work(self._connection.connection)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a savepoint."""
        with self._connection.begin_nested():
            return work(self._connection)


class BorrowedTransaction(AtomicTransaction):
    """A transaction of somebody else's, which is neither begun nor ended here: what is enqueued in it belongs to it."""

    def __init__(self, store: SqlStore, connection: Connection) -> None:
        super().__init__(store)
        self.borrowed = connection

    @property
    def keeps_others_out(self) -> bool:
        """Whether nobody else can write: what the kit writes goes into this transaction."""
        return False

    @property
    def connection(self) -> Connection:
        """The connection of that transaction."""
        return self.borrowed


class Savepoint(BorrowedTransaction):
    """The transaction of an atomic job inside another one: a savepoint, so that its failure undoes its writes only."""

    def __init__(self, store: SqlStore, connection: Connection) -> None:
        super().__init__(store, connection)
        self._savepoint: NestedTransaction | None = None
        self._joined: Session | None = None

    @property
    def connection(self) -> Connection:
        """The connection; the savepoint begins with the first use."""
        if self._savepoint is None:
            self._savepoint = self.borrowed.begin_nested()
        return self.borrowed

    def session(self) -> Session:
        """Return the Session of the savepoint; its ``commit`` only flushes, its ``rollback`` rolls the job back."""
        if self._joined is None:
            self._joined = Session(self.connection, join_transaction_mode="rollback_only")
        return self._joined

    def commit(self, ending: Ending | None) -> None:
        """Finish the row and release the savepoint. Raises ClaimLost, with nothing changed, when it is gone."""
        try:
            if self._joined is not None:
                self._joined.flush()
            connection = self.connection
            if ending is not None and not self._store.finish_in(connection, ending):
                raise ClaimLost(f"job {ending.id} was changed by its own test: its writes are rolled back")
            assert self._savepoint is not None
            self._savepoint.commit()
        finally:
            self.close()

    def close(self) -> None:
        """Roll back to the savepoint what is not released."""
        if self._joined is not None:
            self._joined.close()
        if self._savepoint is not None and self._savepoint.is_active:
            self._savepoint.rollback()
        self._joined = self._savepoint = None

    def is_to_blame_for(self, error: BaseException) -> bool:  # noqa: ARG002 - nobody else works in this transaction
        """Say that it is the job's own error."""
        return False
