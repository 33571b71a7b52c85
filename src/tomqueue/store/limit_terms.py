"""What limits say, as the application declares it: written once by each process that declares or enqueues."""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection, Table, select, update

from tomqueue.definition import Limit
from tomqueue.store.schema import Tables

__all__ = ["declare", "have_looked_at", "micros"]

PIECE = 500


def declare(connection: Connection, tables: Tables, limits: Collection[Limit], now: datetime) -> None:
    """Write limits that are new here, or are declared otherwise than before. Safe to repeat.

    What a person has changed stays until then: a declaration that is the same changes nothing.
    """
    table = tables.limits
    known = dict(said(connection, table, [limit.name for limit in limits]))
    for limit in limits:
        declared = (limit.concurrency, micros(limit.every))
        if known.get(limit.name) == declared:
            continue
        concurrency, every = declared
        values = {
            "concurrency": concurrency, "every_micros": every,
            "declared_concurrency": concurrency, "declared_every_micros": every,
        }  # fmt: skip
        if limit.name in known:
            connection.execute(update(table).where(table.c.name == limit.name).values(values))
            have_looked_at(connection, tables.limit_keys, limit.name, now)
        else:
            connection.execute(table.insert().values(name=limit.name, **values))


def have_looked_at(connection: Connection, keys: Table, name: str, now: datetime) -> None:
    """Have every key of a limit looked at within a second: it may have room now."""
    own = (keys.c.limit_key == name) | keys.c.limit_key.startswith(f"{name}:", autoescape=True)
    connection.execute(update(keys).where(own).values(look_at=now))


def said(connection: Connection, table: Table, names: list[str]) -> Iterator[tuple[str, tuple[int | None, int | None]]]:
    """Read what limits were declared as, by name."""
    column = table.c
    wanted = select(column.name, column.declared_concurrency, column.declared_every_micros)
    for start in range(0, len(names), PIECE):
        piece = wanted.where(column.name.in_(names[start : start + PIECE]))
        for name, concurrency, every in connection.execute(piece):
            yield name, (concurrency, every)


def micros(every: timedelta | None) -> int | None:
    """Return a span as its column holds it."""
    return None if every is None else every // timedelta(microseconds=1)
