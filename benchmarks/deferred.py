"""Measure the deferred process: how late jobs are announced, how fast a crowd is, how much memory it takes.

    python benchmarks/deferred.py                       on private PostgreSQL and MariaDB servers
    python benchmarks/deferred.py --only postgres       on one of them
    python benchmarks/deferred.py --future 1000000      rows that are not due for a day, in the last round

The process runs by itself and publishes to memory. Lateness is the stamp of the publication by this machine's clock,
which the servers on it share, less the time the job was due; a negative one would be too early.
"""

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import click
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.conformance.filling import ANALYSE, fill
from tests.servers import fresh_database, mariadb, postgres
from tomqueue.daemon.deferred import Deferred
from tomqueue.daemon.leadership import Leadership
from tomqueue.settings import Settings
from tomqueue.store.leases import Leases
from tomqueue.store.migrate import migrate
from tomqueue.store.open import open_store
from tomqueue.store.sql import SqlStore
from tomqueue.transport.base import Notification

SERVERS = {"postgres": postgres, "mariadb": mariadb}
JOBS = 10_000
AHEAD = 4.0
"""Seconds from the start of the process to the first job's time, so that it is loaded ahead."""
COLUMNS = "queue, priority, name, payload, run_at, created_at, updated_at"
INSERT = f"INSERT INTO {{}} ({COLUMNS}) SELECT {{}} FROM ({{}}) AS numbers"
SPREAD = {
    "postgresql": ("to_timestamp({} + n * {})", "SELECT generate_series(1, {}) AS n", "statement_timestamp()"),
    "mysql": (
        "TIMESTAMP'1970-01-01 00:00:00' + INTERVAL ({} + n * {}) * 1000000 MICROSECOND",
        "SELECT seq AS n FROM seq_1_to_{}",
        "UTC_TIMESTAMP(6)",
    ),
}


@click.command()
@click.option("--only", type=click.Choice(list(SERVERS)))
@click.option("--future", default=1_000_000, show_default=True)
@click.option("--child", hidden=True)
@click.option("--expect", default=0, hidden=True)
def main(only: str | None, future: int, child: str | None, expect: int) -> None:
    if child:
        announce(child, expect)
        return
    print("| database | jobs | announced late: p50 | p99 | most | earliest | all within | RSS | CPU |")
    print("|---" * 9 + "|")
    for name in [only] if only else SERVERS:
        with SERVERS[name]() as server, fresh_database(server) as url:
            store = open_store(Settings(database_url=url))
            migrate(store.engine, store.tables)
            measure(f"{name} | {JOBS:,} over 30 s", store, url, 30.0)
            measure(f"{name} | {JOBS:,} at one instant", store, url, 0.0)
            fill(store, ready=0, future=future, failed=0)
            measure(f"{name} | {JOBS:,} over 30 s, {future:,} more in the table", store, url, 30.0)
            measure(f"{name} | {JOBS:,} at one instant, {future:,} more", store, url, 0.0)
            store.close()


def measure(what: str, store: SqlStore, url: str, seconds: float) -> None:
    first = time.time() + AHEAD
    insert(store, first, seconds)
    command = [sys.executable, __file__, "--child", url, "--expect", str(JOBS)]
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ)).stdout
    said = json.loads(out)
    due = dict(read_due(store))
    late = sorted(at - due[job] for job, at in said["published"])
    figures = [ms(late[len(late) // 2]), ms(late[len(late) * 99 // 100]), ms(late[-1]), ms(late[0])]
    within = f"{max(at for _, at in said['published']) - first - seconds:.2f} s"
    shown = [what, *figures, within, f"{said['rss']:.0f} MB", f"{said['cpu']:.1f} s"]
    print(f"| {' | '.join(shown)} |", flush=True)
    assert len(late) == len({job for job, _ in said["published"]}) == JOBS
    with store.writing() as connection:
        connection.execute(text(f"DELETE FROM {store.jobs} WHERE announced_at IS NOT NULL"))
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(ANALYSE[store.engine.dialect.name].format(store.jobs)))


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"


def insert(store: SqlStore, first: float, seconds: float) -> None:
    run_at, numbers, now = SPREAD[store.engine.dialect.name]
    columns = f"'default', n % 4, 'greet', '{{}}', {run_at.format(repr(first), repr(seconds / JOBS))}, {now}, {now}"
    with store.writing() as connection:
        connection.execute(text(INSERT.format(store.jobs, columns, numbers.format(JOBS))))


def read_due(store: SqlStore) -> Sequence[tuple[int, float]]:
    jobs = store.tables.jobs
    with store.reading() as connection:
        found = connection.execute(jobs.select().where(jobs.c.announced_at.is_not(None)))
        return [(row.id, row.run_at.timestamp()) for row in found]


# ---- The process that is measured ----


class Recorder:
    """A publisher that writes down what it was given, and when."""

    def __init__(self, expect: int) -> None:
        self.published: list[tuple[int, float]] = []
        self.all_there = threading.Event()
        self._expect = expect

    def publish(self, notifications: Sequence[Notification]) -> None:
        now = time.time()
        self.published += [(one.job_id, now) for one in notifications]
        if len(self.published) >= self._expect:
            self.all_there.set()

    def connect(self, _seconds: float) -> bool:
        return True

    def flush(self, _seconds: float) -> int:
        return 0

    def close(self) -> None:
        pass


def announce(url: str, expect: int) -> None:
    settings = Settings(database_url=url)
    store = open_store(settings)
    recorder = Recorder(expect)
    leadership = Leadership(Leases(store), heartbeat=settings.heartbeat, lease=settings.lease)
    deferred = Deferred(store, recorder, leadership, lambda error: print(repr(error), file=sys.stderr))
    thread = threading.Thread(target=deferred.run)
    thread.start()
    recorder.all_there.wait(120)
    deferred.stop()
    thread.join()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    said = {"published": recorder.published, "rss": usage.ru_maxrss / 1024, "cpu": usage.ru_utime + usage.ru_stime}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
