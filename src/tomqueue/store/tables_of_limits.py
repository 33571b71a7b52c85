"""The tables of limits."""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table

from tomqueue.store.columns import INNODB, Instant, key

__all__ = ["LIMIT_KEY", "limit_keys_table", "limits_table"]

LIMIT_KEY = 200
"""Characters of a limit's key."""


def limits_table(name: str, metadata: MetaData) -> Table:
    """Describe what limits say: in force, and as they were declared. A row for each job that is limited."""
    return Table(
        name,
        metadata,
        Column("name", key(200), primary_key=True),
        Column("concurrency", Integer),
        Column("every_micros", BigInteger),
        Column("declared_concurrency", Integer),
        Column("declared_every_micros", BigInteger),
        **INNODB,
    )


def limit_keys_table(name: str, metadata: MetaData) -> Table:
    """Describe the keys of limits: who changes one's row lets its jobs in, one at a time.

    ``next_at`` is the next free moment of a rate, ``look_at`` when somebody is to look although no job has ended.
    """
    table = Table(
        name,
        metadata,
        Column("limit_key", key(LIMIT_KEY), primary_key=True),
        Column("next_at", Instant),
        Column("look_at", Instant),
        Column("used_at", Instant, nullable=False),
        **INNODB,
    )
    Index(f"{name}_look", table.c.look_at)
    return table
