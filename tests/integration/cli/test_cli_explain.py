"""``tomqueue explain``: each reason why a job does not run is found, and comes with what to do."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.harness import change, work
from tomqueue import TomQueue


def findings(cli: Any, job_id: int) -> dict[str, str]:
    """Return what is found about a job, by code."""
    found = cli.json("explain", str(job_id))["findings"]
    return {finding["code"]: f"{finding['text']} → {finding['cure']}" for finding in found}


@pytest.fixture
def job(tq: TomQueue) -> int:
    """Give a ready job."""
    resize: Any = tq.registry.find("resize")
    job_id: int = resize.enqueue("cat.png").id
    return job_id


def test_a_ready_job_with_a_worker_is_the_next(cli: Any, job: int, lease: Callable[..., None]) -> None:
    """Nothing stands in its way."""
    lease()
    assert [*findings(cli, job)] == ["next"]
    assert cli("explain", str(job)) == (
        f"job {job} resize in queue default is ready\n- nothing stands in its way: the next free worker takes it\n"
    )


def test_a_queue_without_a_live_worker_is_named(cli: Any, job: int, lease: Callable[..., None]) -> None:
    """Workers of other queues, and those whose lease is over, do not count."""
    lease(1, queues="mailers,reports")
    lease(2, seconds=-1)
    assert findings(cli, job)["no_worker"] == (
        "no live worker serves queue default (1 worker of other queues) → start one: `tomqueue run --queues default`"
    )
    lease(3, queues="mailers,default")
    assert "no_worker" not in findings(cli, job)


def test_a_priority_that_no_worker_takes_is_named(cli: Any, tq: TomQueue, job: int, lease: Callable[..., None]) -> None:
    """Workers of the queue that serve other priorities do not count; the cures are a worker, or another priority."""
    tq.jobs.reprioritise(job, "bulk")
    lease(1, ranks=range(2))
    lease(2, queues="default", ranks=range(1))
    lease(3, queues="mailers")
    assert findings(cli, job)["no_worker_of_priority"] == (
        "no live worker of queue default takes priority bulk (2 workers: high only, high to normal only) → start one: "
        f"`tomqueue run --queues default --min-priority bulk`, or `tomqueue jobs reprioritise {job} --to normal`"
    )
    lease(4, ranks=range(2, 4))
    assert "no_worker_of_priority" not in findings(cli, job)


def test_a_paused_queue_is_told(cli: Any, tq: TomQueue, job: int) -> None:
    """The cure is to resume it."""
    tq.tools().catalog.queues.pause("default")
    assert findings(cli, job)["queue_paused"].endswith("→ `tomqueue queues resume default`")


def test_a_scheduled_job_says_when_and_why(cli: Any, tq: TomQueue, job: int) -> None:
    """A back-off names the error that it follows."""
    later = tq.tools().store.now() + timedelta(minutes=10)
    change(tq, job, run_at=later, announced_at=None, attempts=2, last_error="Traceback\nOSError: no route")
    told = findings(cli, job)["scheduled"]
    assert "(in 10 min)" in told or "(in 9 min)" in told
    assert "attempt 2 failed: OSError: no route" in told
    assert told.endswith(f"`tomqueue jobs retry {job}`")


def test_a_failed_job_says_why_and_how_to_retry(cli: Any, tq: TomQueue) -> None:
    """The last line of the error is the reason, and nothing else is in the way of a failed job."""
    send: Any = tq.registry.find("send")
    job_id = send.enqueue(7).id
    work(tq)
    found = findings(cli, job_id)
    assert [*found] == ["failed"]
    assert "after 1 attempt: ValueError: no user 7" in found["failed"]
    assert f"`tomqueue jobs retry {job_id}`" in found["failed"]


def test_a_name_that_the_application_does_not_know_is_told(cli: Any, tq: TomQueue, job: int) -> None:
    """With the name that may be meant; with a database alone nobody can judge names."""
    change(tq, job, name="resise")
    assert "did you mean 'resize'?" in findings(cli, job)["unknown_name"]
    told = cli.bare("--database-url", tq.settings.database_url, "explain", str(job))
    assert "did you mean" not in told


def test_a_parked_job_says_until_when_and_why(cli: Any, tq: TomQueue, job: int) -> None:
    """It waits for a worker that can read it."""
    now = tq.tools().store.now()
    error = "no job is called 'gone' here"
    change(
        tq, job, name="gone", parked_at=now, announced_at=None, parks=3, last_error=error,
        run_at=now + timedelta(seconds=100),
    )  # fmt: skip
    assert f"in 3 tries (it is offered again in 1 min): {error}" in findings(cli, job)["parked"]


def test_a_running_job_says_by_whom(cli: Any, tq: TomQueue, job: int, lease: Callable[..., None]) -> None:
    """And whether that worker is still there."""
    lease(7)
    now = tq.tools().store.now()
    change(tq, job, locked_by=7, locked_at=now - timedelta(minutes=5), claim_token=1)
    assert "worker host:web pid:7 has had it since" in findings(cli, job)["running"]
    assert "(5 min ago)" in findings(cli, job)["running"]
    change(tq, job, locked_by=8)
    assert [*findings(cli, job)] == ["worker_lost"]


def test_what_else_can_hold_a_job_up_is_told(cli: Any, tq: TomQueue, job: int, lease: Callable[..., None]) -> None:
    """Held, crashed, expired, not announced."""
    lease()
    now = tq.tools().store.now()
    change(tq, job, held=True)
    assert "held" in findings(cli, job)
    change(tq, job, held=False, crashes=2, last_error="WorkerDied: signal 11", expires_at=now - timedelta(hours=1))
    found = findings(cli, job)
    assert "2 times in a row: WorkerDied: signal 11" in found["crashed"]
    assert "(1 h ago)" in found["expired"]
    change(tq, job, crashes=0, suspect=True, announced_at=None)
    found = findings(cli, job)
    assert "claimed alone" in found["crashed"]
    assert "not_announced" in found


def test_those_that_go_first_are_counted(cli: Any, tq: TomQueue, job: int, lease: Callable[..., None]) -> None:
    """More urgent ones and earlier ones of the same queue, not later ones."""
    lease()
    resize: Any = tq.registry.find("resize")
    send: Any = tq.registry.find("send")
    resize.using(priority="high").enqueue("urgent.png")
    resize.enqueue("later.png")
    resize.using(priority="high", delay=60).enqueue("not due.png")
    send.enqueue(7)
    assert findings(cli, job)["behind"].startswith("1 ready job of its queue goes first")
    last = resize.using(priority="bulk").enqueue("last.png").id
    assert findings(cli, last)["behind"].startswith("3 ready jobs of its queue go first")


def test_no_such_job_is_exit_code_3(cli: Any, tq: TomQueue) -> None:
    """A script can tell it from a failure."""
    assert tq.jobs.list() == []
    cli("explain", "99", code=3)
    assert cli.stderr == "tomqueue: no job has id 99: it finished, was deleted, or never existed\n"


def test_a_cancelled_job_says_so(cli: Any, tq: TomQueue, job: int, lease: Callable[..., None]) -> None:
    """While its worker has still to stop it, and once it has failed by that."""
    lease(5)
    change(tq, job, locked_by=5, locked_at=tq.tools().store.now(), claim_token=1)
    tq.jobs.cancel(job)
    found = findings(cli, job)
    assert [*found] == ["cancel_requested", "running"]
    assert "its worker interrupts it, and it will not run again" in found["cancel_requested"]
    change(tq, job, locked_by=None, locked_at=None, claim_token=None, failed_at=tq.tools().store.now())
    found = findings(cli, job)
    assert [*found] == ["cancelled"]
    assert f"`tomqueue jobs retry {job}`" in found["cancelled"]
