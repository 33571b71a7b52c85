"""The tables of what is kept of a job: each keyed by its id."""

from typing import Any

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, SmallInteger, Table

from tomqueue.store.columns import INNODB, Instant, key, long_text

__all__ = ["checkpoints_table", "errors_table", "history_table", "results_table"]


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
