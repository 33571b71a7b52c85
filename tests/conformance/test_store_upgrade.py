"""Conformance of migrations: tables that an older version made become those of this one, with their rows."""

import pytest
from sqlalchemy import inspect, text

from tests.conformance.jobs import insert, new, take, want
from tomqueue.errors import SchemaError
from tomqueue.job import State
from tomqueue.store.catalog import Catalog
from tomqueue.store.migrate import check_schema, installed_version, migrate
from tomqueue.store.schema import SCHEMA_VERSION
from tomqueue.store.sql import SqlStore


def make_first_version(store: SqlStore, version: int = 1) -> None:
    """Turn fresh tables into those of version 1."""
    with store.writing() as connection:
        for column in ("cancelled_at", "tied", "result_ttl", "keep_completed"):
            connection.execute(text(f"ALTER TABLE {store.jobs} DROP COLUMN {column}"))
        for table in (store.tables.results, store.tables.history, store.tables.errors, store.tables.checkpoints):
            table.drop(connection)
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


def test_an_interrupted_upgrade_goes_on(store: SqlStore) -> None:
    """MySQL commits each change of a table by itself: the column may be there while the version is not."""
    with store.writing() as connection:
        connection.execute(store.tables.version.update().values(version=1))
    assert migrate(store.engine, store.tables) == (1, SCHEMA_VERSION)
    assert migrate(store.engine, store.tables) == (SCHEMA_VERSION, SCHEMA_VERSION)
