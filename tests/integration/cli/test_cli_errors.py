"""How the command behaves when something is wrong: one line, an exit code, no traceback, no password."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tomqueue import TomQueue
from tomqueue.cli.main import command

SECRET = "hunter2"


def test_the_version_is_told(cli: Any) -> None:
    """It comes from the installed package."""
    assert cli.bare("--version").startswith("tomqueue 0.")


def test_without_an_application_the_command_says_how_to_name_one(cli: Any) -> None:
    """A database alone is enough to look at jobs, not to run them."""
    cli.bare("jobs", "list", code=2)
    assert "--app package.module:tq" in cli.stderr
    assert "TOMQUEUE_APP" in cli.stderr
    assert len(cli.stderr.splitlines()) == 1
    cli.bare("--database-url", f"sqlite:///{cli.folder}/jobs.db", "run", code=2)
    assert "this needs the jobs that it declares" in cli.stderr


def test_the_application_or_the_database_may_come_from_the_environment(cli: Any, tq: TomQueue) -> None:
    """TOMQUEUE_APP and TOMQUEUE_DATABASE_URL; a database on the command line goes before TOMQUEUE_APP."""
    url = tq.settings.database_url
    assert cli.bare("jobs", "list", TOMQUEUE_APP=cli.app) == "no such jobs\n"
    assert cli.bare("jobs", "list", TOMQUEUE_DATABASE_URL=url) == "no such jobs\n"
    assert cli.bare("--database-url", url, "jobs", "list", TOMQUEUE_APP="nowhere:tq") == "no such jobs\n"
    cli.bare("--app", cli.app, "--database-url", url, "jobs", "list", code=2)
    assert "both given" in cli.stderr


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql:/user:{SECRET}@host/db",
        f"postgresql//user:{SECRET}/@host/db",
        f"oracle://user:{SECRET}@host/db",
        f"postgresql+nodriver://user:a:{SECRET}@host/db",
        f"oracle://host/db?user=me&password={SECRET}",
        f"postgresql+psycopg://user:{SECRET}@127.0.0.1:1/db",
    ],
)
def test_a_password_is_never_shown(cli: Any, url: str) -> None:
    """Not in an error about the URL, not in one of the driver, not in a traceback."""
    cli.bare("--log-level", "debug", "--database-url", url, "jobs", "list", code=1 if "127" in url else 2)
    assert "tomqueue: " in cli.stderr
    assert SECRET not in cli.stderr


def test_a_database_that_is_not_there_is_not_made_by_looking(cli: Any) -> None:
    """A mistyped path is an error, not an empty database."""
    cli.bare("--database-url", "sqlite:///typo.db", "jobs", "list", code=1)
    assert cli.stderr == ("tomqueue: there is no database typo.db: check the URL, or let `tomqueue migrate` make it\n")
    assert not Path("typo.db").exists()


@pytest.mark.parametrize("command_line", [["jobs", "list"], ["migrate"]])
def test_a_file_that_is_no_database_is_told(cli: Any, command_line: Sequence[str]) -> None:
    """SQLite's own words, in one line."""
    Path("notes.txt").write_text("these are notes\n" * 100)
    cli.bare("--database-url", "sqlite:///notes.txt", *command_line, code=1)
    assert "file is not a database" in cli.stderr
    assert len(cli.stderr.splitlines()) == 1


def test_a_newer_schema_is_refused_by_every_command(cli: Any, tq: TomQueue) -> None:
    """The cure is the newer TomQueue; nothing is changed."""
    with sqlite3.connect(cli.folder / "jobs.db") as connection:
        connection.execute("UPDATE tomqueue_schema SET version = 99")
    connection.close()
    tq.close()
    for arguments in (("jobs", "list"), ("migrate",), ("stats",)):
        cli(*arguments, code=1)
        assert "version 99" in cli.stderr
        assert "install the newer TomQueue" in cli.stderr
    assert '"name": "tables"' in cli("check", "--json", code=1)


def test_a_traceback_comes_only_when_it_is_asked_for(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody expected is one line, too, and says how to see more."""
    monkeypatch.setattr("tomqueue.cli.target.load_app", lambda _: 1 / 0)
    cli("jobs", "list", code=1)
    assert cli.stderr == ("tomqueue: unexpected ZeroDivisionError: division by zero (see --log-level debug)\n")
    cli("--log-level", "debug", "jobs", "list", code=1)


def test_debug_shows_the_traceback(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """--log-level debug is for whoever mends it."""
    monkeypatch.setattr("tomqueue.cli.target.load_app", lambda _: 1 / 0)
    cli.bare("--log-level", "debug", "--app", cli.app, "jobs", "list", code=1)
    assert "Traceback (most recent call last)" in cli.stderr


def test_nothing_asked_for_is_answered_with_help() -> None:
    """The help of a group lists its commands."""
    result = CliRunner().invoke(command, ["jobs"])
    assert "retry" in result.output
    help_text = CliRunner().invoke(command, ["--help"]).output
    assert all(name in help_text for name in ("migrate", "check", "jobs", "queues", "workers", "stats", "explain"))


def test_a_reader_that_goes_away_is_no_error(cli: Any, tq: TomQueue) -> None:
    """``tomqueue jobs list | head`` ends without a word."""
    resize: Any = tq.registry.find("resize")
    tq.enqueue_many([resize.prepare(f"{number}.png") for number in range(3000)])
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "tomqueue", "--app", cli.app, "jobs", "list", "--limit", "0", "--json"],
        stdout=writer,
        stderr=subprocess.PIPE,
        cwd=cli.folder,
    )
    os.close(writer)
    os.read(reader, 100)
    os.close(reader)
    assert process.communicate()[1] == b""
