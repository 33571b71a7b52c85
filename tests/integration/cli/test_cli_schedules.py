"""``tomqueue schedules`` on an application, and on its database alone."""

import importlib
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.harness import work
from tomqueue import TomQueue

PERIODIC = """
@tq.job(name="report", cron="0 3 * * *", timezone="Europe/Berlin", queue="reports")
def report() -> None:
    pass

@tq.job(name="sync", every=600, misfire="all")
def sync() -> None:
    pass
"""


@pytest.fixture
def tq(cli: Any) -> Iterator[TomQueue]:
    """Give an application with two periodic jobs; no worker has started yet."""
    module = cli.app.removesuffix(":tq")
    with (cli.folder / f"{module}.py").open("a") as file:
        file.write(PERIODIC)
    sys.modules.pop(module, None)
    app: TomQueue = importlib.import_module(module).tq
    app.tools()
    yield app
    app.close()


def test_schedules_are_listed(cli: Any, tq: TomQueue) -> None:
    """What is declared, from the first; what the database has as well, once a worker has started."""
    lines = cli("schedules", "list").splitlines()
    assert lines[0].split() == ["NAME", "WHEN", "MISFIRE", "STATE", "NEXT", "LAST"]
    assert lines[1].split() == ["report", "0", "3", "*", "*", "*", "Europe/Berlin", "once", "new"]
    assert lines[2].split() == ["sync", "every", "10", "min", "all", "new"]
    work(tq)
    report, sync = cli.json("schedules", "list")
    assert (report["name"], report["cron"], report["timezone"]) == ("report", "0 3 * * *", "Europe/Berlin")
    assert (report["state"], report["every"], report["paused_at"]) == ("active", None, None)
    assert (sync["name"], sync["every"], sync["misfire"], sync["cron"]) == ("sync", 600.0, "all", None)
    assert sync["next_run_at"] > sync["seen_at"]
    assert "UTC" in cli("schedules", "list").splitlines()[1]


def test_a_schedule_is_run_now(cli: Any, tq: TomQueue) -> None:
    """The job is like that of a tick, and its row says which schedule made it."""
    assert cli("schedules", "run", "report") == "enqueued report as job 1\n"
    assert cli.json("schedules", "run", "sync", "report") == {"enqueued": {"sync": 2, "report": 3}}
    shown = cli("jobs", "show", "1")
    assert '{"schedule":"report","tick":"' in shown
    assert "reports" in shown
    assert cli("schedules", "run", "send", code=3) == ""
    assert "no periodic job of this application is called 'send'; there are: report, sync" in cli.stderr


def test_a_schedule_is_paused_and_resumed(cli: Any, tq: TomQueue) -> None:
    """With words for people and with JSON for programs; a name that is not there changes nothing more."""
    assert cli("schedules", "pause", "report") == "paused report\n"
    assert cli.json("schedules", "list")[0]["state"] == "paused"
    assert cli("schedules", "list").splitlines()[1].split()[-1] == "paused"
    assert cli("schedules", "resume", "report") == "resumed report\n"
    assert cli.json("schedules", "pause", "report", "sync") == {"paused": ["report", "sync"]}
    assert cli.json("schedules", "resume", "sync") == {"resumed": ["sync"]}
    assert [row["state"] for row in cli.json("schedules", "list")] == ["paused", "active"]
    cli("schedules", "pause", "nightly", code=3)
    assert "no schedule is called 'nightly'; known schedules: report, sync" in cli.stderr


def test_a_database_is_enough_to_look_and_to_pause(cli: Any, tq: TomQueue) -> None:
    """To run one, the application is needed: it alone knows the job."""
    url = f"sqlite:///{cli.folder}/jobs.db"
    assert cli.bare("--database-url", url, "schedules", "list").startswith("no schedules: ")
    work(tq)
    assert "every 10 min" in cli.bare("--database-url", url, "schedules", "list")
    assert cli.bare("--database-url", url, "schedules", "pause", "sync") == "paused sync\n"
    cli.bare("--database-url", url, "schedules", "run", "sync", code=2)
    assert "no application" in cli.stderr
    cli.bare("--database-url", f"sqlite:///{cli.folder}/none.db", "schedules", "list", code=1)
    assert not (cli.folder / "none.db").exists()


def test_an_older_database_is_not_changed(cli: Any, tq: TomQueue) -> None:
    """SQLite, too: the tables of another version wait for ``tomqueue migrate``."""
    with tq.tools().store.writing() as connection:
        tq.tools().store.tables.schedules.drop(connection)
        connection.exec_driver_sql("UPDATE tomqueue_schema SET version = 1")
    tq.close()
    cli("schedules", "list", code=1)
    assert "run `tomqueue migrate`" in cli.stderr
    cli("workoff", code=1)
    assert "upgraded the tables from version 1 to" in cli("migrate")
    assert cli.json("schedules", "list")[0]["state"] == "new"


def overdue(cli: Any, *, code: int, **options: Any) -> list[tuple[str, str]]:
    """Return what the doctor says of schedules, as level and text with its cure."""
    found = cli.json("doctor", code=code, **options)["findings"]
    return [(one["level"], f"{one['text']} → {one['cure']}") for one in found if one["name"] == "schedules"]


def test_doctor_names_schedules_that_nobody_enqueues(cli: Any, tq: TomQueue) -> None:
    """Since when, why, and what to do; a paused one is left alone."""
    work(tq)
    assert overdue(cli, code=0) == [("ok", "no periodic job is overdue → None")]
    store = tq.tools().store
    table, now = store.tables.schedules, store.now()

    def write(name: str, due: timedelta, seen: timedelta) -> None:
        values = {"next_run_at": now - due, "seen_at": now - seen}
        store.write(lambda connection: connection.execute(table.update().where(table.c.name == name).values(values)))

    write("report", due=timedelta(seconds=50), seen=timedelta())
    assert [level for level, _ in overdue(cli, code=0)] == ["ok"]
    write("report", due=timedelta(hours=3), seen=timedelta(hours=4))
    write("sync", due=timedelta(minutes=5), seen=timedelta(seconds=30))
    (report, of_report), (sync, of_sync) = overdue(cli, code=1)
    assert (report, sync) == ("problem", "problem")
    assert of_report.startswith("report has been due since ")
    assert "(3 h ago) and nobody enqueues it: no worker that declares it has been seen since " in of_report
    assert of_report.endswith("(4 h ago) → start `tomqueue run` with the application that declares it")
    assert "although a worker knows it → see the log" in of_sync
    tq.schedules.pause("report")
    tq.schedules.pause("sync")
    assert [level for level, _ in overdue(cli, code=0)] == ["ok"]


def test_doctor_warns_of_schedules_that_the_application_does_not_declare(cli: Any, tq: TomQueue) -> None:
    """A deploy may have taken the job away: no problem of this application's."""
    work(tq)
    store = tq.tools().store
    table, long_ago = store.tables.schedules, store.now() - timedelta(hours=1)
    values = {"name": "old", "next_run_at": long_ago, "seen_at": long_ago}
    renamed = table.update().where(table.c.name == "sync").values(values)
    store.write(lambda connection: connection.execute(renamed))
    ((level, text),) = overdue(cli, code=0)
    assert level == "warning"
    assert "old has been due since" in text
    assert "this application does not declare it → start the application that does" in text
