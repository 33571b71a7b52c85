"""Periodic jobs under two supervisors: real processes on each database, some of which are killed in a tick."""

import secrets
import signal
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.acceptance.site import Site, wait_until

PULSE = """
@tq.job(name="pulse", every=1, misfire="all")
def pulse(ctx: JobContext):
    write(f"tick={ctx.tick.isoformat()} job={ctx.id}")
"""
TICKS = 4


@pytest.mark.parametrize(
    ("database", "broker", "crash"),
    [
        ("sqlite_url", False, "enqueue.before_commit"),
        ("sqlite_url", False, "enqueue.after_commit"),
        ("mariadb_url", False, "enqueue.before_commit"),
        ("postgres_url", True, "enqueue.after_commit"),
    ],
)
def test_each_tick_is_one_job(
    database: str, broker: bool, crash: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Two supervisors race, and a worker dies with a tick in hand, before or after its COMMIT: none is lost or two."""
    news = {}
    if broker:
        url = request.getfixturevalue("rabbitmq_url")
        news = {"broker_url": url, "prefix": request.getfixturevalue("rabbitmq_prefix")}
    url = request.getfixturevalue(database)
    site = Site(tmp_path, url, more=PULSE, heartbeat=0.5, lease=3, grace=5, **news)
    mark = tmp_path / f"died-{secrets.token_hex(4)}"
    plan = {"TOMQUEUE_CRASH_AT": f"{crash}@{mark}"}
    try:
        site.run("migrate")
        with site.started("run", "-p", "1", **plan) as one, site.started("run", "-p", "1", **plan) as other:
            wait_until(mark.exists, "a death in a tick", patience=60)
            site.wait_for_lines(TICKS, "tick")
            for running in (one, other):
                running.send(signal.SIGTERM)
            assert [one.wait(), other.wait()] == [0, 0]
        check(site.lines("tick"))
    finally:
        site.tq.close()


def check(lines: list[str]) -> None:
    """See that every tick from the first to the last became exactly one job."""
    jobs = {line.split()[1]: line.split()[0] for line in lines}
    ticks = sorted(datetime.fromisoformat(tick.removeprefix("tick=")) for tick in jobs.values())
    assert ticks == [ticks[0] + timedelta(seconds=number) for number in range(len(ticks))]


def test_a_schedule_is_paused_run_and_resumed_while_workers_run(tmp_path: Path, sqlite_url: str) -> None:
    """By the installed command; a deploy of another line counts once its workers have started."""
    site = Site(tmp_path, sqlite_url, more=PULSE, heartbeat=0.5, lease=3, grace=5)
    try:
        with site.started("run", "-p", "1") as running:
            site.wait_for_lines(2, "tick")
            assert site.run("schedules", "pause", "pulse").stdout == "paused pulse\n"
            site.wait_until_empty()
            paused = len(site.lines("tick"))
            assert site.run("schedules", "run", "pulse").stdout.startswith("enqueued pulse as job ")
            site.wait_for_lines(paused + 1, "tick")
            site.run("schedules", "resume", "pulse")
            site.wait_for_lines(paused + 3, "tick")
            text = site.module.read_text().replace("every=1", 'cron="0 0 1 1 *"')
            site.module.write_text(text)
            running.send(signal.SIGHUP)
            wait_until(lambda: "0 0 1 1 * UTC" in site.run("schedules", "list").stdout, "the new line")
            running.send(signal.SIGTERM)
            assert running.wait() == 0
    finally:
        site.tq.close()
