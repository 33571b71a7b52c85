"""Leases of worker processes, and how the rows of a dead one become free."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Table,
    Update,
    bindparam,
    case,
    false,
    null,
    select,
    true,
    update,
)

from tomqueue.priority import PRIORITIES
from tomqueue.store.rows import FREED
from tomqueue.store.sql import SqlStore

__all__ = ["Fate", "Freed", "Held", "Leases", "WorkerRow"]

SCAN_PIECE = 20_000
DEAD = "dead"
LEADER = 0
"""Id of the row that says which deferred process leads; its ``supervisor`` is the leader's own id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """A worker process as the leases table knows it. ``name`` is for people, ``id`` decides."""

    id: int
    name: str
    supervisor: int
    kind: str
    queues: str
    slots: int
    started_at: datetime
    expires_at: datetime
    first_rank: int = PRIORITIES.start
    last_rank: int = PRIORITIES[-1]
    """The most and the least urgent priority that it serves."""


class Fate(Enum):
    """What becomes of a row whose worker process is dead."""

    REFUND = "refund"
    """It had not started, or was cut short on purpose: the attempt is given back."""
    SUSPECT = "suspect"
    """It ran beside others when the process died: refunded, and claimed alone the next time."""
    CRASHED = "crashed"
    """It ran alone when the process died: charged; failed after too many crashes in a row."""
    OVERRAN = "overran"
    """The process was killed because this job ran too long: charged like any failed attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freed:
    """One row to free, by its fate. ``run_at`` is when an overrun job may run again."""

    id: int
    fate: Fate
    used_up: bool = False
    """Whether this was the job's last attempt."""
    error: str | None = None
    run_at: datetime | None = None


class Held(NamedTuple):
    """A claimed row."""

    id: int
    worker: int
    token: int


class Leases:
    """The leases table. All arithmetic is in the database's clock."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._workers: Table = store.tables.workers
        self._jobs: Table = store.tables.jobs

    def register(self, worker: WorkerRow) -> None:
        """Write the row of a worker that is about to start. Safe to repeat."""
        table = self._workers

        def work(connection: Connection) -> None:
            connection.execute(table.delete().where(table.c.id == worker.id))
            connection.execute(table.insert().values(asdict(worker)))

        self._store.write(work)

    def renew(self, supervisor: int, lease: float) -> set[int]:
        """Renew the leases of a supervisor's workers; return their ids. One that was taken over stays as it is."""
        table = self._workers
        expires_at = self._store.now() + timedelta(seconds=lease)
        ours = (table.c.supervisor == supervisor) & (table.c.kind != DEAD)

        def work(connection: Connection) -> set[int]:
            connection.execute(update(table).where(ours).values(expires_at=expires_at))
            return set(connection.execute(select(table.c.id).where(ours)).scalars())

        return self._store.write(work)

    def remove(self, worker: int) -> None:
        """Delete the row of a worker whose jobs are free."""
        self._count(self._workers.delete().where(self._workers.c.id == worker))

    def all(self) -> list[WorkerRow]:
        """Read every lease, oldest first."""
        workers = select(self._workers).where(self._workers.c.id != LEADER).order_by(self._workers.c.started_at)
        found = self._store.read(lambda connection: connection.execute(workers).all())
        return [WorkerRow(**row._mapping) for row in found]  # noqa: SLF001 - public in SQLAlchemy

    def expired(self) -> list[WorkerRow]:
        """Read the leases that are over."""
        now = self._store.now()
        return [worker for worker in self.all() if worker.expires_at < now]

    def bury(self, worker: int, lease: float, *, known_dead: bool = False) -> bool:
        """Take over an expired lease, or that of a worker which is known to be dead.

        False when it was renewed or taken over meanwhile. One that was taken over a full ``lease`` ago and is
        still there may be taken over again: its reaper died.
        """
        now = self._store.now()
        table = self._workers
        over = true() if known_dead else table.c.expires_at < now
        values = {"kind": DEAD, "expires_at": now + timedelta(seconds=lease)}
        return self._count(update(table).where((table.c.id == worker) & over).values(values)) == 1

    def lead(self, leader: int, lease: float) -> bool:
        """Become or stay the leader of the deferred processes; False while another one is."""
        now = self._store.now()
        table = self._workers
        values = {"supervisor": leader, "expires_at": now + timedelta(seconds=lease)}
        mine = (table.c.id == LEADER) & ((table.c.supervisor == leader) | (table.c.expires_at < now))
        first = {"id": LEADER, "name": "leader", "kind": "leader", "queues": "", "slots": 0, "started_at": now}

        def work(connection: Connection) -> bool:
            if connection.execute(update(table).where(mine).values(values)).rowcount:
                return True
            if connection.execute(select(table.c.id).where(table.c.id == LEADER)).scalar() is not None:
                return False
            connection.execute(table.insert().values({**first, **values}))
            return True

        return self._store.write(work)

    def resign(self, leader: int) -> None:
        """Let another one lead at once."""
        table = self._workers
        self._count(table.delete().where((table.c.id == LEADER) & (table.c.supervisor == leader)))

    def free(self, worker: int, rows: Sequence[Freed], max_crashes: int) -> list[int]:
        """Free rows of a dead process by key; return the ids that this made ready again. Safe to repeat."""
        return self._store.write(lambda connection: self._free(connection, worker, rows, max_crashes))

    def _free(self, connection: Connection, worker: int, rows: Sequence[Freed], max_crashes: int) -> list[int]:
        held = self._held(connection, worker, [row.id for row in rows])
        rows = [row for row in rows if row.id in held]
        refunds = {fate: [row.id for row in rows if row.fate is fate] for fate in (Fate.REFUND, Fate.SUSPECT)}
        for fate, ids in refunds.items():
            suspect = {"suspect": true()} if fate is Fate.SUSPECT else {}
            self._change(connection, worker, ids, attempts=self._jobs.c.attempts - 1, **suspect)
        for row in rows:
            if row.fate not in refunds:
                self._keep_error(connection, worker, row)
                self._change(connection, worker, [row.id], **self._charge(row, max_crashes))
        return self._ready(connection, [row.id for row in rows])

    def _held(self, connection: Connection, worker: int, ids: Sequence[int]) -> set[int]:
        jobs = self._jobs
        ours = jobs.c.id.in_(ids) & (jobs.c.locked_by == worker)
        return set(connection.execute(select(jobs.c.id).where(ours)).scalars())

    def unannounce(self, ids: Sequence[int]) -> int:
        """Let rows that nobody claimed be announced again; return how many."""
        jobs = self._jobs
        unclaimed = jobs.c.id.in_(ids) & jobs.c.locked_by.is_(None) & jobs.c.failed_at.is_(None)
        return self._count(update(jobs).where(unclaimed).values(announced_at=None))

    def _count(self, statement: Update | Delete) -> int:
        """Run one statement; return how many rows it changed."""
        return self._store.write(lambda connection: connection.execute(statement).rowcount)

    def free_all(self, worker: int) -> int:
        """Free every row of a worker whose host is lost; return how many. Nobody knows which ran: all are suspect."""
        values: dict[str, Any] = {"attempts": self._jobs.c.attempts - 1, "suspect": true(), "announced_at": null()}
        freed = 0
        for ids in self._held_by(worker):
            freed += self._store.write(partial(self._change, worker=worker, ids=ids, **values))
        return freed

    def orphans(self) -> list[int]:
        """Return the ids of workers that hold rows and have no lease: a claim may commit after its burial."""
        leased = select(self._workers.c.id)
        found: set[int] = set()
        for rows in self._scan(self._jobs.c.locked_by.not_in(leased)):
            found.update(worker for _, worker, _ in rows)
        return sorted(found)

    def held_by(self, workers: Sequence[int]) -> list[Held]:
        """Return the rows that workers hold: id, worker, token."""
        return [Held(*row) for rows in self._scan(self._jobs.c.locked_by.in_(workers)) for row in rows]

    def _held_by(self, worker: int) -> Iterator[list[int]]:
        for rows in self._scan(self._jobs.c.locked_by == worker):
            yield [job for job, _, _ in rows]

    def _scan(self, condition: ColumnElement[bool]) -> Iterator[Sequence[Any]]:
        """Read locked rows by ranges of the key: what a claim writes is in no index. Locks nothing."""
        last: int | None = 0
        while last is not None:
            rows, last = self._store.read(partial(self._piece, condition, last))
            if rows:
                yield rows

    def _piece(
        self, condition: ColumnElement[bool], last: int, connection: Connection
    ) -> tuple[Sequence[Any], int | None]:
        """Read the next piece after the key ``last``; return its locked rows, and its end (None: of the table)."""
        jobs = self._jobs
        end = connection.execute(
            select(jobs.c.id).where(jobs.c.id > last).order_by(jobs.c.id).offset(SCAN_PIECE - 1).limit(1)
        ).scalar()
        piece = jobs.c.id > last if end is None else jobs.c.id.between(last + 1, end)
        wanted = select(jobs.c.id, jobs.c.locked_by, jobs.c.claim_token)
        return connection.execute(wanted.where(piece, jobs.c.locked_by.is_not(None), condition)).all(), end

    def _change(self, connection: Connection, worker: int, ids: Sequence[int], **values: Any) -> int:
        if not ids:
            return 0
        ours = self._jobs.c.id.in_(ids) & (self._jobs.c.locked_by == worker)
        return self._store.let_go(connection, ours, {**FREED, "updated_at": self._store.now(), **values})

    def _keep_error(self, connection: Connection, worker: int, row: Freed) -> None:
        if row.error is not None:
            ours = (self._jobs.c.id == row.id) & (self._jobs.c.locked_by == worker)
            self._store.errors.keep(connection, ours, row.error, self._store.now())

    def _charge(self, row: Freed, max_crashes: int) -> dict[str, Any]:
        now = self._store.now()
        if row.fate is Fate.OVERRAN:
            failed = {"failed_at": now} if row.used_up else {"run_at": row.run_at}
            return {**failed, "announced_at": None, "crashes": 0, "suspect": false(), "last_error": row.error}
        crashes = self._jobs.c.crashes + 1
        lost = true() if row.used_up else crashes >= max_crashes
        return {
            "crashes": crashes,
            "last_error": row.error,
            "failed_at": case((lost, bindparam(None, now, type_=self._jobs.c.failed_at.type))),
            "announced_at": case((lost, null()), else_=self._jobs.c.announced_at),
        }

    def _ready(self, connection: Connection, ids: Sequence[int]) -> list[int]:
        jobs = self._jobs
        ready = (jobs.c.failed_at.is_(None), jobs.c.locked_by.is_(None), jobs.c.run_at <= self._store.now())
        return list(connection.execute(select(jobs.c.id).where(jobs.c.id.in_(ids), *ready)).scalars())
