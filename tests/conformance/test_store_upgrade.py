"""Conformance of migrations: tables that an older version made become those of this one, with their rows."""

import pytest
from sqlalchemy import bindparam, inspect, text

from tests.conformance.jobs import insert, new, take, want
from tomqueue.errors import SchemaError
from tomqueue.job import State, Unique
from tomqueue.priority import PRIORITIES
from tomqueue.store.catalog import Catalog
from tomqueue.store.columns import Instant
from tomqueue.store.leases import Leases
from tomqueue.store.migrate import check_schema, installed_version, migrate
from tomqueue.store.schema import SCHEMA_VERSION
from tomqueue.store.sql import SqlStore

ADDED = {
    "jobs": (
        "cancelled_at",
        "tied",
        "workflow",
        "step",
        "counted_key",
        "waits_for_step",
        "limit_key",
        "result_ttl",
        "keep_completed",
        "unique_until",
        "unique_expires_at",
        "unique_lock",
    ),
    "workers": ("first_rank", "last_rank"),
}
"""Columns that tables of version 1 did not have."""
ADDED_TABLES = ("workflows", "steps", "limits", "limit_keys", "results", "history", "errors", "checkpoints")


def make_first_version(store: SqlStore, version: int = 1) -> None:
    """Turn fresh tables into those of version 1."""
    jobs = store.tables.jobs
    added = [index for index in jobs.indexes if str(index.name).endswith(("_limited", "_unique"))]
    with store.writing() as connection:
        for index in added:
            index.drop(connection)
        for table, columns in ADDED.items():
            for column in columns:  # in this order: what is computed goes before what it is computed from
                if table == "jobs" and column not in jobs.c:
                    continue
                connection.execute(text(f"ALTER TABLE tomqueue_{table} DROP COLUMN {column}"))
        for name in ADDED_TABLES:
            connection.execute(text(f"DROP TABLE tomqueue_{name}"))
        connection.execute(store.tables.version.update().values(version=version))


def shape(store: SqlStore) -> dict[str, str]:
    """Return the columns of every table and their types."""
    found = inspect(store.engine)
    return {
        f"{table}.{column['name']}": str(column["type"])
        for table in found.get_table_names()
        for column in found.get_columns(table)
    }


def test_the_first_version_is_brought_up_to_date(store: SqlStore, catalog: Catalog) -> None:
    """The tables are those of a fresh installation, the rows are as they were, and claimed ones can be cancelled."""
    fresh = shape(store)
    running, waiting = insert(store, new("a"), new("b"))
    take(store, want(limit=1, worker=5), 7)
    make_first_version(store)
    with store.reading() as connection, pytest.raises(SchemaError, match=r"version 1.*tomqueue migrate"):
        check_schema(connection, store.tables)
    assert migrate(store.engine, store.tables) == (1, SCHEMA_VERSION)
    with store.reading() as connection:
        assert installed_version(connection, store.tables) == SCHEMA_VERSION
    assert shape(store) == fresh
    assert [catalog.get(job).state for job in (running, waiting)] == [State.RUNNING, State.READY]
    assert catalog.cancel(running).cancelled_at is not None
    assert catalog.get(waiting).cancelled_at is None
    indexes = inspect(store.engine).get_indexes("tomqueue_jobs")
    assert {index["name"]: index["unique"] for index in indexes}["tomqueue_jobs_unique"]
    first, second = (store.insert([new(unique=Unique("k"))])[0] for _ in range(2))
    assert second.id == first.id


def test_a_worker_of_an_older_version_serves_all_priorities(store: SqlStore) -> None:
    """Its lease does not say."""
    make_first_version(store)
    now = store.now()
    with store.writing() as connection:
        words = "id, name, supervisor, kind, queues, slots, started_at, expires_at"
        statement = (
            f"INSERT INTO {store.tables.workers.name} ({words}) VALUES (1, 'old', 2, 'worker', '*', 1, :now, :now)"
        )
        connection.execute(text(statement).bindparams(bindparam("now", now, type_=Instant)))
    migrate(store.engine, store.tables)
    (old,) = Leases(store).all()
    assert (old.first_rank, old.last_rank) == (PRIORITIES.start, PRIORITIES[-1])


def test_what_waits_for_a_workflow_leaves_the_index_of_its_limit(store: SqlStore) -> None:
    """Version 9 had it there; which rows the index is over is the same as of a fresh installation afterwards."""
    fresh = terms_of_the_limited(store)
    with store.writing() as connection:
        for statement in AS_OF_VERSION_9[store.engine.dialect.name]:
            connection.execute(text(statement))
        connection.execute(store.tables.version.update().values(version=9))
    assert terms_of_the_limited(store) != fresh
    assert migrate(store.engine, store.tables) == (9, SCHEMA_VERSION)
    assert terms_of_the_limited(store) == fresh
    assert any(index["name"] == LIMITED for index in inspect(store.engine).get_indexes("tomqueue_jobs"))


LIMITED = "tomqueue_jobs_limited"
BEFORE = "limit_key IS NOT NULL AND failed_at IS NULL"
REMADE = [
    f"DROP INDEX {LIMITED}",
    f"CREATE INDEX {LIMITED} ON tomqueue_jobs (limit_key, held, priority, run_at) WHERE {BEFORE}",
]
TYPE = "VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
COMPUTED = f"GENERATED ALWAYS AS (CASE WHEN {BEFORE} THEN limit_key END) VIRTUAL"
AS_OF_VERSION_9 = {
    "sqlite": REMADE,
    "postgresql": REMADE,
    "mysql": [f"ALTER TABLE tomqueue_jobs MODIFY COLUMN counted_key {TYPE} {COMPUTED}"],
}


def terms_of_the_limited(store: SqlStore) -> str:
    """Return what the database says of the rows that the index of limits is over."""
    looks = {
        "sqlite": f"SELECT sql FROM sqlite_master WHERE name = '{LIMITED}'",
        "postgresql": f"SELECT indexdef FROM pg_indexes WHERE indexname = '{LIMITED}'",
        "mysql": "SELECT generation_expression FROM information_schema.columns "
        "WHERE table_schema = database() AND table_name = 'tomqueue_jobs' AND column_name = 'counted_key'",
    }
    with store.reading() as connection:
        return " ".join(str(connection.execute(text(looks[store.engine.dialect.name])).scalar_one()).split())


def test_an_interrupted_upgrade_goes_on(store: SqlStore) -> None:
    """MySQL commits each change of a table by itself: the column may be there while the version is not."""
    with store.writing() as connection:
        connection.execute(store.tables.version.update().values(version=1))
    assert migrate(store.engine, store.tables) == (1, SCHEMA_VERSION)
    assert migrate(store.engine, store.tables) == (SCHEMA_VERSION, SCHEMA_VERSION)
