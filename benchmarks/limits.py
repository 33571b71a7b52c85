"""Measure what 100,000 jobs that wait for one limit cost another queue, and how soon the next one of a limit starts.

    python benchmarks/limits.py                    on each database
    python benchmarks/limits.py --only postgres    on one

Drains of a queue of no-op jobs are measured in turns, with and without the held jobs in the table: what else the
machine does falls on both.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median

import click

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring import figure, percentile
from tests.conformance.filling import fill_held
from tests.servers import fresh_database, mariadb, postgres
from tomqueue import TomQueue
from tomqueue.store.migrate import migrate

SERVERS = {"postgres": postgres, "mariadb": mariadb}
HELD = 100_000


@click.command()
@click.option("--only", type=click.Choice(["sqlite", *SERVERS]))
@click.option("--jobs", default=20_000, show_default=True, help="Jobs of the other queue in a round.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--starts", default=300, show_default=True, help="Jobs of the limit that follow each other.")
def main(only: str | None, jobs: int, rounds: int, starts: int) -> None:
    print(
        "| database | jobs/s alone | beside 100,000 held | ratio"
        " | limit of one: end to start p50 | p99 | jobs/s of one tenant |"
    )
    print("|---" * 7 + "|")
    for name in [only] if only else ["sqlite", *SERVERS]:
        with application(name) as tq:
            turns = [(drained(tq, jobs, crowded=False), drained(tq, jobs, crowded=True)) for _ in range(rounds)]
            alone, beside = [turn[0] for turn in turns], [turn[1] for turn in turns]
            ratio = median(after / before for before, after in turns)
            gaps = gaps_of(tq, starts)
            rate = tenants_rate(tq, jobs // 4)
        print(
            f"| {name} | {figure(median(alone))} | {figure(median(beside))} | {ratio:.2f} "
            f"| {percentile(gaps, 50) * 1000:.1f} ms | {percentile(gaps, 99) * 1000:.1f} ms | {figure(rate)} |"
        )


@contextmanager
def application(name: str) -> Iterator[TomQueue]:
    """Give an application on an empty database."""
    with tempfile.TemporaryDirectory(prefix="tomqueue-benchmark-") as folder, database(name, folder) as url:
        os.environ.update(TOMQUEUE_DATABASE_URL=url, BENCHMARK_STARTS=f"{folder}/starts")
        tq = TomQueue()
        store = tq.bare_store()
        migrate(store.engine, store.tables)
        store.close()
        yield tq
        tq.close()


@contextmanager
def database(name: str, folder: str) -> Iterator[str]:
    """Give the URL of an empty database."""
    if name == "sqlite":
        yield f"sqlite:///{folder}/jobs.db"
        return
    with SERVERS[name]() as server, fresh_database(server) as url:
        yield url


def drained(tq: TomQueue, jobs: int, *, crowded: bool) -> float:
    """Return the jobs a second of a drain by one process."""
    store = tq.tools().store
    table = store.tables.jobs
    with store.writing() as connection:
        connection.execute(table.delete())
    if crowded:
        fill_held(store, HELD)
    job = tq.job(name="bench_app.noop", queue="other")(noop)
    tq.enqueue_many([job.prepare(number) for number in range(jobs)])
    return jobs / worked_off("other")


def gaps_of(tq: TomQueue, starts: int) -> list[float]:
    """Return the seconds between the starts of jobs that run one at a time, which is what lies between two of them."""
    job = tq.job(name="bench_app.stamp", queue="one", concurrency=1)(stamp)
    tq.enqueue_many([job.prepare(number) for number in range(starts)])
    worked_off("one")
    began = [float(line.split()[1]) for line in Path(os.environ["BENCHMARK_STARTS"]).read_text().splitlines()]
    return [after - before for before, after in pairwise(sorted(began))]


def tenants_rate(tq: TomQueue, jobs: int) -> float:
    """Return the jobs a second of a queue that one tenant has for itself."""
    job = tq.job(name="bench_app.noop", queue="fair", fair_key=lambda number: number * 0)(noop)
    tq.enqueue_many([job.prepare(number) for number in range(jobs)])
    return jobs / worked_off("fair")


def worked_off(queue: str) -> float:
    """Let the installed command work a queue off; return its seconds, less those of a start with nothing to do."""
    return seconds_of(queue) - seconds_of("nothing")


def seconds_of(queue: str) -> float:
    began = time.perf_counter()
    command = [str(Path(sys.executable).with_name("tomqueue")), "--app", "bench_app:tq", "workoff", "-p", "1"]
    subprocess.run([*command, "--queues", queue], cwd=Path(__file__).parent, check=True, capture_output=True)
    return time.perf_counter() - began


def noop(number: int) -> None:
    """Stand for the job of this name."""


def stamp(number: int) -> None:
    """Stand for the job of this name."""


if __name__ == "__main__":
    main()
