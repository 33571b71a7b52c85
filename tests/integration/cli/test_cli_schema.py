"""``tomqueue migrate`` on a real database."""

import sqlite3
from typing import Any

import pytest

from tomqueue.cli.commands.schema import told
from tomqueue.store.schema import SCHEMA_VERSION


def test_migrate_makes_the_tables_once(cli: Any) -> None:
    """It says what it did, and that there is nothing left to do."""
    assert cli("migrate").endswith(f"jobs.db: created the tables (version {SCHEMA_VERSION})\n")
    assert cli("migrate").endswith(f"jobs.db: nothing to do, the tables have version {SCHEMA_VERSION}\n")
    assert cli.json("migrate")["to"] == SCHEMA_VERSION
    assert cli("jobs", "list") == "no such jobs\n"


def test_the_sql_of_a_migration_makes_the_same_tables(cli: Any) -> None:
    """What --sql prints can be run by hand; printing it makes no file."""
    sql = cli("migrate", "--sql")
    assert not (cli.folder / "jobs.db").exists()
    connection = sqlite3.connect(cli.folder / "jobs.db")
    connection.executescript(sql)
    connection.close()
    assert cli.json("migrate")["from"] == SCHEMA_VERSION
    assert cli("queues", "list").startswith("no queues")


@pytest.mark.parametrize(
    ("url", "type_name"),
    [
        ("postgresql+psycopg://u:p@nowhere.invalid/db", "TIMESTAMP WITH TIME ZONE"),
        ("mysql://u:p@nowhere.invalid/db", "DATETIME(6)"),
    ],
)
def test_the_sql_is_that_of_the_database(cli: Any, url: str, type_name: str) -> None:
    """Nothing is connected for it."""
    assert type_name in cli.bare("--database-url", url, "migrate", "--sql")


def test_a_migration_tells_from_which_version_to_which() -> None:
    """The three things that can happen."""
    assert told(None, 2) == "created the tables (version 2)"
    assert told(1, 2) == "upgraded the tables from version 1 to 2"
    assert told(2, 2) == "nothing to do, the tables have version 2"
