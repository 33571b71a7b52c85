"""Limits under two supervisors with eight workers, some of which are killed in a job of a limit."""

from pathlib import Path

import pytest

from tests.acceptance.site import Site, wait_until

LIMITED = """
import fcntl, signal

@tq.job(name="one", concurrency=1, concurrency_key=lambda key: key)
def one(ctx: JobContext, key: str, number: int):
    with (OUT.parent / f"lock-{key}").open("w") as file:  # the kernel opens it when its process dies
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            write(f"overlap {key} {number}")
            raise
        time.sleep(0.01)
        if number % 10 == 0 and ctx.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        write(f"did {key} {number}")
"""
KEYS, EACH = "abc", 25


def nothing(key: str, number: int) -> None:
    """Stand for the job in the application."""


@pytest.mark.parametrize(
    ("database", "broker"), [("sqlite_url", False), ("mariadb_url", False), ("postgres_url", True)]
)
def test_no_kill_lets_one_too_many_run(
    database: str, broker: bool, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Of each key one job at a time, whoever dies with one in hand; none is lost, and the limit stays free."""
    news = {}
    if broker:
        url = request.getfixturevalue("rabbitmq_url")
        news = {"broker_url": url, "prefix": request.getfixturevalue("rabbitmq_prefix")}
    site = Site(tmp_path, request.getfixturevalue(database), more=LIMITED, heartbeat=0.5, lease=5, grace=5, **news)
    try:
        site.run("migrate")
        one = site.tq.job(name="one", concurrency=1, concurrency_key=lambda key: key)(nothing)
        expected = {f"did {key} {number}" for key in KEYS for number in range(EACH)}
        with site.started("run", "-p", "4"), site.started("run", "-p", "4"):
            site.tq.enqueue_many([one.prepare(key, number) for number in range(EACH) for key in KEYS])
            wait_until(lambda: set(site.lines("did")) == expected, "all jobs", patience=120)
            site.wait_until_empty()
        assert site.lines("overlap") == []
    finally:
        site.tq.close()
