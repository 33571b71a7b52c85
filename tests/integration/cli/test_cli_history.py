"""``tomqueue history``, and what ``jobs show`` and ``workers`` tell beside a job's row."""

import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness import change, make_due, work
from tomqueue import JobContext, TomQueue
from tomqueue.store.checkpoints import CheckpointTable, Note

KEPT = """
from tomqueue import JobContext

@tq.job(name="ship", queue="orders", keep_completed=True)
def ship(ctx: JobContext, order: int) -> None:
    if ctx.attempt < 2:
        raise OSError(f"no route for {order}")
"""


@pytest.fixture
def tq(cli: Any) -> Iterator[TomQueue]:
    """Give an application with a job whose history is kept."""
    module = cli.app.removesuffix(":tq")
    with (cli.folder / f"{module}.py").open("a") as file:
        file.write(KEPT)
    sys.modules.pop(module, None)
    app: TomQueue = importlib.import_module(module).tq
    app.tools()
    yield app
    app.close()


def shipped(tq: TomQueue, order: int) -> int:
    """Ship an order, at the second attempt; return the job's id."""
    ship: Any = tq.registry.find("ship")
    job: int = ship.enqueue(order).id
    work(tq)
    make_due(tq, job)
    work(tq)
    return job


def test_what_succeeded_is_listed_latest_first(cli: Any, tq: TomQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a table and as JSON; chosen by queue and name, and in pieces."""
    assert cli("history", "list") == "nothing is kept: see keep_completed\n"
    first, second = shipped(tq, 7), shipped(tq, 8)
    monkeypatch.setenv("COLUMNS", "200")
    head, *lines = cli("history", "list").splitlines()
    assert head.split() == ["ID", "QUEUE", "NAME", "TRIES", "FINISHED", "TOOK", "WORKER"]
    assert [line.split()[:4] for line in lines] == [[str(job), "orders", "ship", "2"] for job in (second, first)]
    assert [one["id"] for one in cli.json("history", "list", "--before", str(second))] == [first]
    assert [one["id"] for one in cli.json("history", "list", "--limit", "1", "--queue", "orders")] == [second]
    assert cli.json("history", "list", "--name", "send") == []


def test_one_is_shown_with_its_arguments_and_errors(cli: Any, tq: TomQueue) -> None:
    """The texts of the errors are in the JSON."""
    job = shipped(tq, 7)
    shown = cli("history", "show", str(job))
    assert '{"order": 7}' in shown
    assert "errors" in shown
    assert "attempt 1, " in shown
    assert "OSError: no route for 7" in shown
    found = cli.json("history", "show", str(job))
    assert (found["arguments"], found["attempts"], found["expires_at"]) == ({"order": 7}, 2, None)
    assert found["errors"][0]["error"].startswith("Traceback")
    cli("history", "show", "999", code=3)
    assert "the history has no job 999" in cli.stderr


def test_what_has_expired_is_pruned(cli: Any, tq: TomQueue) -> None:
    """At once, also where no worker runs for long."""
    job = shipped(tq, 7)
    history = tq.tools().store.tables.history
    with tq.tools().store.writing() as connection:
        connection.execute(history.update().values(expires_at=tq.tools().store.now()))
    assert cli.json("history", "prune") == {"pruned": 1}
    assert cli("history", "prune") == "pruned 0 rows\n"
    cli("history", "show", str(job), code=3)
    assert tq.history.errors(job) == []


def test_a_job_is_shown_with_its_progress_checkpoint_and_errors(cli: Any, tq: TomQueue) -> None:
    """Where it has any; else nothing is said of them."""
    ship: Any = tq.registry.find("ship")
    job = ship.enqueue(7).id
    labels = {line.split(" ")[0] for line in cli("jobs", "show", str(job)).splitlines()}
    assert not {"progress", "checkpoint", "errors"} & labels
    work(tq)
    claimed(tq, job)
    table = CheckpointTable(tq.tools().store)
    table.note([Note(job, 1, 300, 1000)])
    table.save(job, 1, '{"row":300}')
    shown = cli("jobs", "show", str(job))
    assert "300 of 1,000, 30% (" in shown
    assert '{"row":300}' in shown
    assert "attempt 1, " in shown
    found = cli.json("jobs", "show", str(job))
    assert (found["progress"]["done"], found["checkpoint"], len(found["errors"])) == (300, {"row": 300}, 1)


def claimed(tq: TomQueue, job: int) -> None:
    """Let a worker have a job."""
    change(tq, job, locked_by=1, locked_at=tq.tools().store.now(), claim_token=1)


def test_workers_show_how_far_their_jobs_are(
    cli: Any, tq: TomQueue, lease: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that say so stand first."""
    ship: Any = tq.registry.find("ship")
    lease(1)
    jobs = [ship.enqueue(number).id for number in range(4)]
    for job in jobs:
        claimed(tq, job)
    CheckpointTable(tq.tools().store).note([Note(jobs[3], 1, 0.5, None), Note(jobs[2], 1, 0, 0)])
    monkeypatch.setenv("COLUMNS", "200")
    assert "4 jobs: 3 ship (0 of 0), 4 ship (0.50), 1 ship, …" in cli("workers")
    progress = [job["progress"] for job in cli.json("workers")[0]["jobs"]]
    assert progress[:2] == [None, None]
    assert (progress[3]["done"], progress[3]["total"]) == (0.5, None)


def test_a_context_says_how_far_it_is(cli: Any, tq: TomQueue) -> None:
    """By the job's own words, through a worker."""

    @tq.job(name="count", max_attempts=1)
    def count(ctx: JobContext) -> None:
        ctx.checkpoint([1, 2])
        raise OSError("no route")

    job = count.enqueue().id
    work(tq)
    assert cli.json("jobs", "show", str(job))["checkpoint"] == [1, 2]
