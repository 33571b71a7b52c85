"""The tables. Native types on servers; SQLite keeps instants as integer microseconds since 1970, in UTC."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

__all__ = ["EPOCH", "SCHEMA_VERSION", "UNANNOUNCED", "Instant", "Tables", "from_micros", "tables", "to_micros"]

SCHEMA_VERSION = 5
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def to_micros(instant: datetime) -> int:
    """Return microseconds since 1970 of an aware datetime."""
    return (instant - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the aware UTC datetime of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=micros)


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime with microseconds, in each database's best form."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the native column type of ``dialect``."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        if dialect.name in {"mysql", "mariadb"}:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Turn an aware datetime into what the column stores."""
        if value is None:
            return None
        if dialect.name == "sqlite":
            return to_micros(value)
        if dialect.name in {"mysql", "mariadb"}:
            return value.astimezone(UTC).replace(tzinfo=None)
        return value

    def process_result_value(
        self,
        value: datetime | int | None,
        dialect: Dialect,  # noqa: ARG002 - the value tells
    ) -> datetime | None:
        """Turn what the column stores into an aware datetime."""
        if value is None:
            return None
        if isinstance(value, int):
            return from_micros(value)
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# names and keys compare byte by byte on every database: MySQL's default would call "A" and "a" the same queue
def key(length: int) -> String:
    """Return the type of a name or key: compared byte by byte."""
    plain = String(length)
    return plain.with_variant(mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


def long_text() -> Text:
    """Return the type of a payload or an error text (MySQL's TEXT would stop at 64 kB)."""
    return Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


def identity() -> BigInteger:
    """Return the type of a 64-bit key that the database gives out."""
    return BigInteger().with_variant(Integer(), "sqlite")


@dataclass(frozen=True)
class Tables:
    """TomQueue's tables under one prefix and schema."""

    metadata: MetaData
    jobs: Table
    workers: Table
    queues: Table
    stats: Table
    schedules: Table
    results: Table
    history: Table
    errors: Table
    checkpoints: Table
    version: Table


UNANNOUNCED = "announced_at IS NULL AND failed_at IS NULL AND NOT held"
MYSQL = {"mysql", "mariadb"}


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
        results_table(f"{prefix}_results", metadata),
        history_table(f"{prefix}_history", metadata),
        errors_table(f"{prefix}_errors", metadata),
        checkpoints_table(f"{prefix}_checkpoints", metadata),
        Table(f"{prefix}_schema", metadata, Column("version", Integer, nullable=False), **INNODB),
    )


INNODB: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in MYSQL
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"))
}


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
        Column("cancelled_at", Instant),
        Column("tied", Boolean, nullable=False, server_default=text("false")),
        Column("result_ttl", BigInteger),  # microseconds
        Column("keep_completed", BigInteger),  # microseconds; 0: for good
    ]


def index_jobs(table: Table, dialect: str) -> None:
    """Attach the indexes. What a claim writes is in none of them, nor in the condition of one."""
    name = table.name
    if dialect in MYSQL:  # no partial indexes there: a generated column is NULL for the rows to leave out
        due = f"CASE WHEN {UNANNOUNCED} THEN run_at END"
        table.append_column(Column("due_at", Instant, Computed(due, persisted=False)))
        Index(f"{name}_due", table.c.priority, table.c.due_at)
        Index(f"{name}_ready", table.c.queue, table.c.priority, table.c.announced_at, table.c.id)
        return
    partial_index(f"{name}_due", UNANNOUNCED, table.c.priority, table.c.run_at)
    announced = "announced_at IS NOT NULL"
    partial_index(f"{name}_ready", announced, table.c.queue, table.c.priority, table.c.announced_at, table.c.id)
    partial_index(f"{name}_failed", "failed_at IS NOT NULL", table.c.failed_at)


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


def key_of_job() -> Column[Any]:
    """Return the key of a table that has a row for each of some jobs, also when the job itself is gone."""
    return Column("job_id", BigInteger, primary_key=True, autoincrement=False)


def results_table(name: str, metadata: MetaData) -> Table:
    """Describe how the jobs ended that have a ``result_ttl``."""
    return Table(
        name,
        metadata,
        key_of_job(),
        Column("name", key(200), nullable=False),
        Column("state", key(20), nullable=False),
        Column("value", long_text()),
        Column("error", long_text()),
        Column("finished_at", Instant, nullable=False),
        Column("expires_at", Instant, nullable=False),
        Index(f"{name}_expiry", "expires_at"),
        **INNODB,
    )


def history_table(name: str, metadata: MetaData) -> Table:
    """Describe the jobs that succeeded and have a ``keep_completed``."""
    return Table(
        name,
        metadata,
        key_of_job(),
        Column("queue", key(100), nullable=False),
        Column("priority", SmallInteger, nullable=False),
        Column("name", key(200), nullable=False),
        Column("payload", long_text(), nullable=False),
        Column("meta", long_text()),
        Column("attempts", Integer, nullable=False),
        Column("created_at", Instant, nullable=False),
        Column("started_at", Instant),
        Column("finished_at", Instant, nullable=False),
        Column("expires_at", Instant),
        Column("worker", key(200)),
        Index(f"{name}_expiry", "expires_at"),
        **INNODB,
    )


def errors_table(name: str, metadata: MetaData) -> Table:
    """Describe the errors of attempts: at most as many of a job as there are places."""
    return Table(
        name,
        metadata,
        key_of_job(),
        Column("place", SmallInteger, primary_key=True, autoincrement=False),
        Column("attempt", Integer, nullable=False),
        Column("raised_at", Instant, nullable=False),
        Column("worker", key(200)),
        Column("error", long_text(), nullable=False),
        **INNODB,
    )


def checkpoints_table(name: str, metadata: MetaData) -> Table:
    """Describe how far jobs have come: for themselves (``value``, JSON), and for people (``done`` of ``total``)."""
    return Table(
        name,
        metadata,
        key_of_job(),
        Column("value", long_text()),
        Column("done", Float(53)),
        Column("total", Float(53)),
        Column("updated_at", Instant, nullable=False),
        **INNODB,
    )
