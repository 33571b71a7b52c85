"""The tables."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    text,
)

from tomqueue.priority import PRIORITIES
from tomqueue.store.columns import INNODB, MYSQL, Instant, identity, key, long_text
from tomqueue.store.tables_of_kept import checkpoints_table, errors_table, history_table, results_table
from tomqueue.store.tables_of_limits import LIMIT_KEY, limit_keys_table, limits_table
from tomqueue.store.tables_of_workflows import steps_table, workflows_table

__all__ = ["SCHEMA_VERSION", "UNANNOUNCED", "UNIQUE_HELD", "Tables", "counted_key", "tables"]

SCHEMA_VERSION = 10


@dataclass(frozen=True)
class Tables:
    """TomQueue's tables under one prefix and schema."""

    metadata: MetaData
    jobs: Table
    workers: Table
    queues: Table
    stats: Table
    schedules: Table
    workflows: Table
    steps: Table
    limits: Table
    limit_keys: Table
    results: Table
    history: Table
    errors: Table
    checkpoints: Table
    version: Table


COUNTED = "limit_key IS NOT NULL AND failed_at IS NULL AND waits_for_step IS NULL"
"""Rows that a limit lets in, or has let in: not those whose turn in a workflow has not come."""
UNANNOUNCED = "announced_at IS NULL AND failed_at IS NULL AND NOT held"
UNIQUE_HELD = "unique_lock IS NOT NULL"
"""Which rows the unique index is over; MySQL's is over all, and takes no two NULLs for the same."""


def tables(prefix: str, schema: str | None, dialect: str) -> Tables:
    """Describe the tables for ``dialect`` (SQLAlchemy's name of it)."""
    metadata = MetaData(schema=schema)
    return Tables(
        metadata,
        jobs_table(f"{prefix}_jobs", metadata, dialect),
        workers_table(f"{prefix}_workers", metadata),
        queues_table(f"{prefix}_queues", metadata),
        stats_table(f"{prefix}_stats", metadata),
        schedules_table(f"{prefix}_schedules", metadata),
        workflows_table(f"{prefix}_workflows", metadata),
        steps_table(f"{prefix}_steps", metadata),
        limits_table(f"{prefix}_limits", metadata),
        limit_keys_table(f"{prefix}_limit_keys", metadata),
        results_table(f"{prefix}_results", metadata),
        history_table(f"{prefix}_history", metadata),
        errors_table(f"{prefix}_errors", metadata),
        checkpoints_table(f"{prefix}_checkpoints", metadata),
        Table(f"{prefix}_schema", metadata, Column("version", Integer, nullable=False), **INNODB),
    )


def jobs_table(name: str, metadata: MetaData, dialect: str) -> Table:
    """Describe the jobs."""
    table = Table(
        name,
        metadata,
        *job_columns(),
        sqlite_autoincrement=True,
        postgresql_with={
            "fillfactor": "80",
            "autovacuum_vacuum_scale_factor": "0.01",
            "autovacuum_vacuum_threshold": "1000",
            "autovacuum_vacuum_cost_delay": "0",
        },
        **INNODB,
    )
    index_jobs(table, dialect)
    return table


def job_columns() -> list[Column[Any]]:
    """Describe a job's columns."""
    return [
        Column("id", identity(), primary_key=True, autoincrement=True),
        Column("queue", key(100), nullable=False),
        Column("priority", SmallInteger, nullable=False),
        Column("name", key(200), nullable=False),
        Column("payload", long_text(), nullable=False),
        Column("meta", long_text()),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("max_attempts", Integer),
        Column("run_at", Instant, nullable=False),
        Column("expires_at", Instant),
        Column("announced_at", Instant),
        Column("created_at", Instant, nullable=False),
        Column("updated_at", Instant, nullable=False),
        Column("locked_at", Instant),
        Column("locked_by", BigInteger),
        Column("claim_token", BigInteger),
        Column("crashes", Integer, nullable=False, server_default="0"),
        Column("suspect", Boolean, nullable=False, server_default=text("false")),
        Column("parked_at", Instant),
        Column("parks", Integer, nullable=False, server_default="0"),
        Column("held", Boolean, nullable=False, server_default=text("false")),
        Column("failed_at", Instant),
        Column("last_error", long_text()),
        Column("unique_key", key(200)),
        Column("unique_until", key(10)),
        Column("unique_expires_at", Instant),
        Column("unique_lock", key(32)),
        Column("cancelled_at", Instant),
        Column("tied", Boolean, nullable=False, server_default=text("false")),
        Column("workflow", BigInteger),
        Column("step", Integer),
        Column("waits_for_step", Integer),
        Column("limit_key", key(LIMIT_KEY)),
        Column("result_ttl", BigInteger),  # microseconds
        Column("keep_completed", BigInteger),  # microseconds; 0: for good
    ]


def index_jobs(table: Table, dialect: str) -> None:
    """Attach the indexes. What a claim writes is in none of them, nor in the condition of one.

    But for ``unique_lock``, which it changes in the rows of unique jobs only.
    """
    name = table.name
    held = text(UNIQUE_HELD)
    Index(f"{name}_unique", table.c.unique_lock, unique=True, postgresql_where=held, sqlite_where=held)
    if dialect in MYSQL:  # no partial indexes there: a generated column is NULL for the rows to leave out
        due = f"CASE WHEN {UNANNOUNCED} THEN run_at END"
        table.append_column(Column("due_at", Instant, Computed(due, persisted=False)))
        Index(f"{name}_due", table.c.priority, table.c.due_at)
        Index(f"{name}_ready", table.c.queue, table.c.priority, table.c.announced_at, table.c.id)
        counted = f"CASE WHEN {COUNTED} THEN limit_key END"
        table.append_column(Column("counted_key", key(LIMIT_KEY), Computed(counted, persisted=False)))
        Index(f"{name}_limited", *limited(table))
        return
    partial_index(f"{name}_due", UNANNOUNCED, table.c.priority, table.c.run_at)
    announced = "announced_at IS NOT NULL"
    partial_index(f"{name}_ready", announced, table.c.queue, table.c.priority, table.c.announced_at, table.c.id)
    partial_index(f"{name}_failed", "failed_at IS NOT NULL", table.c.failed_at)
    partial_index(f"{name}_limited", COUNTED, *limited(table))


def counted_key(table: Table) -> Column[Any]:
    """Return the column that finds the rows of a limit's key: NULL, where there are no partial indexes, for others."""
    return table.c.get("counted_key", table.c.limit_key)


def limited(table: Table) -> list[Column[Any]]:
    """Return the index of a limit: first the rows that it has let in, then those it holds, as it lets them in."""
    return [counted_key(table), table.c.held, table.c.priority, table.c.run_at]


def partial_index(name: str, condition: str, *columns: Column[Any]) -> None:
    """Attach an index over the rows that fulfil ``condition``."""
    Index(name, *columns, postgresql_where=text(condition), sqlite_where=text(condition))


def workers_table(name: str, metadata: MetaData) -> Table:
    """Describe the leases: one row for each start of a worker process."""
    return Table(
        name,
        metadata,
        Column("id", BigInteger, primary_key=True, autoincrement=False),
        Column("name", key(200), nullable=False),
        Column("supervisor", BigInteger, nullable=False),
        Column("kind", key(20), nullable=False),
        Column("queues", long_text(), nullable=False),
        Column("slots", Integer, nullable=False),
        Column("first_rank", Integer, nullable=False, server_default=str(PRIORITIES.start)),
        Column("last_rank", Integer, nullable=False, server_default=str(PRIORITIES[-1])),
        Column("started_at", Instant, nullable=False),
        Column("expires_at", Instant, nullable=False),
        **INNODB,
    )


def queues_table(name: str, metadata: MetaData) -> Table:
    """Describe the queues that anything was ever enqueued into."""
    return Table(
        name,
        metadata,
        Column("name", key(100), primary_key=True),
        Column("created_at", Instant, nullable=False),
        Column("paused_at", Instant),
        **INNODB,
    )


def stats_table(name: str, metadata: MetaData) -> Table:
    """Describe the counters of what was done, by minute and queue."""
    return Table(
        name,
        metadata,
        Column("minute", Instant, primary_key=True),
        Column("queue", key(100), primary_key=True),
        Column("finished", BigInteger, nullable=False, server_default="0"),
        Column("retried", BigInteger, nullable=False, server_default="0"),
        Column("failed", BigInteger, nullable=False, server_default="0"),
        **INNODB,
    )


def schedules_table(name: str, metadata: MetaData) -> Table:
    """Describe the periodic jobs: one row each, so few that a look reads them all."""
    return Table(
        name,
        metadata,
        Column("name", key(200), primary_key=True),
        Column("cron", key(200)),
        Column("timezone", key(200)),
        Column("every_micros", BigInteger),
        Column("misfire", key(20), nullable=False),
        Column("next_run_at", Instant, nullable=False),
        Column("last_run_at", Instant),
        Column("paused_at", Instant),
        Column("declared_at", Instant, nullable=False),
        Column("seen_at", Instant, nullable=False),
        **INNODB,
    )
