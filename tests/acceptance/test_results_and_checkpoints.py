"""Checkpoints and results with the installed command and real processes that die, on every database."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.site import PATIENCE, Site, field_of, wait_until

MORE = """
@tq.job(name="climb", result_ttl=3600, keep_completed=True)
def climb(ctx: JobContext, steps: int) -> int:
    start = ctx.checkpointed or 0
    write(f"from {start} attempt={ctx.attempt} pid={os.getpid()}")
    for step in range(start + 1, steps + 1):
        ctx.checkpoint(step)
        ctx.progress(step, steps)
        if step in (3, 6) and step > start:
            write(f"reached {step} pid={os.getpid()}")
            time.sleep(3600)
    return steps
"""


def climb(steps: int) -> int:
    """Stand for the job of this name."""
    return steps


@pytest.fixture(params=["sqlite_url", "postgres_url", "mariadb_url"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Make a site on a fresh database of each kind."""
    made = Site(tmp_path, request.getfixturevalue(request.param), more=MORE, heartbeat=0.5, lease=3, grace=3)
    made.run("migrate")
    made.tq.job(name="climb", result_ttl=3600, keep_completed=True)(climb)
    yield made
    made.tq.close()


def test_a_job_goes_on_where_it_was_killed_and_where_it_was_drained(site: Site) -> None:
    """A kill -9 after a checkpoint, a drain after a later one: each run begins there, and the result comes once."""
    job = site.tq.jobs.get(site.enqueue("climb", 8))
    with site.started("run", "-p", "1") as running:
        first = site.wait_for_lines(1, "reached 3")[0]
        wait_until(lambda: site.tq.jobs.progress(job.id) is not None, "the progress")
        assert "3 of 8" in site.run("workers").stdout
        os.kill(field_of(first, "pid"), signal.SIGKILL)
        site.wait_for_lines(1, "reached 6")
        running.send(signal.SIGTERM)
        assert running.wait() == 0
    assert site.tq.jobs.progress(job.id) is not None
    with site.started("run", "-p", "1") as running:
        assert job.result(timeout=PATIENCE) == 8
        running.send(signal.SIGTERM)
        assert running.wait() == 0
    starts = [line.split(" pid=")[0] for line in site.lines("from")]
    assert starts == ["from 0 attempt=1", "from 3 attempt=2", "from 6 attempt=2"]
    (crash,) = site.tq.history.errors(job.id)
    assert "SIGKILL" in crash.error
    assert crash.worker is not None
    assert site.tq.history.get(job.id).attempts == 2
    assert site.tq.jobs.progress(job.id) is None
