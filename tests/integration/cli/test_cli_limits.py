"""``tomqueue limits`` on an application, and what other commands say of held jobs."""

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tomqueue import TomQueue

LIMITED = """
@tq.job(name="sync", concurrency=1, concurrency_key=lambda account: account)
def sync(account: int) -> None:
    pass

@tq.job(name="ping", rate="100/min")
def ping() -> None:
    pass

@tq.job(name="load", fair_key=lambda tenant: tenant)
def load(tenant: str) -> None:
    pass
"""


@pytest.fixture
def tq(cli: Any) -> Iterator[TomQueue]:
    """Give an application with limited jobs, three of which are enqueued for one account."""
    module = cli.app.removesuffix(":tq")
    with (cli.folder / f"{module}.py").open("a") as file:
        file.write(LIMITED)
    sys.modules.pop(module, None)
    app: TomQueue = importlib.import_module(module).tq
    app.tools()
    job: Any = app.registry.find("sync")
    app.enqueue_many([job.prepare(17) for _ in range(3)])
    yield app
    app.close()


def test_limits_are_listed(cli: Any, tq: TomQueue) -> None:
    """A row for each key: what is allowed, and how many jobs are where."""
    for name, arguments in (("ping", ()), ("load", ("acme",))):
        job: Any = tq.registry.find(name)
        job.enqueue(*arguments)
    lines = [line.split() for line in cli("limits", "list").splitlines()]
    assert lines == [
        ["LIMIT", "KEY", "AT", "ONCE", "RATE", "RUNNING", "LET", "IN", "WAITING", "CHANGED"],
        ["default/fair", "acme", "0", "1", "0"],
        ["ping", "100/min", "0", "1", "0"],
        ["sync", "17", "1", "0", "1", "2"],
    ]
    fair, ping, sync = cli.json("limits", "list")
    assert (fair["fair"], fair["key"], ping["every"], ping["key"]) == (True, "acme", 0.6, None)
    assert (sync["concurrency"], sync["let_in"], sync["waiting"], sync["changed"]) == (1, 1, 2, False)


def test_a_limit_is_changed_and_reset(cli: Any, tq: TomQueue) -> None:
    """The table says that it was by hand."""
    assert cli("limits", "set", "sync", "--concurrency", "2") == "changed sync: it counts within a second\n"
    (line,) = (line for line in cli("limits", "list").splitlines() if line.startswith("sync"))
    assert line.split()[-2:] == ["by", "hand"]
    assert cli.json("limits", "reset", "sync") == {"reset": ["sync"]}
    assert cli("limits", "set", "sync", "--rate", "often", code=2) == ""
    assert "rate='often' is no rate" in cli.stderr
    assert cli("limits", "set", "synk", "--concurrency", "2", code=3) == ""
    assert "no limit is called 'synk'; known limits: ping, sync" in cli.stderr


def test_a_held_job_is_explained(cli: Any, tq: TomQueue) -> None:
    """By its limit and who is in; the other commands know its state."""
    findings = cli.json("explain", "2")["findings"]
    assert findings[0]["code"] == "held"
    assert findings[0]["text"] == "it waits for the limit sync, key 17, 1 at once: 0 run, 1 may start, 2 wait"
    assert findings[0]["cure"] == "`tomqueue limits set sync …` lets more in"
    assert [job["id"] for job in cli.json("jobs", "list", "--held")] == [2, 3]
    assert "sync:17" in cli("jobs", "show", "2")
    assert cli.json("queues", "list")[0]["held"] == 2
    tq.jobs.reschedule(2, delay=3600)
    assert "its time has not come" in cli.json("explain", "2")["findings"][0]["text"]
    assert "job 2" in cli("jobs", "retry", "2")
    cli("jobs", "delete", "1")
    assert tq.jobs.get(3).state == "ready"
