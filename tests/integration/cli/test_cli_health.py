"""``check``, ``queues``, ``workers`` and ``stats`` on a real database."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.harness import change, work
from tomqueue import TomQueue
from tomqueue.store.stats import StatsRow


@pytest.fixture
def resize(tq: TomQueue) -> Any:
    """Give a definition that can be enqueued."""
    return tq.registry.find("resize")


def failing(answer: Any) -> list[str]:
    """Return the names of the checks that failed."""
    return [check["name"] for check in answer["checks"] if not check["ok"]]


def test_all_is_well_where_nothing_waits(cli: Any, tq: TomQueue) -> None:
    """One line a check, and the bounds as the settings make them."""
    assert tq.settings.lease == 20
    lines = cli("check").splitlines()
    assert [line.split()[:2] for line in lines[:4]] == [
        ["ok", "database"],
        ["ok", "tables"],
        ["ok", "waiting"],
        ["ok", "workers"],
    ]
    answer = cli.json("check")
    assert answer["ok"] is True
    assert answer["bounds"] == {
        "heartbeat": 5, "lease": 20, "grace": 25, "news": 0.01, "child_killed": 1.5, "host_lost": 25,
    }  # fmt: skip


def test_a_ready_job_without_a_worker_fails_the_check(
    cli: Any, tq: TomQueue, resize: Any, lease: Callable[..., None]
) -> None:
    """A worker of its queue, or a pause, makes it well again."""
    resize.enqueue("cat.png")
    lease(1, queues="mailers")
    lease(2, seconds=-1)
    assert failing(cli.json("check", code=1)) == ["workers"]
    assert "failed  workers   no live worker serves default (1 ready)" in cli("check", code=1)
    tq.tools().catalog.queues.pause("default")
    assert failing(cli.json("check")) == []
    tq.tools().catalog.queues.resume("default")
    lease(3)
    assert failing(cli.json("check")) == []


def test_a_priority_that_no_worker_takes_fails_the_check(
    cli: Any, tq: TomQueue, resize: Any, lease: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although its queue has workers; `workers` says what each of them takes."""
    for priority in ("high", "low", "bulk", "bulk"):
        resize.using(priority=priority).enqueue("cat.png")
    lease(1, ranks=range(2))
    told = "no live worker serves bulk jobs of default (2 ready), low jobs of default (1 ready): start one with"
    assert told in cli("check", code=1)
    monkeypatch.setenv("COLUMNS", "120")
    assert "* (high to normal only)" in cli("workers")
    assert cli.json("workers")[0]["priorities"] == ["high", "normal"]
    lease(2, ranks=range(2, 4))
    assert failing(cli.json("check")) == []
    tq.tools().catalog.queues.pause("default")
    lease(2, seconds=-1)
    assert failing(cli.json("check")) == []


def test_a_job_that_waits_too_long_fails_the_check(
    cli: Any, tq: TomQueue, resize: Any, lease: Callable[..., None]
) -> None:
    """--age is the limit in seconds."""
    lease()
    job = resize.enqueue("cat.png")
    change(tq, job.id, run_at=tq.tools().store.now() - timedelta(seconds=400))
    assert failing(cli.json("check", code=1)) == ["waiting"]
    assert "has waited 6 min (limit 300 s)" in cli("check", code=1)
    assert failing(cli.json("check", "--age", "500")) == []


def test_missing_tables_and_a_missing_database_fail_the_check(cli: Any) -> None:
    """The database is told from its tables, and looking makes no file."""
    assert failing(cli.json("check", code=1)) == ["database"]
    assert not (cli.folder / "jobs.db").exists()
    (cli.folder / "jobs.db").touch()
    assert failing(cli.json("check", code=1)) == ["tables"]
    assert "run `tomqueue migrate`" in cli("check", code=1)
    away = cli.bare("--database-url", "postgresql+psycopg://u:secret@127.0.0.1:1/db", "check", "--json", code=1)
    assert '"name": "database"' in away
    assert "secret" not in away


def test_queues_are_listed_paused_and_resumed(cli: Any, tq: TomQueue, resize: Any) -> None:
    """A pause is seen in the list."""
    resize.enqueue("cat.png")
    resize.using(delay=60, queue="slow").enqueue("cat.png")
    cli("queues", "pause", "slow")
    head, default, slow = (line.split() for line in cli("queues", "list").splitlines())
    assert head == ["QUEUE", "READY", "RUNNING", "SCHEDULED", "PARKED", "HELD", "FAILED", "PAUSED"]
    assert default == ["default", "1", "0", "0", "0", "0", "0"]
    assert slow[:7] == ["slow", "0", "0", "1", "0", "0", "0"]
    assert slow[-1] == "ago"
    assert tq.tools().catalog.queues.states() == {"default": False, "slow": True}
    cli("queues", "resume", "slow")
    assert cli.json("queues", "list")[1]["paused_at"] is None


def test_a_queue_that_nobody_used_is_not_found(cli: Any, resize: Any) -> None:
    """The names that are known are told."""
    resize.enqueue("cat.png")
    cli("queues", "pause", "defualt", code=3)
    assert "known queues: default" in cli.stderr


def test_workers_are_listed_with_what_they_have(
    cli: Any, tq: TomQueue, resize: Any, lease: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claimed jobs stand beside their worker; a lease that is over says so."""
    assert cli("workers") == "no workers: start some with `tomqueue run`\n"
    lease(1, queues="default,mailers")
    lease(2, seconds=-90)
    now = tq.tools().store.now()
    for _ in range(5):
        change(tq, resize.enqueue("cat.png").id, locked_by=1, locked_at=now, claim_token=1)
    _, one, two = cli("workers").splitlines()
    assert "3 min ago" in one
    assert " left " in one
    assert "5 jobs" in one
    assert "over 1 min" in two
    found = cli.json("workers")
    assert [job["id"] for job in found[0]["jobs"]] == [1, 2, 3, 4, 5]
    assert found[0]["queues"] == ["default", "mailers"]
    assert found[1]["jobs"] == []
    tq.jobs.cancel(2)
    monkeypatch.setenv("COLUMNS", "200")
    assert "5 jobs: cancelled: 2 resize, 1 resize, 3 resize, …" in cli("workers")
    assert [job["cancelled_at"] is None for job in cli.json("workers")[0]["jobs"]] == [True, False, True, True, True]


def test_stats_tell_what_was_done(cli: Any, tq: TomQueue, resize: Any) -> None:
    """In the last minute, hour and day; what is older is not counted."""
    for path in ("cat.png", "dog.png"):
        resize.enqueue(path)
    work(tq)
    resize.using(delay=60).enqueue("cow.png")
    minute = tq.tools().store.now().replace(second=0, microsecond=0)
    tq.tools().catalog.stats.add([
        StatsRow(minute=minute - age, queue="default", finished=10, retried=20, failed=30)
        for age in (timedelta(minutes=30), timedelta(hours=5), timedelta(days=3))
    ])  # fmt: skip
    (found,) = cli.json("stats")
    done = [[found[f"last_{period}"][name] for name in ("finished", "retried", "failed")] for period in PERIODS]
    assert done == [[2, 0, 0], [12, 20, 30], [22, 40, 60]]
    assert found["scheduled"] == 1
    assert found["last_day"]["per_second"] == pytest.approx(122 / 86400, abs=0.001)
    lines = [line.split() for line in cli("stats").splitlines()]
    assert lines[1][:3] == ["default", "1", "minute"]
    assert lines[3][:4] == ["day", "22", "40", "60"]


PERIODS = ("minute", "hour", "day")
