"""Measure what a broker that is away costs: enqueueing meanwhile, and its return.

    python benchmarks/broker_away.py                    on private servers
    python benchmarks/broker_away.py --only postgres    on one database

Each state of the broker is measured in turns with a healthy one, so that what else the machine does falls on both.
"""

import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.faults.proxy import Proxy
from tests.faults.wired import WiredBroker
from tests.news import rabbit, raw_channel
from tests.rabbitmq_server import Broker, rabbitmq
from tests.servers import fresh_database, mariadb, postgres
from tomqueue import TomQueue
from tomqueue.settings import Settings
from tomqueue.store.migrate import migrate
from tomqueue.store.open import ready_store

SERVERS = {"postgres": postgres, "mariadb": mariadb}
ROOT = Path(__file__).parent.parent
PREFIX = "tomqueue"
SETTLE = 1.0
PAUSE = 0.001
"""Seconds between two calls, as of a web server: without it all that is measured is who gets the processor."""
STATES: Mapping[str, Callable[[WiredBroker], AbstractContextManager[None]]] = {
    "swallowed by the network": WiredBroker.swallowed,
    "blocked by an alarm": WiredBroker.without_memory,
    "refused by the network": WiredBroker.refused,
}


@click.command()
@click.option("--only", type=click.Choice(list(SERVERS)))
@click.option("--calls", default=2_000, show_default=True, help="Calls of a round.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--clients", default=50, show_default=True, help="Workers that return.")
@click.option("--backlog", default=20_000, show_default=True)
def main(only: str | None, calls: int, rounds: int, clients: int, backlog: int) -> None:
    logging.basicConfig(level=logging.CRITICAL)
    with ExitStack() as servers, tempfile.TemporaryDirectory(prefix="tomqueue-benchmark-") as folder:
        node = servers.enter_context(rabbitmq())
        wire = servers.enter_context(Proxy(node.port))
        os.environ["TOMQUEUE_BROKER_URL"] = node.url_through(wire.port)
        os.environ["BENCHMARK_STARTS"] = f"{folder}/starts"
        broker = WiredBroker(node, wire, PREFIX)
        print(
            "| database | broker | enqueue p50 | p99 | of a healthy one: p50 | p99 | ratio of p99 |\n"
            + "|---" * 7
            + "|"
        )
        apps = [servers.enter_context(application(name)) for name in ([only] if only else SERVERS)]
        for app in apps:
            for state, block in STATES.items():
                print_states(f"{app.name} | {state}", *in_turns(app.job, broker, block, calls, rounds))
            app.tq.close()
        print()
        for app in apps:
            print_backlog(app, broker, backlog)
        print_return(clients, node, wire)


class App(NamedTuple):
    name: str
    tq: TomQueue
    job: Any


@contextmanager
def application(name: str) -> Iterator[App]:
    """Give an application on a fresh database."""

    def noop(number: int) -> None: ...

    with SERVERS[name]() as server, fresh_database(server) as url:
        tq = TomQueue(url)
        bare = tq.bare_store()
        migrate(bare.engine, bare.tables)
        bare.close()
        yield App(name, tq, tq.job(name="benchmarks.bench_app.noop")(noop))
        tq.close()


# ---- Enqueueing ----


def in_turns(
    job: Any, broker: WiredBroker, block: Callable[[WiredBroker], AbstractContextManager[None]], calls: int, rounds: int
) -> tuple[list[float], list[float]]:
    """Return how long each call took while the broker was away, and while it was there."""
    away, healthy = [], []
    time_of_calls(job, calls // 10)
    for _ in range(rounds):
        healthy += time_of_calls(job, calls)
        with block(broker):
            away += time_of_calls(job, calls)
        time.sleep(SETTLE)
    return away, healthy


def time_of_calls(job: Any, calls: int) -> list[float]:
    times = []
    for number in range(calls):
        began = time.perf_counter()
        job.enqueue(number)
        times.append(time.perf_counter() - began)
        time.sleep(PAUSE)
    return times


def print_states(what: str, away: list[float], healthy: list[float]) -> None:
    figures = [percentile(times, percent) * 1000 for times in (away, healthy) for percent in (50, 99)]
    shown = " | ".join(f"{figure:.2f} ms" for figure in figures)
    print(f"| {what} | {shown} | {figures[1] / figures[3]:.2f} |", flush=True)


def percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


# ---- The return ----


def print_backlog(app: App, broker: WiredBroker, backlog: int) -> None:
    """Restart a broker that has news of a healthy backlog, drain it, and count what is published again."""
    tq, job = app.tq, app.job
    with tq.tools().store.engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM {tq.tools().store.jobs}")
    job.enqueue(0)
    tq.tools().publisher.flush(10)
    broker.spy()
    with raw_channel(broker.node.url) as channel:
        channel.queue_purge(f"{PREFIX}.default.normal")
    for number in range(backlog // 10):
        job.enqueue(number)
    tq.enqueue_many([job.prepare(number) for number in range(backlog - backlog // 10)])
    tq.tools().publisher.flush(30)
    first = broker.told()
    with broker.stopped():
        pass
    with draining(tq):
        while tq.jobs.count():
            time.sleep(0.05)
    again = broker.told()
    told = sum(first.values())
    print(
        f"{app.name}: {told:,} jobs told of, broker restarted, drained; told of again: {sum(again.values())}",
        flush=True,
    )


@contextmanager
def draining(tq: TomQueue) -> Iterator[None]:
    environment = {**os.environ, "TOMQUEUE_DATABASE_URL": tq.settings.database_url}
    command = [
        sys.executable,
        "-m",
        "tomqueue",
        "--app",
        "benchmarks.bench_app:tq",
        "--log-level",
        "error",
        "run",
        "-p",
        "2",
    ]
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        try:
            yield
        finally:
            process.terminate()


def print_return(clients: int, node: Broker, wire: Proxy) -> None:
    """Refuse many clients for half a minute, then let them in."""
    with tempfile.TemporaryDirectory() as folder:
        store = ready_store(Settings(database_url=f"sqlite:///{folder}/jobs.db"))
        transport = rabbit(store, node.url_through(wire.port), "return")
        consumers = [transport.consumer(lambda: ["default"]) for _ in range(clients)]
        wait(lambda: not any(consumer.asks_database for consumer in consumers))
        wire.refuse()
        time.sleep(30)
        wire.accepted.clear()
        back = time.monotonic()
        wire.resume()
        wait(lambda: not any(consumer.asks_database for consumer in consumers))
        took = time.monotonic() - back
        counts = Counter(int(moment - back) for moment in wire.accepted)
        seconds = [counts[second] for second in range(max(counts) + 1)]
        print(
            f"{clients} workers were refused for 30 s: all served again within {took:.1f} s, "
            f"{len(wire.accepted)} connections, in each second {seconds}"
        )
        closing = [threading.Thread(target=consumer.close) for consumer in consumers]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()
        store.close()


def wait(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.02)


if __name__ == "__main__":
    main()
