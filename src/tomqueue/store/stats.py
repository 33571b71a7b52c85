"""Counters of what was done, by minute and queue."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, delete, select, update

from tomqueue.store.schema import Tables
from tomqueue.store.transactions import Transactions

__all__ = ["StatsRow", "StatsTable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsRow:
    """What was done in one minute in one queue."""

    minute: datetime
    queue: str
    finished: int
    retried: int
    failed: int


class StatsTable:
    """The counters, for those who add to them and those who read them."""

    def __init__(self, store: Transactions, tables: Tables) -> None:
        self._store = store
        self._table = tables.stats

    def add(self, rows: Sequence[StatsRow]) -> None:
        """Add counters to those of their minute."""
        self._store.write(lambda connection: self._add_all(connection, rows))

    def prune(self, before: datetime, limit: int) -> int:
        """Delete counters of minutes before ``before``, oldest first; return how many, about ``limit`` at most."""
        table = self._table
        oldest = select(table.c.minute).where(table.c.minute < before).order_by(table.c.minute).limit(limit)
        with self._store.reading() as connection:
            minutes = connection.execute(oldest).scalars().all()
        if not minutes:
            return 0
        gone = delete(table).where(table.c.minute <= minutes[-1])
        return self._store.write(lambda connection: connection.execute(gone).rowcount)

    def since(self, since: datetime) -> list[StatsRow]:
        """Read the counters of every minute since ``since``, oldest first."""
        table = self._table
        with self._store.reading() as connection:
            found = connection.execute(select(table).where(table.c.minute >= since).order_by(table.c.minute))
            return [StatsRow(**row._mapping) for row in found]  # noqa: SLF001 - public in SQLAlchemy

    def _add_all(self, connection: Connection, rows: Sequence[StatsRow]) -> None:
        table = self._table
        for row in rows:
            if not self._add_to_minute(connection, row):
                connection.execute(table.insert().values(asdict(row)))

    def _add_to_minute(self, connection: Connection, row: StatsRow) -> int:
        table = self._table
        same = and_(table.c.minute == row.minute, table.c.queue == row.queue)
        counters = {name: table.c[name] + getattr(row, name) for name in ("finished", "retried", "failed")}
        return connection.execute(update(table).where(same).values(counters)).rowcount
