"""Measure what a unique key costs an enqueue, beside the same enqueue without one.

    python benchmarks/unique.py                                   on SQLite and on private servers: some minutes
    python benchmarks/unique.py --only postgres --rounds 20       on one database, more often

Each round enqueues a piece one by one in each way, in turn, so that what else the machine does meets all of them; then
it says how long each took beside the plain one of its round: the median of all rounds. An enqueue that meets a held key
writes nothing, but reads the job that holds it.
"""

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from sqlalchemy import create_engine

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring import figure
from tests.servers import fresh_database, mariadb, postgres
from tomqueue import TomQueue, configure_sqlite
from tomqueue.settings import Settings
from tomqueue.store.migrate import migrate
from tomqueue.store.open import open_store

SERVERS = {"postgres": postgres, "mariadb": mariadb}
KINDS = ("sqlite", *SERVERS)
WARM = 50
"""Enqueues of each way that come before the first one that is measured."""

Way = Callable[[int], object]


@contextmanager
def database(kind: str) -> Iterator[str]:
    """Give the URL of an empty database."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="tomqueue-") as folder:
            yield f"sqlite:///{folder}/jobs.db"
    else:
        with SERVERS[kind]() as server, fresh_database(server) as url:
            yield url


def ways_of(tq: TomQueue, url: str) -> dict[str, Way]:
    """Return the ways to enqueue that are compared, each for a number that comes once; the first one is the plain."""

    @tq.job(name="refresh")
    def refresh(number: int) -> None: ...

    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        configure_sqlite(engine)

    def in_callers(number: int, unique: str | None) -> object:
        with engine.begin() as connection:
            return refresh.using(connection=connection, unique=unique).enqueue(number)

    refresh.using(unique="held", delay=86400).enqueue(0)
    return {
        "plain": refresh.enqueue,
        "unique": lambda number: refresh.using(unique=f"key-{number}").enqueue(number),
        "unique, of the arguments": refresh.using(unique=True).enqueue,
        "unique, held": refresh.using(unique="held").enqueue,
        "plain, caller's transaction": lambda number: in_callers(number, None),
        "unique, caller's transaction": lambda number: in_callers(number, f"key-{number}"),
    }


def measured(ways: dict[str, Way], jobs: int, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each round for each way."""
    numbers = iter(range(1, sys.maxsize))
    for way in ways.values():
        for _ in range(WARM):
            way(next(numbers))
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name in random.sample(list(ways), len(ways)):
            began = time.perf_counter()
            for _ in range(jobs):
                ways[name](next(numbers))
            times[name].append(time.perf_counter() - began)
    return times


def ratio(times: Sequence[float], beside: Sequence[float]) -> float:
    """Return how many times as long something took, by the median of the rounds."""
    return statistics.median(one / other for one, other in zip(times, beside, strict=True))


def report(kind: str, times: dict[str, list[float]], jobs: int) -> None:
    """Print what a database took."""
    for name, found in times.items():
        base = "plain, caller's transaction" if "caller's" in name else "plain"
        micros = statistics.median(found) / jobs * 1_000_000
        click.echo(f"{kind:10} {name:30} {figure(micros):>8} µs   x {ratio(found, times[base]):.2f}")


@click.command()
@click.option("--only", type=click.Choice(KINDS), multiple=True, help="Only on this database; may be given again.")
@click.option("--jobs", default=300, show_default=True, help="Enqueues of each way in a round.")
@click.option("--rounds", default=15, show_default=True, help="Rounds.")
def main(only: Sequence[str], jobs: int, rounds: int) -> None:
    """Compare unique enqueues with plain ones, one by one, a commit each."""
    for kind in only or KINDS:
        with database(kind) as url:
            store = open_store(Settings(database_url=url))
            migrate(store.engine, store.tables)
            store.close()
            tq = TomQueue(url)
            report(kind, measured(ways_of(tq, url), jobs, rounds), jobs)
            tq.close()


if __name__ == "__main__":
    main()
