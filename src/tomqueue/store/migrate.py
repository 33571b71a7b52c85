"""Create and upgrade the tables, and say which version the database has."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, Inspector, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex, CreateTable, DropIndex, ExecutableDDLElement

from tomqueue.errors import SchemaError, StoreUnavailable
from tomqueue.store.migrations import STEPS
from tomqueue.store.migrations.add_column import AddColumn
from tomqueue.store.schema import SCHEMA_VERSION, Tables

__all__ = ["check_schema", "installed_version", "migrate", "statements"]

ADVISORY_KEY = 0x746F6D71  # "tomq": two migrations of one database take turns


def installed_version(connection: Connection, tables: Tables) -> int | None:
    """Return the version of the tables in the database; None when there are none."""
    version = tables.version
    if not inspect(connection).has_table(version.name, schema=version.schema):
        return None
    found: int | None = connection.execute(select(version.c.version)).scalar()
    return found


def check_schema(connection: Connection, tables: Tables) -> None:
    """Raise SchemaError unless the tables have the version that this TomQueue needs."""
    version = installed_version(connection, tables)
    if version is None:
        raise SchemaError(f"the table {tables.jobs} does not exist: run `tomqueue migrate`")
    if version < SCHEMA_VERSION:
        raise SchemaError(
            f"the tables have version {version}, this TomQueue needs {SCHEMA_VERSION}: run `tomqueue migrate`"
        )
    if version > SCHEMA_VERSION:
        raise SchemaError(
            f"the tables have version {version}, this TomQueue knows {SCHEMA_VERSION}: "
            "install the newer TomQueue that made them"
        )


def migrate(engine: Engine, tables: Tables) -> tuple[int | None, int]:
    """Bring the tables to this version; return the versions before and after. Two at once take turns."""
    try:
        with engine.connect().execution_options(tomqueue_write=True) as connection, connection.begin():
            with taking_turns(connection):
                before = installed_version(connection, tables)
                if before is not None and before > SCHEMA_VERSION:
                    check_schema(connection, tables)
                found = inspect(connection)
                for statement in pending(tables, before):
                    if not is_there(found, statement):
                        connection.execute(statement)
                    if isinstance(statement, DropIndex):
                        found.clear_cache()
                connection.execute(tables.version.delete())
                connection.execute(tables.version.insert().values(version=SCHEMA_VERSION))
    except DBAPIError as error:
        raise StoreUnavailable(f"the migration of {engine.url!r} did not happen: {error.orig}") from error
    return before, SCHEMA_VERSION


def is_there(found: Inspector, statement: ExecutableDDLElement) -> bool:
    """Say whether an index or a column existed already: MySQL keeps what an interrupted migration made.

    And it has no IF NOT EXISTS for them. Each table is read once.
    """
    if isinstance(statement, AddColumn):
        table, name = statement.column.table, statement.column.name
        return any(one["name"] == name for one in found.get_columns(table.name, schema=table.schema))
    if not isinstance(statement, CreateIndex):
        return False
    index = statement.element
    assert index.table is not None
    return any(one["name"] == index.name for one in found.get_indexes(index.table.name, schema=index.table.schema))


def pending(tables: Tables, before: int | None) -> Iterator[ExecutableDDLElement]:
    """Return the statements that lead from version ``before`` to this one."""
    if before is None:
        for table in tables.metadata.sorted_tables:
            yield CreateTable(table, if_not_exists=True)
            for index in sorted(table.indexes, key=lambda index: str(index.name)):
                yield CreateIndex(index)
        return
    for version in range(before + 1, SCHEMA_VERSION + 1):
        yield from STEPS[version](tables)


def statements(engine: Engine, tables: Tables) -> list[str]:
    """Return the SQL of a fresh installation, for people who run migrations themselves."""
    made = [str(statement.compile(dialect=engine.dialect)).strip() for statement in pending(tables, None)]
    name = engine.dialect.identifier_preparer.format_table(tables.version)
    return [*made, f"INSERT INTO {name} (version) VALUES ({SCHEMA_VERSION})"]


@contextmanager
def taking_turns(connection: Connection) -> Iterator[None]:
    """Hold the database's own lock for migrations (SQLite: the write transaction is one)."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_KEY})
    if dialect not in {"mysql", "mariadb"}:
        yield
        return
    connection.execute(text("SELECT GET_LOCK(:name, 60)"), {"name": "tomqueue migrate"})
    try:
        yield
    finally:
        connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": "tomqueue migrate"})
