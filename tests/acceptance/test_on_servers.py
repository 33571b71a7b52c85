"""The same command on PostgreSQL and MariaDB, without a broker: workers ask the database in turn."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.site import Site, field_of
from tomqueue import State


@pytest.fixture(params=["postgres_url", "mariadb_url"])
def server_site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Make a site on a fresh database of a server."""
    site = Site(tmp_path, request.getfixturevalue(request.param), heartbeat=0.5, lease=3, grace=5)
    site.run("migrate")
    yield site
    site.tq.close()


def test_jobs_run_once_each_and_a_killed_child_is_replaced(server_site: Site) -> None:
    """Two workers run 300 jobs, each once; the job of a killed child runs elsewhere, as its second attempt."""
    site = server_site
    for number in range(300):
        site.enqueue("note", f"n{number}")
    with site.started("run", "-p", "2") as running:
        lines = site.wait_for_lines(300, "n")
        site.wait_until_empty()
        site.enqueue("slow", "victim", 2)
        first = site.wait_for_lines(1, "begin")[0]
        os.kill(field_of(first, "pid"), signal.SIGKILL)
        second = site.wait_for_lines(2, "begin")[1]
        assert field_of(second, "attempt") == 2
        site.wait_for_lines(1, "end victim")
        site.wait_until_empty()
        running.send(signal.SIGTERM)
        assert running.wait() == 0
    assert Counter(line.split()[0] for line in lines) == Counter(f"n{number}" for number in range(300))


def test_a_new_job_and_one_that_falls_due_are_found(server_site: Site) -> None:
    """An idle worker finds a job that is enqueued now, one in a new queue, and one when its time comes."""
    site = server_site
    with site.started("work", "-p", "1"):
        site.enqueue("note", "now")
        site.wait_for_lines(1, "now")
        site.enqueue("note", "elsewhere", queue="another")
        site.wait_for_lines(1, "elsewhere")
        site.enqueue("note", "soon", delay=0.5)
        site.wait_for_lines(1, "soon")


def test_a_drain_gives_back(server_site: Site) -> None:
    """What a drain cuts short is ready again, uncharged."""
    site = server_site
    job = site.enqueue("slow", "long", 60)
    with site.started("work", "-p", "1") as running:
        site.wait_for_lines(1, "begin")
        running.send(signal.SIGTERM)
        assert running.wait() == 0
    after = site.tq.jobs.get(job)
    assert (after.state, after.attempts) == (State.READY, 0)
