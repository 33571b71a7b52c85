"""The limits of the database: what each says, how its keys stand, and the change of one by a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Table, and_, case, func, not_, select, update

from tomqueue.definition import FAIR, name_of_key
from tomqueue.errors import JobNotFound
from tomqueue.store.limit_terms import have_looked_at, micros
from tomqueue.store.schema import Tables, counted_key
from tomqueue.store.sql import SqlStore

__all__ = ["LimitRow", "LimitTable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRow:
    """A key of a limit, or of the fair sharing of a queue, and how many of its jobs are where."""

    name: str
    """The job's, or of a queue its name and ``/fair``."""
    key: str | None
    """None: all its jobs count together."""
    concurrency: int | None
    every: timedelta | None
    """One start in so long."""
    changed: bool
    """Whether a person has changed what the application declares."""
    running: int = 0
    let_in: int = 0
    """Jobs that may start: ready, or at their moment of the rate."""
    waiting: int = 0
    """Held jobs, also those whose time has not come."""

    @property
    def is_fair(self) -> bool:
        """Whether it is the share of a tenant, and no limit."""
        return self.name.endswith(FAIR)


class LimitTable:
    """The limits for people and programs."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._tables: Tables = store.tables
        self._jobs: Table = store.tables.jobs
        self._limits: Table = store.tables.limits

    def all(self) -> list[LimitRow]:
        """Read every limit, by name: a row for each key that has jobs, and one for a limit that has none."""
        return self._rows(None)

    def of(self, limit_key: str) -> LimitRow:
        """Read how one key stands."""
        return self._rows(limit_key)[0]

    def set(self, name: str, *, concurrency: int | None = None, every: timedelta | None = None) -> None:
        """Change what a limit says, until it is reset or declared otherwise. What is None stays. Raises JobNotFound."""
        values: dict[str, Any] = {}
        if concurrency is not None:
            values["concurrency"] = concurrency
        if every is not None:
            values["every_micros"] = micros(every)
        self._change(name, values)

    def reset(self, name: str) -> None:
        """Let a limit say again what the application declares. Raises JobNotFound."""
        column = self._limits.c
        declared = {"concurrency": column.declared_concurrency, "every_micros": column.declared_every_micros}
        self._change(name, declared)

    def _change(self, name: str, values: dict[str, Any]) -> None:
        statement = update(self._limits).where(self._limits.c.name == name).values(values)
        if not self._store.write(lambda connection: connection.execute(statement).rowcount):
            with self._store.reading() as connection:
                names = ", ".join(
                    connection.execute(select(self._limits.c.name).order_by(self._limits.c.name)).scalars()
                )
            raise JobNotFound(f"no limit is called {name!r}; known limits: {names or 'none yet'}")
        keys, now = self._tables.limit_keys, self._store.now()
        self._store.write(lambda connection: have_looked_at(connection, keys, name, now))

    def _rows(self, limit_key: str | None) -> list[LimitRow]:
        jobs = self._jobs.c
        counted = and_(jobs.limit_key.is_not(None), jobs.failed_at.is_(None))
        if limit_key is not None:
            counted = and_(counted, counted_key(self._jobs) == limit_key)
        running, held = jobs.locked_by.is_not(None), jobs.held
        numbers = [number(running), number(and_(not_(held), not_(running))), number(and_(held, not_(running)))]
        found = select(jobs.limit_key, *numbers).where(counted).group_by(jobs.limit_key)
        with self._store.reading() as connection:
            limits = {row.name: row for row in connection.execute(select(self._limits))}
            counts = {key: [int(count) for count in rest] for key, *rest in connection.execute(found)}
        if limit_key is not None:
            counts.setdefault(limit_key, [0, 0, 0])
            return [row_of(limit_key, limits, counts[limit_key])]
        idle = set(limits) - {name_of_key(key) for key in counts}
        return [row_of(key, limits, counts.get(key, [0, 0, 0])) for key in sorted({*counts, *idle})]


def number(condition: Any) -> Any:
    """Return the expression that counts rows which fulfil a condition."""
    return func.sum(case((condition, 1), else_=0))


def row_of(limit_key: str, limits: dict[str, Any], counts: Sequence[int]) -> LimitRow:
    """Return a key as an object."""
    name = name_of_key(limit_key)
    said = limits.get(name)
    running, let_in, waiting = counts
    return LimitRow(
        name=name,
        key=limit_key.removeprefix(f"{name}:") if limit_key != name else None,
        concurrency=None if said is None else said.concurrency,
        every=None if said is None or said.every_micros is None else timedelta(microseconds=said.every_micros),
        changed=said is not None and terms(said) != (said.declared_concurrency, said.declared_every_micros),
        running=running, let_in=let_in, waiting=waiting,
    )  # fmt: skip


def terms(said: Any) -> tuple[int | None, int | None]:
    """Return what is in force."""
    return said.concurrency, said.every_micros
