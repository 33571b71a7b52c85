"""Measure workflows: how long after the last job of a large group its callback runs, and how fast a chain goes on.

    python benchmarks/workflows.py                        a group of 100,000 on private servers, with and without broker
    python benchmarks/workflows.py --only postgres        on one of them
    python benchmarks/workflows.py --jobs 10000 --links 50

Two worker processes run no-op jobs until nothing is ready. Each writes down when a job was done; the callback compares.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring import percentile
from tests.rabbitmq_server import rabbitmq
from tests.servers import fresh_database, mariadb, postgres
from tomqueue.settings import Settings
from tomqueue.store.migrate import migrate
from tomqueue.store.open import open_store

SERVERS = {"postgres": postgres, "mariadb": mariadb}
SETUPS = ("sqlite", "postgres", "mariadb", "postgres+rabbitmq")
PROCESSES = 2


@click.command()
@click.option("--only", type=click.Choice(SETUPS))
@click.option("--jobs", default=100_000, show_default=True)
@click.option("--links", default=200, show_default=True)
def main(only: str | None, jobs: int, links: int) -> None:
    """Print one row for each set-up."""
    print("| setup | jobs | enqueued in | drained | callbacks | after the last job | from link to link: p50 | p99 |")
    print("|---" * 8 + "|")
    for setup in [only] if only else SETUPS:
        with running(setup) as environment:
            measure(setup, environment, jobs, links)


@contextmanager
def running(setup: str) -> Iterator[dict[str, str]]:
    """Give the environment of a set-up whose tables are there."""
    database, _, broker = setup.partition("+")
    with tempfile.TemporaryDirectory() as folder:
        found = {**os.environ, "WORKFLOWS_FOLDER": folder, "PYTHONPATH": str(Path(__file__).parent)}
        if database == "sqlite":
            yield ready({**found, "TOMQUEUE_DATABASE_URL": f"sqlite:///{folder}/jobs.db"})
            return
        with SERVERS[database]() as server, fresh_database(server) as url:
            ready({**found, "TOMQUEUE_DATABASE_URL": url})
            if not broker:
                yield {**found, "TOMQUEUE_DATABASE_URL": url}
                return
            with rabbitmq() as node:
                yield {**found, "TOMQUEUE_DATABASE_URL": url, "TOMQUEUE_BROKER_URL": node.url}


def ready(environment: dict[str, str]) -> dict[str, str]:
    """Make the tables."""
    store = open_store(Settings(database_url=environment["TOMQUEUE_DATABASE_URL"]))
    migrate(store.engine, store.tables)
    store.close()
    return environment


def measure(setup: str, environment: dict[str, str], jobs: int, links: int) -> None:
    """Enqueue a group and drain it, then a chain; print the figures."""
    folder = Path(environment["WORKFLOWS_FOLDER"])
    members = f"(app.member.prepare(i) for i in range({jobs}))"
    took = enqueue(environment, f"group(*{members}, on_success=app.callback.prepare())")
    began = time.monotonic()
    work(environment, (folder / "called").exists)
    drained = time.monotonic() - began
    called = (folder / "called").read_text().split()
    enqueue(environment, f"chain(*(app.link.prepare(i) for i in range({links})))")
    work(environment, lambda: lines(folder / "links") == links)
    noted = [line.split() for line in (folder / "links").read_text().splitlines()]
    assert [int(number) for _, number in noted] == list(range(links))
    pauses = [(float(after) - float(before)) * 1000 for (before, _), (after, _) in pairwise(noted)]
    print(
        f"| {setup} | {jobs:,} | {took:.1f} s | {jobs / drained:,.0f} jobs/s | {len(called)} | "
        f"{float(called[0]) * 1000:.0f} ms | {percentile(pauses, 50):.1f} ms | {percentile(pauses, 99):.1f} ms |",
        flush=True,
    )


def enqueue(environment: dict[str, str], said: str) -> float:
    """Enqueue a workflow in a process of its own; return how long it took."""
    text = (
        "import time; import workflows_app as app; from tomqueue import chain, group\n"
        "app.tq.tools(); began = time.monotonic()\n"
        f"app.tq.enqueue({said})\n"
        "print(time.monotonic() - began); app.tq.close()"
    )
    done = subprocess.run([sys.executable, "-c", text], env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


def work(environment: dict[str, str], is_done: Callable[[], bool]) -> None:
    """Let workers run until ``is_done``, and a moment longer: what is wrongly run twice shows."""
    command = [sys.executable, "-m", "tomqueue", "--app", "workflows_app:tq", "--log-level", "warning"]
    command += ["run", "-p", str(PROCESSES)]
    workers = subprocess.Popen(command, env=environment)
    try:
        while not is_done():
            if workers.poll() is not None:
                raise SystemExit(f"the workers ended: {workers.returncode}")
            time.sleep(0.01)
        time.sleep(1)
    finally:
        workers.terminate()
        workers.wait()


def lines(file: Path) -> int:
    """Count the lines of a file that may not be there yet."""
    return len(file.read_text().splitlines()) if file.exists() else 0


if __name__ == "__main__":
    main()
