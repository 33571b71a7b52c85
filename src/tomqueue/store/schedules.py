"""The periodic jobs of the database: when each runs next, and the one transaction that enqueues a tick.

Any number of processes may look and tick at once: the tick belongs to whoever changes the row that still says it.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, Row, Table, bindparam, case, delete, select, update

from tomqueue.definition import Misfire, Schedule, Turn
from tomqueue.errors import JobNotFound
from tomqueue.store.columns import Instant
from tomqueue.store.schema import Tables

__all__ = ["SEEN_EVERY", "Access", "ScheduleRow", "ScheduleState", "ScheduleTable"]

T = TypeVar("T")

SEEN_EVERY = 60.0
"""Seconds after which a worker says again that it declares its schedules: one write for all workers."""
UNATTENDED_AFTER = timedelta(minutes=5)
"""A schedule that no worker has spoken of for so long has none that would enqueue it."""
FORGOTTEN_AFTER = timedelta(days=30)
"""The row of a schedule that no worker has spoken of for so long goes, unless a person has paused it."""


class ScheduleState(StrEnum):
    """What a schedule does."""

    ACTIVE = "active"
    """A worker enqueues it at its next tick."""
    PAUSED = "paused"
    """A person has stopped it; what would be due meanwhile is left out."""
    UNATTENDED = "unattended"
    """No worker that declares it has been seen for a while."""
    NEW = "new"
    """The application declares it, and no worker has started with it yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRow:
    """A schedule as it was when it was read. Times are aware and in UTC."""

    name: str
    """The job's."""
    state: ScheduleState
    cron: str | None = None
    timezone: str | None = None
    every: timedelta | None = None
    misfire: str
    next_run_at: datetime | None = None
    last_run_at: datetime | None = None
    """The last tick that became a job."""
    paused_at: datetime | None = None
    declared_at: datetime | None = None
    """Since when it says what it says."""
    seen_at: datetime | None = None
    """When a worker that declares it was last seen, to a minute."""

    @property
    def schedule(self) -> Schedule:
        """The ticks. Raises ValueError for a policy that is none."""
        return Schedule(cron=self.cron, timezone=self.timezone, every=self.every, misfire=Misfire(self.misfire))

    @classmethod
    def undeclared(cls, name: str, schedule: Schedule) -> "ScheduleRow":
        """Return what is known of a schedule that has no row yet."""
        return cls(
            name=name, state=ScheduleState.NEW, cron=schedule.cron, timezone=schedule.timezone, every=schedule.every,
            misfire=schedule.misfire,
        )  # fmt: skip


class Access(Protocol):
    """How the table is reached: by a store, whose methods these are, or within somebody's transaction."""

    @property
    def engine(self) -> Engine:
        """Whose dialect the statements are in."""
        ...

    @property
    def tables(self) -> Tables:
        """The tables."""
        ...

    def now(self) -> datetime:
        """Return the database's clock."""
        ...

    def reading(self) -> AbstractContextManager[Connection]:
        """Open what only reads."""
        ...

    def look(self, work: Callable[[Any], T]) -> T:
        """Run one reading statement by the driver."""
        ...

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` as a whole or not at all."""
        ...


class ScheduleTable:
    """The table of schedules."""

    def __init__(self, store: Access) -> None:
        self._store = store
        self._table: Table = store.tables.schedules
        self._name = store.engine.dialect.identifier_preparer.format_table(self._table)

    def all(self) -> list[ScheduleRow]:
        """Read every schedule, by name."""
        now = self._store.now()
        with self._store.reading() as connection:
            found = connection.execute(select(self._table).order_by(self._table.c.name))
            return [row_of(row, now) for row in found]

    def get(self, name: str) -> ScheduleRow:
        """Read one. Raises JobNotFound."""
        now = self._store.now()
        with self._store.reading() as connection:
            row = connection.execute(select(self._table).where(self._table.c.name == name)).one_or_none()
            if row is None:
                names = ", ".join(sorted(connection.execute(select(self._table.c.name)).scalars())) or "none yet"
                raise JobNotFound(f"no schedule is called {name!r}; known schedules: {names}")
        return row_of(row, now)

    # For workers --------------------------------------------------------------------------------------

    def upcoming(self) -> list[tuple[datetime, str]]:
        """Read when each schedule that is not paused runs next, the soonest first; workers ask once a second."""

        def work(link: Any) -> list[tuple[Any, str]]:
            with closing(link.cursor()) as cursor:
                cursor.execute(f"SELECT next_run_at, name FROM {self._name} WHERE paused_at IS NULL")
                return [(moment, name) for moment, name in cursor.fetchall()]

        dialect, instant = self._store.engine.dialect, Instant()
        found = [(instant.process_result_value(moment, dialect), name) for moment, name in self._store.look(work)]
        return sorted((moment, name) for moment, name in found if moment is not None)

    def declare(self, declared: Mapping[str, Schedule], ahead: timedelta = timedelta()) -> None:
        """Write the schedules that are new here or say something else than their rows. Safe to repeat.

        What changed goes on from now; a tick that is due already stays. In a test whose rows were moved toward the
        past the clock that ticks are computed from is ``ahead`` by so much.
        """
        now = self._store.now()
        known = {row.name: terms_of(row) for row in self.all()}
        changed = {name: one for name, one in sorted(declared.items()) if known.get(name) != terms_of(one)}

        def work(connection: Connection) -> None:
            for name, schedule in changed.items():
                self._declare(connection, name, schedule, now, schedule.after(now + ahead, now + ahead) - ahead)

        if changed:
            self._store.write(work)
        self.seen(declared)

    def _declare(self, connection: Connection, name: str, schedule: Schedule, now: datetime, first: datetime) -> None:
        table = self._table
        due = (table.c.next_run_at <= now, table.c.next_run_at)
        following = case(due, else_=bindparam(None, first, type_=table.c.next_run_at.type))
        values = {**terms_of(schedule), "declared_at": now, "seen_at": now}
        changed = update(table).where(table.c.name == name).values(**values, next_run_at=following)
        if not connection.execute(changed).rowcount:
            connection.execute(table.insert().values(name=name, next_run_at=first, **values))

    def seen(self, names: Collection[str]) -> None:
        """Say that a worker declares these; forget what none has declared for long."""
        now = self._store.now()
        column = self._table.c
        stale = column.name.in_(names) & (column.seen_at < now - timedelta(seconds=SEEN_EVERY))
        gone = (column.seen_at < now - FORGOTTEN_AFTER) & column.paused_at.is_(None)

        def work(connection: Connection) -> None:
            connection.execute(update(self._table).where(stale).values(seen_at=now))
            connection.execute(delete(self._table).where(gone))

        self._store.write(work)

    def tick(self, row: ScheduleRow, turn: Turn, enqueue: Callable[[Connection], object]) -> bool:
        """Move a schedule on and enqueue what its turn says, in one transaction.

        False, and nothing is done, when another process did, or somebody paused or changed the schedule.
        """
        column = self._table.c
        ours = (
            (column.name == row.name) & (column.next_run_at == row.next_run_at)
            & (column.declared_at == row.declared_at) & column.paused_at.is_(None)
        )  # fmt: skip
        values: dict[str, Any] = {"next_run_at": turn.following}
        if turn.ticks:
            values["last_run_at"] = turn.ticks[-1]

        def work(connection: Connection) -> bool:
            if not connection.execute(update(self._table).where(ours).values(values)).rowcount:
                return False
            if turn.ticks:
                enqueue(connection)
            return True

        return self._store.write(work)

    # For people ---------------------------------------------------------------------------------------

    def pause(self, name: str) -> None:
        """Enqueue no further tick of a schedule. Raises JobNotFound."""
        self._change(name, paused_at=self._store.now())

    def resume(self, name: str) -> None:
        """Go on with the first tick from now; those of the pause are left out. Raises JobNotFound."""
        row = self.get(name)
        if row.paused_at is not None and row.next_run_at is not None:
            following = row.schedule.after(self._store.now(), row.next_run_at)
            self._change(name, paused_at=None, next_run_at=following)

    def _change(self, name: str, **values: Any) -> None:
        statement = update(self._table).where(self._table.c.name == name).values(values)
        if not self._store.write(lambda connection: connection.execute(statement).rowcount):
            self.get(name)


def terms_of(one: Schedule | ScheduleRow) -> dict[str, Any]:
    """Return what a schedule says, as its row has it."""
    return {
        "cron": one.cron,
        "timezone": one.timezone,
        "every_micros": None if one.every is None else one.every // timedelta(microseconds=1),
        "misfire": str(one.misfire),
    }


def row_of(row: Row[Any], now: datetime) -> ScheduleRow:
    """Return a row as an object."""
    values = dict(row._mapping)  # noqa: SLF001 - public in SQLAlchemy, in spite of its name
    micros = values.pop("every_micros")
    state = ScheduleState.ACTIVE
    if row.paused_at is not None:
        state = ScheduleState.PAUSED
    elif now - row.seen_at > UNATTENDED_AFTER:
        state = ScheduleState.UNATTENDED
    return ScheduleRow(state=state, every=None if micros is None else timedelta(microseconds=micros), **values)
