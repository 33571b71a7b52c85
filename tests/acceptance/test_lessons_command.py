"""The installed command with a broker, where the original needed a person: from the very first job to a poison one.

docs/explanation/lessons.md tells which line of it each test is about.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.site import Running, Site, field_of, wait_until
from tomqueue import State


@pytest.fixture
def site(
    tmp_path: Path, sqlite_url: str, rabbitmq_url: str, rabbitmq_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """Make a site whose processes, and the test's own, use a broker under a prefix of theirs."""
    monkeypatch.setenv("TOMQUEUE_BROKER_URL", rabbitmq_url)
    monkeypatch.setenv("TOMQUEUE_PREFIX", rabbitmq_prefix)
    site = Site(tmp_path, sqlite_url, heartbeat=0.5, lease=3, grace=5)
    yield site
    site.tq.close()


def deferred_of(running: Running) -> int:
    """Return the process id of the deferred process."""
    return next(pid for pid in running.children() if b"deferred" in Path(f"/proc/{pid}/cmdline").read_bytes())


def test_what_was_enqueued_before_anything_ever_ran(site: Site) -> None:
    """A job for now and one for later, before any worker or deferred process declared anything: both run."""
    site.enqueue("note", "now")
    site.enqueue("note", "later", delay=0.5)
    with site.started("run", "-p", "1"):
        site.wait_for_lines(1, "now")
        site.wait_for_lines(1, "later")
        site.wait_until_empty()


def test_a_worker_that_is_killed_and_a_job_that_kills(site: Site) -> None:
    """The killed worker's job runs again at once, as its second attempt; the poison job ends in failed."""
    with site.started("run", "-p", "2"):
        site.enqueue("slow", "victim", 2)
        first = site.wait_for_lines(1, "begin")[0]
        os.kill(field_of(first, "pid"), signal.SIGKILL)
        assert field_of(site.wait_for_lines(2, "begin")[1], "attempt") == 2
        site.wait_for_lines(1, "end victim")
        poison = site.enqueue("abort")
        wait_until(lambda: site.tq.jobs.get(poison).state is State.FAILED, "the poison job to be failed")
        site.enqueue("note", "healthy")
        site.wait_for_lines(1, "healthy")
    assert site.tq.jobs.get(poison).crashes == 3


def test_a_deferred_process_that_is_killed(site: Site) -> None:
    """Its supervisor starts another, and each job of the future runs once."""
    with site.started("run", "-p", "1") as running:
        site.enqueue("note", "first", delay=0.3)
        site.wait_for_lines(1, "first")
        for number in range(50):
            site.enqueue("note", f"n{number}", delay=1 + number / 50)
        os.kill(deferred_of(running), signal.SIGKILL)
        site.wait_until_empty()
    assert sorted(line.split()[0] for line in site.lines("n")) == sorted(f"n{number}" for number in range(50))
