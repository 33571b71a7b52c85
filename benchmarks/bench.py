"""Measure TomQueue: enqueue, drain, CPU per job, idle CPU, latency.

    python benchmarks/bench.py                              on a temporary SQLite file
    python benchmarks/bench.py --database-url postgresql+psycopg://…  on a database of yours (its jobs are deleted!)
    python benchmarks/bench.py --server postgres --broker      on private servers, with RabbitMQ

Each figure is the median of its rounds; compare figures of one run only.
"""

import os
import random
import resource
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

from tests.rabbitmq_server import rabbitmq
from tests.servers import fresh_database, mariadb, postgres

SERVERS = {"postgres": postgres, "mariadb": mariadb}
HERE = Path(__file__).parent
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


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
            os.environ["TOMQUEUE_BROKER_URL"] = servers.enter_context(rabbitmq()).url
        measure(database_url, jobs, rounds)


def measure(database_url: str | None, jobs: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="tomqueue-benchmark-") as folder:
        os.environ["TOMQUEUE_DATABASE_URL"] = database_url or f"sqlite:///{folder}/jobs.db"
        os.environ["BENCHMARK_STARTS"] = f"{folder}/starts"
        sys.path.insert(0, str(HERE))
        run("migrate")
        print("| what | median | all rounds |\n|---|---|---|")
        row("enqueue one by one, own transaction", "jobs/s", rounds, lambda: enqueue_singly(2_000))
        row("enqueue_many", "jobs/s", rounds, lambda: enqueue_in_bulk(jobs))
        rates, cpu = zip(*(drain(jobs) for _ in range(rounds)), strict=True)
        print_row("drain, 1 worker process", "jobs/s", list(rates))
        print_row("CPU per job, worker and supervisor", "µs", list(cpu))
        idle_worker, idle_supervisor = idle(10.0)
        print_row("idle worker", "% of a core", [idle_worker])
        print_row("idle supervisor", "% of a core", [idle_supervisor])
        latencies = latency(300, Path(folder) / "starts")
        print_row("enqueue → start, p50", "ms", [percentile(latencies, 50)])
        print_row("enqueue → start, p99", "ms", [percentile(latencies, 99)])


def row(what: str, unit: str, rounds: int, measure: Callable[[], float]) -> None:
    print_row(what, unit, [measure() for _ in range(rounds)])


def print_row(what: str, unit: str, values: list[float]) -> None:
    shown = " ".join(map(figure, values))
    print(f"| {what} | {figure(statistics.median(values))} {unit} | {shown} |", flush=True)


def figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def enqueue_singly(number: int) -> float:
    from bench_app import noop

    clear()
    began = time.perf_counter()
    for count in range(number):
        noop.enqueue(count)
    return number / (time.perf_counter() - began)


def enqueue_in_bulk(number: int) -> float:
    from bench_app import noop, tq

    clear()
    began = time.perf_counter()
    tq.enqueue_many([noop.prepare(count) for count in range(number)])
    return number / (time.perf_counter() - began)


def drain(number: int) -> tuple[float, float]:
    """Return jobs a second from the first to the last, and the CPU that each costs beyond starting and stopping."""
    from bench_app import tq

    clear()
    empty = cpu_of(lambda: run("workoff", "-p", "1"))
    enqueue_in_bulk(number)
    before = cpu_of_children()
    with started("workoff", "-p", "1") as process:
        while tq.jobs.count() == number:
            time.sleep(0.002)
        began, left = time.perf_counter(), tq.jobs.count()
        while tq.jobs.count():
            time.sleep(0.01)
        ended = time.perf_counter()
        process.wait()
    return left / (ended - began), (cpu_of_children() - before - empty) / number * 1e6


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
    from bench_app import stamp, tq

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
    run("clear", "--yes")


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "tomqueue", "--app", "bench_app:tq", "--log-level", "error", *words]


def run(*words: str) -> None:
    subprocess.run(command(*words), cwd=HERE, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def started(*words: str) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(command(*words), cwd=HERE) as process:
        try:
            yield process
        finally:
            process.terminate()


def cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def cpu_of(work: Callable[[], None]) -> float:
    before = cpu_of_children()
    work()
    return cpu_of_children() - before


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


if __name__ == "__main__":
    main()
