"""Limits and fair sharing: which held jobs come in, in the transaction of whatever made room for them.

Nothing is counted up and down: how many jobs of a key are in is read from their rows, so that no crash can leave a
count that is wrong. Who lets jobs in has changed the key's row first and holds it until the commit: one at a time.
A row that also waits for something else than its limit must not look held by it here: ``waits_for_limit`` says which.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    case,
    false,
    func,
    literal,
    literal_column,
    not_,
    null,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from tomqueue.definition import FAIR, name_of_key
from tomqueue.job import NewJob
from tomqueue.priority import PRIORITIES
from tomqueue.store.announcing import PAYLOAD, AnnouncedRow
from tomqueue.store.commit import after_commit
from tomqueue.store.quotas import LOOK_AGAIN, Quota
from tomqueue.store.schema import Tables, counted_key
from tomqueue.store.ties import Change, Tie

__all__ = ["Limits", "waits_for_limit"]

PLANS = ("enable_seqscan", "enable_bitmapscan", "jit")
"""Settings of PostgreSQL that are switched off until the commit, which follows soon.

Without the first two a scan that there is no way around (of the workers) counts as so dear that it would be compiled.
"""
KEYS_AT_ONCE = 50
"""Keys whose jobs an enqueue lets in itself."""
PIECE = 500
UNKNOWN = 1
"""Jobs at once of a limit whose row somebody has deleted: the careful choice, and nothing stays in limbo."""


@dataclass(frozen=True, slots=True)
class Held:
    """A job that waits for its limit."""

    priority: int
    run_at: datetime
    id: int


def waits_for_limit(jobs: Table) -> ColumnElement[bool]:
    """Return the condition of a row that nothing but a limit holds."""
    return and_(jobs.c.held, jobs.c.limit_key.is_not(None), jobs.c.waits_for_step.is_(None))


class Limits(Tie):
    """Lets held jobs in, as many as their limit has room for. ``publish`` sends the news of those that it announced.

    With a broker and without ``publish`` (a supervisor, the command line) they are left to whoever announces.
    ``clock`` is the database's, as a value or an expression; ``window`` the jobs of a fair key for each slot.
    """

    def __init__(self, tables: Tables, clock: Callable[[], Any], *, window: int, has_broker: bool) -> None:
        self._tables = tables
        self._jobs = tables.jobs
        self._keys = tables.limit_keys
        self._clock = clock
        self._window = window
        self._has_broker = has_broker
        self.publish: Callable[[Sequence[AnnouncedRow]], None] | None = None

    # As a Tie -----------------------------------------------------------------------------------------

    def follow(self, connection: Connection, changes: Sequence[Change], now: datetime) -> None:
        """Hold what waits again for its time, and let others in where room was made."""
        limited = [change for change in changes if change.before.limit_key is not None]
        again = [change.before.id for change in limited if waits_again(change, now)]
        if again:
            values = {"held": true(), "announced_at": null()}
            connection.execute(update(self._jobs).where(self._jobs.c.id.in_(again)).values(values))
        ended = Counter(change.before.limit_key for change in limited if change.before.locked_by is not None)
        for key in sorted({change.before.limit_key for change in limited}):
            self.admit(connection, key, ended=ended[key])

    def enter(self, connection: Connection, jobs: Sequence[NewJob], ids: Sequence[int]) -> Mapping[int, datetime]:
        """Let in what was inserted, or what has waited longer; return the stamps of ``ids`` that came in.

        Of very many keys the looks let in most: one transaction would keep others waiting for long.
        """
        stamps: dict[int, datetime] = {}
        entering = [job for job in jobs if job.ties.get("waits_for_step") is None]  # else it comes with its turn
        keys = sorted({job.ties["limit_key"] for job in entering if "limit_key" in job.ties})
        for key in keys[:KEYS_AT_ONCE]:
            stamps.update(self.admit(connection, key, untold=ids))
        self._put_off(connection, keys[KEYS_AT_ONCE:])
        return stamps

    def _put_off(self, connection: Connection, keys: Sequence[str]) -> None:
        """Have keys looked at as soon as may be."""
        for start in range(0, len(keys), PIECE):
            piece = keys[start : start + PIECE]
            self._know(connection, piece)
            meant = self._keys.c.limit_key.in_(piece)
            connection.execute(update(self._keys).where(meant).values(look_at=self._clock()))

    # Letting in ---------------------------------------------------------------------------------------

    def look(self, connection: Connection, key: str) -> int:
        """Let in what a key has room for, unless somebody is just doing so, whom nobody waits for; return how many."""
        keys = self._keys
        row = select(keys.c.limit_key).where(keys.c.limit_key == key)
        free = connection.execute(row.with_for_update(skip_locked=True)).scalar()
        if free is None and connection.execute(row).scalar() is not None:
            return 0
        return len(self.admit(connection, key))

    def admit(
        self, connection: Connection, key: str, *, ended: int = 0, untold: Collection[int] = ()
    ) -> dict[int, datetime]:
        """Let in the most urgent due jobs of a key, as many as there is room for.

        ``ended`` is how many of the key have just ended together; the news of those in ``untold`` is the caller's to
        send. Returns the stamps of those that are ready now.
        """
        row = self._locked(connection, key)
        quota = self._quota(connection, key, row, ended)
        waiting = self._waiting(connection, key, quota.room + 1) if quota.room else []
        due = sorted((one for one in waiting if one.run_at <= row.now), key=lambda one: (one.priority, one.run_at))
        chosen = self._lock_first(connection, due, quota.room)
        slots = quota.slots(len(chosen))
        stamps = self._release(connection, chosen, slots, row.now, untold)
        later = min((one.run_at for one in waiting if one.run_at > row.now), default=None)
        look_at = quota.look_at(len(due), later)
        if len(chosen) < min(len(due), quota.room):  # somebody has locked one, and may not look at the key afterwards
            look_at = row.now + LOOK_AGAIN
        self._note(connection, key, row, quota.next_at(len(slots)), look_at)
        return stamps

    def _locked(self, connection: Connection, key: str) -> Row[Any]:
        """Change the key's row, so that nobody else lets its jobs in until our commit; read what it and its limit say.

        Changed, not only locked: a transaction at a stricter isolation level than ours fails then, as it must.
        """
        keys, limits = self._keys, self._tables.limits
        ours = keys.c.limit_key == key
        use = update(keys).where(ours).values(used_at=self._clock())
        if not connection.execute(use).rowcount:
            self._know(connection, [key])
            connection.execute(use)
        joined = keys.outerjoin(limits, limits.c.name == name_of_key(key))
        now = self._now()
        found = select(keys.c.next_at, keys.c.look_at, limits.c.name, limits.c.concurrency, limits.c.every_micros, now)
        if connection.dialect.name == "postgresql":  # which has no hints: see ``indexed``
            found = found.add_columns(*(func.set_config(name, "off", true()) for name in PLANS))
        return connection.execute(found.select_from(joined).where(ours)).one()

    def _now(self) -> ColumnElement[datetime]:
        clock = self._clock()
        if isinstance(clock, ColumnElement):
            return clock.label("now")
        return literal(clock, self._keys.c.used_at.type).label("now")

    def _know(self, connection: Connection, keys: Sequence[str]) -> None:
        """Insert the rows of keys, without minding those that are there, or that another is just inserting."""
        rows = [{"limit_key": key, "used_at": self._clock()} for key in keys]
        dialect = connection.dialect.name
        if dialect == "postgresql":
            connection.execute(postgresql.insert(self._keys).values(rows).on_conflict_do_nothing())
        elif dialect == "sqlite":
            connection.execute(sqlite.insert(self._keys).values(rows).on_conflict_do_nothing())
        else:
            connection.execute(self._keys.insert().prefix_with("IGNORE").values(rows))

    def _quota(self, connection: Connection, key: str, row: Row[Any], ended: int) -> Quota:
        counted = and_(self._of(key), not_(self._jobs.c.held))
        idle = func.coalesce(func.sum(case((self._jobs.c.locked_by.is_(None), 1), else_=0)), 0)
        taken, idle_count = connection.execute(self.indexed(select(func.count(), idle)).where(counted)).one()
        most = row.concurrency
        if name_of_key(key).endswith(FAIR):
            most = self._window * max(1, self._slots(connection, row.now)) * max(1, ended)
        elif row.name is None:
            most = UNKNOWN
        every = None if row.every_micros is None else timedelta(microseconds=row.every_micros)
        return Quota(most=most, taken=taken, idle=int(idle_count), every=every, free_at=row.next_at, now=row.now)

    def _slots(self, connection: Connection, now: datetime) -> int:
        """Count the slots of all workers that live."""
        workers = self._tables.workers.c
        alive = and_(workers.kind == "worker", workers.expires_at > now)
        return int(connection.execute(select(func.coalesce(func.sum(workers.slots), 0)).where(alive)).scalar_one())

    def _waiting(self, connection: Connection, key: str, most: int) -> list[Held]:
        """Read the held jobs of a key that are due first, at most so many of each priority: probes of the index."""
        jobs = self._jobs.c
        wanted = self.indexed(select(jobs.priority, jobs.run_at, jobs.id)).where(
            self._of(key), waits_for_limit(self._jobs)
        )
        firsts = [
            wanted.where(jobs.priority == priority).order_by(jobs.run_at).limit(most).subquery()
            for priority in PRIORITIES
        ]
        found = connection.execute(union_all(*(select(first) for first in firsts)))
        return [Held(*row) for row in found]

    def _lock_first(self, connection: Connection, due: Sequence[Held], room: int) -> list[Row[Any]]:
        """Lock the first jobs that wait, at most ``room``; those that somebody else has locked are passed over."""
        jobs = self._jobs
        columns: tuple[Any, ...] = (jobs.c.id, jobs.c.queue, jobs.c.priority, jobs.c.name, literal_column(PAYLOAD))
        chosen: list[Row[Any]] = []
        rest = [one.id for one in due]
        while rest and len(chosen) < room:
            piece, rest = rest[: room - len(chosen)], rest[room - len(chosen) :]
            meant = and_(jobs.c.id.in_(piece), waits_for_limit(jobs), jobs.c.failed_at.is_(None))
            locked = select(*columns).where(meant).order_by(jobs.c.id).with_for_update(skip_locked=True)
            found = {row.id: row for row in connection.execute(locked)}
            chosen += [found[job] for job in piece if job in found]
        return chosen

    def _release(
        self,
        connection: Connection,
        chosen: Sequence[Row[Any]],
        slots: Sequence[datetime],
        now: datetime,
        untold: Collection[int],
    ) -> dict[int, datetime]:
        """Let jobs in at these moments; return the stamps of those that are ready now."""
        if not chosen:
            return {}
        jobs = self._jobs
        at = dict(zip([row.id for row in chosen], slots, strict=True))
        ready = sorted(job for job, moment in at.items() if moment <= now)
        stamp = now if self.publish is not None or not self._has_broker else None
        let_in = {"held": false(), "parked_at": null()}
        if ready:
            connection.execute(update(jobs).where(jobs.c.id.in_(ready)).values({**let_in, "announced_at": stamp}))
        for job in sorted(set(at) - set(ready)):
            values = {**let_in, "announced_at": null(), "run_at": at[job]}
            connection.execute(update(jobs).where(jobs.c.id == job).values(values))
        if stamp is None:
            return {}
        told = set(ready).difference(untold)
        news = [AnnouncedRow(stamp, *tuple(row)) for row in chosen if row.id in told]
        if self.publish is not None and news:
            after_commit(connection, partial(self.publish, news))
        return dict.fromkeys(ready, stamp)

    def _note(
        self, connection: Connection, key: str, row: Row[Any], next_at: datetime | None, look_at: datetime | None
    ) -> None:
        """Write down when the key is to be looked at although no job ends, and the next free moment of its rate."""
        if (next_at, look_at) != (row.next_at, row.look_at):
            ours = self._keys.c.limit_key == key
            connection.execute(update(self._keys).where(ours).values(next_at=next_at, look_at=look_at))

    # Conditions ---------------------------------------------------------------------------------------

    def counted(self) -> ColumnElement[bool]:
        """Return the condition of rows that count in any limit: that of the partial index."""
        if "counted_key" in self._jobs.c:
            return self._jobs.c.counted_key.is_not(None)
        jobs = self._jobs.c
        return and_(jobs.limit_key.is_not(None), jobs.failed_at.is_(None), jobs.waits_for_step.is_(None))

    def _of(self, key: str) -> ColumnElement[bool]:
        return and_(counted_key(self._jobs) == key, self.counted())

    def indexed(self, statement: Select[Any]) -> Select[Any]:
        """Keep optimizers from another index than that of the limits.

        A hundred thousand rows of one key in the statistics would talk them into reading the whole table.
        """
        index = f"{self._jobs.name}_limited"
        for dialect in ("mysql", "mariadb"):
            statement = statement.with_hint(self._jobs, f"FORCE INDEX ({index})", dialect)
        return statement.with_hint(self._jobs, f"INDEXED BY {index}", "sqlite")


def waits_again(change: Change, now: datetime) -> bool:
    """Say whether a row that was in waits from now on for its time, for a worker that can read it, or for its turn.

    One that is given back is not: its place is its own until it has ended.
    """
    before, after = change.before, change.after
    if after is None or after.held or after.failed_at is not None or after.locked_by is not None:
        return False
    return bool(after.run_at > now or after.parked_at is not None or before.failed_at is not None)
