"""A person cancels and edits jobs with the installed command, while real workers run: on every database, with news."""

import json
import os
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.acceptance.site import Running, Site, field_of, wait_until
from tests.processes import freeze, is_alive
from tests.rabbitmq_server import Broker
from tomqueue import State
from tomqueue.job import Job

MORE = """
from tomqueue import JobCancelled

@tq.job(name="polite", max_attempts=5)
def polite(ctx: JobContext, text: str):
    write(f"begin {text} attempt={ctx.attempt} pid={os.getpid()}")
    try:
        time.sleep(3600)
    except JobCancelled:
        write(f"cleaned {text}")
        raise

@tq.job(name="stuck", max_attempts=5)
def stuck(ctx: JobContext, text: str):
    write(f"begin {text} attempt={ctx.attempt} pid={os.getpid()}")
    while True:
        try:
            time.sleep(3600)
        except JobCancelled:
            write(f"ignored {text}")

@tq.job(name="ledger", atomic=True)
def ledger(ctx: JobContext, text: str):
    ctx.connection.exec_driver_sql("INSERT INTO written VALUES ('mine')")
    note.enqueue("never")
    write(f"begin {text} attempt={ctx.attempt} pid={os.getpid()}")
    time.sleep(3600)
"""


def polite(text: str) -> None:
    """Stand for the job of this name."""


def stuck(text: str) -> None:
    """Stand for the job of this name."""


def ledger(text: str) -> None:
    """Stand for the job of this name."""


@pytest.fixture(params=["sqlite_url", "postgres_url", "mariadb_url"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Make a site on a fresh database of each kind."""
    url = request.getfixturevalue(request.param)
    made = Site(tmp_path, url, more=MORE, heartbeat=0.5, lease=3, grace=3)
    made.run("migrate")
    declare(made)
    yield made
    made.tq.close()


def declare(site: Site) -> None:
    """Declare the jobs of these tests on this side as well."""
    for job in (polite, stuck, ledger):
        site.tq.job(name=job.__name__)(job)


def wait_for_end(site: Site, job_id: int) -> Job:
    """Wait until no worker has a job any more; return it."""
    wait_until(lambda: site.tq.jobs.get(job_id).state is not State.RUNNING, f"the end of job {job_id}")
    return site.tq.jobs.get(job_id)


def check_cancelled(site: Site, job_id: int) -> None:
    """Check that a job was cancelled, uncharged for any crash, and ran once."""
    job = wait_for_end(site, job_id)
    assert (job.state, job.last_error, job.attempts, job.crashes) == (State.FAILED, "cancelled", 1, 0)
    assert job.locked_by is None
    site.enqueue("note", "after")
    site.wait_for_lines(1, "after")  # the workers go on, and had every chance to run it again
    assert len(site.lines("begin")) == 1
    assert site.tq.jobs.get(job_id).state is State.FAILED


def cancel(site: Site, job_id: int) -> None:
    """Cancel a job that runs by the command."""
    answer = json.loads(site.run("jobs", "cancel", str(job_id), "--json").stdout)
    assert answer == {"cancelled": 1, "ids": [job_id], "running": [job_id], "refused": []}


def test_a_running_job_is_interrupted_within_about_a_second(site: Site) -> None:
    """It cleans up, its process lives on."""
    job = site.enqueue("polite", "long")
    with site.started("run", "-p", "1") as running:
        worker = field_of(site.wait_for_lines(1, "begin")[0], "pid")
        site.tq.jobs.cancel(job)
        asked = time.monotonic()
        site.wait_for_lines(1, "cleaned long")
        assert time.monotonic() - asked < 3  # about one, on a machine that does other things as well
        check_cancelled(site, job)
        assert worker in running.children()
        assert f"job {job} polite (attempt 1): cancelled\n" in running.log


def test_what_ignores_it_is_killed_after_the_grace_time(site: Site) -> None:
    """The supervisor kills the process; the job is not charged for it."""
    job = site.enqueue("stuck", "deaf")
    with site.started("run", "-p", "1") as running:
        worker = field_of(site.wait_for_lines(1, "begin")[0], "pid")
        cancel(site, job)
        site.wait_for_lines(1, "ignored deaf")
        running.wait_for_log("a job did not end in time")
        check_cancelled(site, job)
        assert not is_alive(worker)


def test_a_job_whose_worker_dies_meanwhile_does_not_run_again(site: Site) -> None:
    """Its worker stands still and is killed before it can hear of the cancel."""
    job = site.enqueue("polite", "long")
    with site.started("run", "-p", "2"):
        worker = field_of(site.wait_for_lines(1, "begin")[0], "pid")
        freeze(worker)
        cancel(site, job)
        os.kill(worker, signal.SIGKILL)
        check_cancelled(site, job)
    assert not site.lines("cleaned")


def test_a_job_whose_host_is_lost_does_not_run_again(site: Site) -> None:
    """All of its processes are gone at once; the sweep of another supervisor ends the cancel."""
    job = site.enqueue("polite", "long")
    with site.started("work", "-p", "1") as running:
        site.wait_for_lines(1, "begin")
        lose(running)
        cancel(site, job)
    with site.started("work", "-p", "1"):
        check_cancelled(site, job)


def lose(running: Running) -> None:
    """Kill a supervisor and its children at once."""
    pids = [running.process.pid, *running.children()]
    for pid in pids:
        freeze(pid)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    running.wait()


@pytest.mark.parametrize("site", ["postgres_url", "mariadb_url"], indirect=True)
def test_an_atomic_job_is_rolled_back(site: Site) -> None:
    """Its writes and what it enqueued are gone with it. On SQLite it holds the one lock to write: nobody can cancel."""
    execute(site, "CREATE TABLE written (text VARCHAR(20))")
    job = site.enqueue("ledger", "writes")
    with site.started("run", "-p", "1"):
        site.wait_for_lines(1, "begin")
        cancel(site, job)
        check_cancelled(site, job)
    assert execute(site, "SELECT count(*) FROM written") == 0
    assert site.tq.jobs.count() == 1
    assert not site.lines("never")


def execute(site: Site, statement: str) -> Any:
    """Run a statement; return the first value of its result, if it has one."""
    with site.tq.tools().store.writing() as connection:
        result = connection.execute(text(statement))
        return result.scalar() if result.returns_rows else None


def test_edits_count_within_a_second(site: Site) -> None:
    """A job is moved to a queue that is served, another one is put forward: both run."""
    moved = site.enqueue("note", "moved", queue="nobody")
    later = site.enqueue("note", "later", queue="served", delay=3600)
    with site.started("work", "-p", "1", "--queues", "served") as running:
        site.enqueue("note", "first", queue="served")
        site.wait_for_lines(1, "first")
        asked = time.monotonic()
        assert site.tq.jobs.move(moved, "served").queue == "served"
        site.tq.jobs.reschedule(later, delay=0)
        site.wait_for_lines(1, "moved")
        site.wait_for_lines(1, "later")
        assert time.monotonic() - asked < 4  # within a second each, on a machine that does other things as well
        running.send(signal.SIGTERM)
        assert running.wait() == 0


@pytest.mark.parametrize("url", ["postgres_url", "mariadb_url"])
def test_edits_have_fresh_news(url: str, tmp_path: Path, request: pytest.FixtureRequest, broker: Broker) -> None:
    """With a broker: news of the job as it was finds it moved, rescheduled or cancelled; each runs where it is now."""
    prefix = f"site-{secrets.token_hex(4)}"
    site = Site(
        tmp_path, request.getfixturevalue(url), heartbeat=0.5, lease=3, grace=3, broker_url=broker.url, prefix=prefix
    )
    site.run("migrate")
    moved, urgent, late, gone = (site.enqueue("note", name) for name in ("moved", "urgent", "late", "gone"))
    site.run("jobs", "move", str(moved), "--to", "elsewhere")
    site.run("jobs", "reprioritise", str(urgent), "--to", "high")
    site.run("jobs", "reschedule", str(late), "--in", "1h")
    site.run("jobs", "cancel", str(gone))
    with site.started("run", "-p", "1", "--queues", "elsewhere,default"):
        site.wait_for_lines(1, "moved")
        site.wait_for_lines(1, "urgent")
        assert site.tq.jobs.get(late).state is State.SCHEDULED
        site.run("jobs", "reschedule", str(late), "--in", "0s")
        site.wait_for_lines(1, "late")
        wait_until(lambda: site.tq.jobs.count(state="failed") == site.tq.jobs.count() == 1, "only the cancelled one")
    assert len(site.lines()) == 3
    site.tq.close()
