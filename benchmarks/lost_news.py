"""Measure what becomes of jobs whose news RabbitMQ lost, and that a healthy backlog is left alone.

    python benchmarks/lost_news.py                        all of it, on private PostgreSQL and RabbitMQ servers
    python benchmarks/lost_news.py busy                   lost jobs, while other news keeps four workers busy
    python benchmarks/lost_news.py purged --jobs 100000   a broker that lost all its news: the rate of a drain
    python benchmarks/lost_news.py healthy                a backlog of twice as many: what is published again,
                                                          or taken behind its news

Times are by this machine's clock, which the servers on it share.
"""

import json
import os
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import click
import pika
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import bench
from tests.rabbitmq_server import rabbitmq
from tests.servers import fresh_database, postgres
from tomqueue import TomQueue
from tomqueue.settings import Settings
from tomqueue.store.open import open_store
from tomqueue.transport.base import Notification
from tomqueue.transport.rabbitmq.message import MOST_JOBS, encode_body, encode_properties

BACKLOG = 1_500
"""Jobs that always wait: more than four workers hold."""
MISSING = 50
SPREAD = 600.0
"""Seconds over which a healthy backlog was announced, so that much of it is overtaken by more than half a minute."""


@click.command()
@click.argument("what", nargs=-1, type=click.Choice(["busy", "purged", "healthy"]))
@click.option("--jobs", default=100_000, show_default=True)
def main(what: tuple[str, ...], jobs: int) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tomqueue-benchmark-")))
        server = stack.enter_context(postgres())
        broker = stack.enter_context(rabbitmq())
        os.environ["TOMQUEUE_DATABASE_URL"] = stack.enter_context(fresh_database(server))
        os.environ["TOMQUEUE_BROKER_URL"] = broker.url
        os.environ["BENCHMARK_STARTS"] = str(folder / "starts")
        os.environ["BENCHMARK_LOST"] = str(folder / "lost")
        bench.BROKERS.append(broker)
        bench.run("migrate")
        print("| what | figure |\n|---|---|")
        if "busy" in what or not what:
            busy(folder)
        if "purged" in what or not what:
            purged(folder, jobs)
        if "healthy" in what or not what:
            healthy(folder, 2 * jobs)


def show(what: str, figure: str) -> None:
    print(f"| {what} | {figure} |", flush=True)


def found_behind(folder: Path) -> int:
    """Return how many jobs were found behind their news since the last call."""
    file = folder / "lost"
    number = len(file.read_bytes().splitlines())
    os.truncate(file, 0)
    return number


def starts(folder: Path) -> dict[int, float]:
    """Return when each job started."""
    file = folder / "starts"
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return {int(number): float(at) for number, at in map(str.split, lines)}


def wait_until(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.05)


@contextmanager
def channel() -> Iterator[Any]:
    """Give a channel of our own at the broker."""
    with pika.BlockingConnection(pika.URLParameters(os.environ["TOMQUEUE_BROKER_URL"])) as connection:
        yield connection.channel()


def purge() -> int:
    """Throw all news away that waits; return how many messages that were."""
    with channel() as own:
        return int(own.queue_purge(bench.NEWS).method.message_count)


# ---- Lost while other news keeps every slot busy ----


@contextmanager
def flood() -> Iterator[None]:
    """Keep a backlog of jobs of 20 ms, so that no slot is ever idle."""
    from benchmarks.bench_app import nap, tq

    over, numbers = threading.Event(), count()

    def run() -> None:
        while not over.wait(0.1):
            for _ in range(BACKLOG - tq.jobs.count(queue="default")):
                nap.enqueue(next(numbers))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def busy(folder: Path) -> None:
    with flood(), bench.started("work", "-p", "4"):
        wait_until(lambda: len(starts(folder)) > 500)
        found_behind(folder)
        for queue, priority in (("mailers", "normal"), ("default", "high")):
            report(f"{MISSING} jobs of {queue}.{priority} that were never published", unsent(queue, priority), folder)
        report(f"{MISSING} messages of default.normal that another consumer acked", acked(), folder)
        show("found behind their news", f"{found_behind(folder)}")
        seconds = Counter(int(at) for at in starts(folder).values())
        full = [seconds[second] for second in range(min(seconds) + 1, max(seconds))]
        show("jobs that started in a second: fewest, mean", f"{min(full)}, {sum(full) / len(full):.0f}")
    bench.clear()


def report(what: str, numbers: Sequence[int], folder: Path) -> None:
    began = time.time()
    wait_until(lambda: starts(folder).keys() >= set(numbers))
    at = starts(folder)
    late = sorted(at[number] - began for number in numbers)
    show(f"{what}: started after", f"{late[0]:.1f} to {late[-1]:.1f} s")


def unsent(queue: str, priority: str, name: str = "stamp", jobs: int = MISSING) -> list[int]:
    """Enqueue jobs without news, as a process does that is killed after its commit; return their numbers."""
    mute = TomQueue(os.environ["TOMQUEUE_DATABASE_URL"], broker_url="")

    @mute.job(name=f"benchmarks.bench_app.{name}")
    def job(number: int) -> None: ...

    begin = time.time_ns() // 1000
    numbers = list(range(begin, begin + jobs))
    mute.enqueue_many([job.using(queue=queue, priority=priority).prepare(number) for number in numbers])
    mute.close()
    return numbers


def acked() -> list[int]:
    """Take messages out of the broker's queue; return the numbers of their jobs."""
    from benchmarks.bench_app import tq

    with channel() as own:
        wait_until(lambda: own.queue_declare(bench.NEWS, passive=True).method.message_count > MISSING)
        bodies = [own.basic_get(bench.NEWS, auto_ack=True)[2] for _ in range(MISSING)]
    jobs = [tq.jobs.get(json.loads(body)["job_id"]) for body in bodies]
    return [int("".join(re.findall(r"\d", job.payload))) for job in jobs]


# ---- A broker that lost all its news ----


def purged(folder: Path, jobs: int) -> None:
    def without_news(number: int) -> float:
        rate = enqueue(number)
        purge()
        return rate

    normal, _ = bench.drain(jobs, enqueue)
    show(f"drain of {jobs:,} jobs by their news", f"{normal:,.0f} jobs/s")
    found_behind(folder)
    rate, _ = bench.drain(jobs, without_news)
    show("… whose news was purged", f"{rate:,.0f} jobs/s, {rate / normal:.0%} of the normal rate")
    show("… of these found behind their news", f"{found_behind(folder):,}")
    seconds, pause = purged_at_work(jobs)
    show("the same, purged while it is worked off", f"{jobs / seconds:,.0f} jobs/s, longest pause {pause:.1f} s")
    show("… of these found behind their news", f"{found_behind(folder):,}")


def enqueue(number: int) -> float:
    """Enqueue in bulk and wait until all news is with the broker."""
    from benchmarks.bench_app import tq

    rate = bench.enqueue_in_bulk(number)
    tq.close()
    return rate


def purged_at_work(jobs: int) -> tuple[float, float]:
    """Return how long the whole took, and the longest time in which no job ended."""
    from benchmarks.bench_app import tq

    enqueue(jobs)
    with bench.started("work", "-p", "1"):
        wait_until(lambda: tq.jobs.count() < jobs)
        purge()
        began = at = time.perf_counter()
        pause, left = 0.0, jobs
        while left:
            time.sleep(0.01)
            before, left, now = left, tq.jobs.count(), time.perf_counter()
            pause = max(pause, now - at)
            at = at if left == before else now
    return at - began, pause


# ---- A healthy backlog ----


def healthy(folder: Path, jobs: int) -> None:
    from benchmarks.bench_app import tq

    bench.clear()
    unsent("default", "normal", "noop", jobs)
    tell_spread_out()
    found_behind(folder)
    with channel() as own:
        tap = own.queue_declare("", exclusive=True).method.queue
        own.queue_bind(tap, "tomqueue.work", "#")
        began = time.perf_counter()
        with bench.started("work", "-p", "4"), bench.started("deferred"):
            wait_until(lambda: not tq.jobs.count())
        rate = jobs / (time.perf_counter() - began)
        again = own.queue_declare(tap, passive=True).method.message_count
    show(f"healthy backlog of {jobs:,}, announced over {SPREAD:g} s, 4 workers", f"{rate:,.0f} jobs/s")
    show("… messages that were published again", f"{again}")
    show("… jobs taken behind their news", f"{found_behind(folder)}")


def tell_spread_out() -> None:
    """Give the rows stamps over ten minutes, and tell the broker of them in their order, as their producers did."""
    store = open_store(Settings(database_url=os.environ["TOMQUEUE_DATABASE_URL"]))
    stamp = f"statement_timestamp() - interval '{SPREAD:g} s' * (1 - place / total)"
    groups = f"SELECT id, (row_number() OVER (ORDER BY id) - 1) / {MOST_JOBS} AS place FROM {store.jobs}"
    placed = f"SELECT id, place, max(place) OVER () + 1.0 AS total FROM ({groups}) AS g"
    with store.writing() as connection:
        connection.execute(
            text(f"UPDATE {store.jobs} AS j SET announced_at = {stamp} FROM ({placed}) AS p WHERE j.id = p.id")
        )
    with store.writing() as connection:
        rows = connection.execute(text(f"SELECT id, announced_at FROM {store.jobs} ORDER BY id")).all()
    store.close()
    with channel() as own:
        for begin in range(0, len(rows), MOST_JOBS):
            some = rows[begin : begin + MOST_JOBS]
            news = [Notification(job, "default", 1, at) for job, at in some]
            own.basic_publish("", bench.NEWS, encode_body(news, some[0][1]), encode_properties(1, some[0][1], "told"))


if __name__ == "__main__":
    main()
