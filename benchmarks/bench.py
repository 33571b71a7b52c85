"""Measure TomQueue: enqueue, drain, CPU per job, idle CPU, latency.

    python benchmarks/bench.py                              on a temporary SQLite file
    python benchmarks/bench.py --database-url postgresql+psycopg://…  on a database of yours (its jobs are deleted!)
    python benchmarks/bench.py --server postgres --broker      on private servers, with RabbitMQ

Each figure is the median of its rounds; compare figures of one run only.
"""

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring import CLOCK_TICKS, children_of, cpu_ticks, figure, percentile
from tests.rabbitmq_server import Broker, rabbitmq
from tests.servers import fresh_database, mariadb, postgres

SERVERS = {"postgres": postgres, "mariadb": mariadb}
BROKERS: list[Broker] = []
"""The private RabbitMQ, if there is one."""
PAUSE = 4
"""Between two counts of the jobs, by the time that a count takes."""
NEWS = "tomqueue.default.normal"
ROOT = Path(__file__).parent.parent


@click.command()
@click.option("--database-url", help="Default: a temporary SQLite file.")
@click.option("--server", type=click.Choice(list(SERVERS)), help="Start a private one.")
@click.option("--broker", is_flag=True, help="Start a private RabbitMQ as well.")
@click.option("--jobs", default=50_000, show_default=True, help="Jobs of a drain.")
@click.option("--rounds", default=5, show_default=True)
def main(database_url: str | None, server: str | None, broker: bool, jobs: int, rounds: int) -> None:
    with ExitStack() as servers:
        if server:
            database_url = servers.enter_context(fresh_database(servers.enter_context(SERVERS[server]())))
        if broker:
            node = servers.enter_context(rabbitmq())
            os.environ["TOMQUEUE_BROKER_URL"] = node.url
            BROKERS.append(node)
        measure(database_url, jobs, rounds, broker=broker)


def measure(database_url: str | None, jobs: int, rounds: int, *, broker: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="tomqueue-benchmark-") as folder:
        os.environ["TOMQUEUE_DATABASE_URL"] = database_url or f"sqlite:///{folder}/jobs.db"
        os.environ["BENCHMARK_STARTS"] = f"{folder}/starts"
        run("migrate")
        print("| what | median | all rounds |\n|---|---|---|")
        row("enqueue one by one, own transaction", "jobs/s", rounds, lambda: enqueue_singly(2_000))
        row("enqueue_many", "jobs/s", rounds, lambda: enqueue_in_bulk(jobs))
        show_drain("enqueued in bulk", [drain(jobs, enqueue_in_bulk) for _ in range(rounds)])
        if broker:
            show_drain("enqueued one by one", [drain(jobs, enqueue_singly) for _ in range(rounds)])
        idle_worker, idle_supervisor = idle(10.0)
        print_row("idle worker", "% of a core", [idle_worker])
        print_row("idle supervisor", "% of a core", [idle_supervisor])
        latencies = latency(300, Path(folder) / "starts")
        print_row("enqueue → start, p50", "ms", [percentile(latencies, 50)])
        print_row("enqueue → start, p99", "ms", [percentile(latencies, 99)])


def show_drain(how: str, results: list[tuple[float, float]]) -> None:
    print_row(f"drain, 1 worker process, {how}", "jobs/s", [rate for rate, _ in results])
    print_row("CPU per job, worker and supervisor", "µs", [cpu for _, cpu in results])


def row(what: str, unit: str, rounds: int, measure: Callable[[], float]) -> None:
    print_row(what, unit, [measure() for _ in range(rounds)])


def print_row(what: str, unit: str, values: list[float]) -> None:
    shown = " ".join(map(figure, values))
    print(f"| {what} | {figure(statistics.median(values))} {unit} | {shown} |", flush=True)


def enqueue_singly(number: int) -> float:
    from benchmarks.bench_app import noop

    clear()
    began = time.perf_counter()
    for count in range(number):
        noop.enqueue(count)
    return number / (time.perf_counter() - began)


def enqueue_in_bulk(number: int) -> float:
    from benchmarks.bench_app import noop, tq

    clear()
    began = time.perf_counter()
    tq.enqueue_many([noop.prepare(count) for count in range(number)])
    return number / (time.perf_counter() - began)


def waiting() -> int:
    """Return how many jobs there are; if any, after a pause, so that to count them takes little from the worker."""
    from benchmarks.bench_app import tq

    began = time.perf_counter()
    left = tq.jobs.count()
    if left:
        time.sleep(max(0.005, PAUSE * (time.perf_counter() - began)))
    return left


def drain(number: int, enqueue: Callable[[int], float]) -> tuple[float, float]:
    """Return jobs a second from the first to the last, and the CPU that each costs."""
    from benchmarks.bench_app import tq

    enqueue(number)
    tq.close()  # all news is with the broker, if there is one
    with started("work", "-p", "1") as process:
        while waiting() == number:
            continue
        pids = [process.pid, *children_of(process.pid)]
        began, left, cpu = time.perf_counter(), tq.jobs.count(), sum(map(cpu_ticks, pids))
        while waiting():
            continue
        ended = time.perf_counter()
        cpu = sum(map(cpu_ticks, pids)) - cpu
    return left / (ended - began), cpu / CLOCK_TICKS / left * 1e6


def idle(seconds: float) -> tuple[float, float]:
    clear()
    with started("work", "-p", "1") as process:
        time.sleep(8)  # until it has settled: start-up, and the deeper sleep of a quiet worker
        child = children_of(process.pid)[0]
        before = cpu_ticks(child), cpu_ticks(process.pid)
        time.sleep(seconds)
        after = cpu_ticks(child), cpu_ticks(process.pid)
    worker, supervisor = (
        (late - early) / CLOCK_TICKS / seconds * 100 for early, late in zip(before, after, strict=True)
    )
    return worker, supervisor


def latency(number: int, starts: Path) -> list[float]:
    from benchmarks.bench_app import stamp, tq

    clear()
    committed: dict[int, float] = {}
    with started("work", "-p", "1"):
        time.sleep(2)
        for count in range(number):
            time.sleep(random.uniform(0.02, 0.06))
            stamp.enqueue(count)
            committed[count] = time.time()
        while tq.jobs.count():
            time.sleep(0.05)
    began: dict[int, float] = {}
    for line in starts.read_text().splitlines():
        number_text, moment = line.split()
        began[int(number_text)] = float(moment)
    return [(began[count] - committed[count]) * 1000 for count in committed]


def clear() -> None:
    from benchmarks.bench_app import tq

    run("clear", "--yes")
    tq.close()
    for broker in BROKERS:
        if NEWS in broker.ctl("list_queues", "name"):
            broker.ctl("purge_queue", NEWS)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "tomqueue", "--app", "benchmarks.bench_app:tq", "--log-level", "error", *words]


def run(*words: str) -> None:
    subprocess.run(command(*words), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def started(*words: str) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(command(*words), cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
