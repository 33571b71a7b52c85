"""Measure how soon jobs run elsewhere when a worker, a host or the leading deferred process is lost.

    python benchmarks/takeover.py                             all of it, on private servers: some ten minutes
    python benchmarks/takeover.py child --waiting 20000       a worker killed, with fewer jobs waiting in its queue
    python benchmarks/takeover.py host leader --only mariadb  the others, on one database

Leases are as by default: 20 s. Each line is measured with RabbitMQ and, but for the leader, without it. A lost host
is frozen, so that neither its own processes nor the servers see it die: as when power or network is lost.
"""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from sqlalchemy import select

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.acceptance.site import Installed, Running, environment_of, wait_until
from tests.conformance.filling import fill
from tests.processes import freeze, is_alive
from tests.rabbitmq_server import rabbitmq
from tests.servers import fresh_database, mariadb, postgres
from tomqueue import TomQueue
from tomqueue.service import boot_time
from tomqueue.store.leases import LEADER, Leases

SERVERS = {"postgres": postgres, "mariadb": mariadb}
BOUNDS = {"child": 1.5, "host": 30.0, "leader": 25.0}
PATIENCE = 120.0
FRESH = 0.1
"""Seconds since its start in which a job of 0.2 s is surely under way."""
EVERY = 0.25
"""Seconds between two jobs that fall due while nobody leads."""


@dataclass(frozen=True)
class Said:
    what: str
    job: int
    pid: int
    time: float


class Ground:
    """A database, a broker or none, and what the jobs there have said."""

    def __init__(self, folder: Path, database_url: str, broker_url: str | None) -> None:
        settings = {"database_url": database_url, **({"broker_url": broker_url} if broker_url else {})}
        self.out = folder / "out"
        self.out.touch()
        app = {"TOMQUEUE_APP": "takeover_app:tq", "BENCHMARK_OUT": str(self.out)}
        here = {"PYTHONPATH": str(Path(__file__).parent)}
        self.installed = Installed(folder, {**os.environ, **app, **here, **environment_of(settings)})
        self.installed.run("migrate")
        self.tq = TomQueue(**settings)
        self.greet = self.tq.job(name="greet")(greet)
        self.leases = Leases(self.tq.tools().store)

    def said(self) -> list[Said]:
        lines = (line.split() for line in self.out.read_text().splitlines())
        return [Said(what, int(job), int(pid), float(at)) for what, job, pid, at in lines]

    def latest(self, among: Sequence[int]) -> Said | None:
        """Return the latest start of a job that runs in one of these processes and began just now."""
        said = self.said()[-100:]
        ended = {(one.job, one.pid) for one in said if one.what == "end"}
        running = [one for one in said if one.what == "start" and one.pid in among and (one.job, one.pid) not in ended]
        return running[-1] if running and boot_time() - running[-1].time < FRESH else None

    def start_elsewhere(self, job: int, pid: int) -> float | None:
        return next(
            (one.time for one in self.said() if one.what == "start" and one.job == job and one.pid != pid), None
        )

    def has_ended(self, job: int) -> bool:
        return any(one.what == "end" and one.job == job for one in self.said())

    def pids_of(self, kind: str) -> list[int]:
        pids = [int(worker.name.rpartition(":")[2]) for worker in self.leases.all() if worker.kind == kind]
        return [pid for pid in pids if is_alive(pid)]

    def leader(self) -> int | None:
        store = self.tq.tools().store
        workers = store.tables.workers
        with store.reading() as connection:
            found: int | None = connection.execute(select(workers.c.supervisor).where(workers.c.id == LEADER)).scalar()
        return found


def greet(seconds: float = 0.2) -> None:
    """Stand for the job of this name."""


@click.command()
@click.argument("what", nargs=-1, type=click.Choice(list(BOUNDS)))
@click.option("--only", type=click.Choice(list(SERVERS)))
@click.option("--waiting", default=1_000_000, show_default=True, help="jobs in the queue of the worker that is killed")
@click.option("--kills", default=100, show_default=True, help="of workers")
@click.option("--rounds", default=5, show_default=True, help="of hosts and leaders lost")
def main(what: tuple[str, ...], only: str | None, waiting: int, kills: int, rounds: int) -> None:
    print("| lost | database | broker | times | p50 | p99 | most | bound |\n|---|---|---|---|---|---|---|---|")
    for name in [only] if only else SERVERS:
        for with_broker in (False, True):
            with ground(name, with_broker=with_broker) as made:
                if "host" in what or not what:
                    show("host", name, with_broker, hosts_lost(made, rounds), "host")
                if with_broker and ("leader" in what or not what):
                    leads, late = leaders_lost(made, rounds)
                    show("leader: another one leads", name, with_broker, leads, "leader")
                    show("leader: jobs that fall due meanwhile", name, with_broker, late, "leader")
                if "child" in what or not what:
                    times = children_killed(made, waiting, kills)
                    show(f"worker, {waiting:,} jobs waiting", name, with_broker, times, "child")


def show(what: str, database: str, broker: bool, times: list[float], bound: str) -> None:
    times = sorted(times)
    figures = [f"{seconds:.2f} s" for seconds in (times[len(times) // 2], times[len(times) * 99 // 100], times[-1])]
    columns = [what, database, "RabbitMQ" if broker else "none", str(len(times)), *figures, f"{BOUNDS[bound]:g} s"]
    print(f"| {' | '.join(columns)} |", flush=True)


@contextmanager
def ground(name: str, *, with_broker: bool) -> Iterator[Ground]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tomqueue-benchmark-")))
        url = stack.enter_context(fresh_database(stack.enter_context(SERVERS[name]())))
        broker_url = stack.enter_context(rabbitmq()).url if with_broker else None
        made = Ground(folder, url, broker_url)
        stack.callback(made.tq.close)
        yield made


def found(look: Callable[[], Said | None]) -> Said:
    """Wait until ``look`` finds something, and return it."""
    seen: list[Said] = []

    def has_found() -> bool:
        one = look()
        seen[:] = [] if one is None else [one]
        return bool(seen)

    wait_until(has_found, "a job that runs", PATIENCE)
    return seen[0]


def waited(made: Ground, job: int, pid: int, since: float) -> float:
    """Wait until a job runs in another process; return how long that took."""
    wait_until(lambda: made.start_elsewhere(job, pid) is not None, f"job {job} to run elsewhere", PATIENCE)
    return (made.start_elsewhere(job, pid) or 0.0) - since


# ---- A worker is killed ----


def children_killed(made: Ground, waiting: int, kills: int) -> list[float]:
    """Kill workers of one supervisor, one after the other, while they run a job of a long queue."""
    made.greet.enqueue(0.0)  # so that the queue is known
    fill(made.tq.tools().store, ready=waiting, future=0, failed=0)
    times: list[float] = []
    if made.tq.settings.broker_url:
        made.tq.jobs.republish(rate=10**9)
    with made.installed.started("run", "-p", "2") as running:
        while len(times) < kills:
            wait_until(lambda: len(made.pids_of("worker")) == 2, "both workers", PATIENCE)
            victims = made.pids_of("worker")
            for victim in victims:
                one = found(lambda victim=victim: made.latest([victim]))  # type: ignore[misc]
            os.kill(one.pid, signal.SIGKILL)
            killed = boot_time()
            if not any(said.what == "end" and said.job == one.job for said in made.said()):
                times.append(waited(made, one.job, one.pid, killed))
        running.send(signal.SIGTERM)
        running.wait()
    return times


# ---- A host is lost ----


def hosts_lost(made: Ground, rounds: int) -> list[float]:
    """Freeze one of two supervisors with all of its children while a worker of it runs a job; kill them afterwards."""
    times: list[float] = []
    with ExitStack() as stack:
        hosts = [stack.enter_context(made.installed.started("run", "-p", "1")) for _ in range(2)]
        for _ in range(rounds):
            wait_until(lambda: len(made.pids_of("worker")) == 2, "both hosts", PATIENCE)
            victim = hosts.pop(0)
            one = found(lambda victim=victim: long_job_in(made, victim))  # type: ignore[misc]
            pids = [victim.process.pid, *victim.children()]
            for pid in pids:
                freeze(pid)
            times.append(waited(made, one.job, one.pid, boot_time()))
            send(signal.SIGKILL, pids)
            victim.wait()
            wait_until(lambda: made.tq.jobs.count() == 0, "the rest", PATIENCE)
            hosts.append(stack.enter_context(made.installed.started("run", "-p", "1")))
        for host in hosts:
            host.send(signal.SIGTERM)
    return times


def long_job_in(made: Ground, victim: Running) -> Said | None:
    """Enqueue jobs until one runs on a host."""
    made.greet.enqueue(1.0)
    time.sleep(EVERY)
    said = [one for one in made.said() if one.pid in victim.children()]
    return said[-1] if said and said[-1].what == "start" else None


def send(number: signal.Signals, pids: Sequence[int]) -> None:
    """Send a signal to processes."""
    for pid in pids:
        os.kill(pid, number)


# ---- The leader is lost ----


def leaders_lost(made: Ground, rounds: int) -> tuple[list[float], list[float]]:
    """Kill the deferred processes; return when another one led, and how late what fell due meanwhile began, at most."""
    leads: list[float] = []
    late: list[float] = []
    with made.installed.started("run", "-p", "2") as running:
        for _ in range(rounds):
            wait_until(lambda: bool(made.pids_of("deferred")) and made.leader() is not None, "a leader", PATIENCE)
            before = made.leader()
            send(signal.SIGKILL, made.pids_of("deferred"))
            killed, due = boot_time(), {}
            while made.leader() == before:
                due[made.greet.using(delay=EVERY).enqueue(0.0).id] = boot_time() + EVERY
                time.sleep(EVERY)
            leads.append(boot_time() - killed)
            wait_until(lambda: made.tq.jobs.count() == 0, "the rest", PATIENCE)
            late.append(max(one.time - due[one.job] for one in made.said() if one.what == "start" and one.job in due))
        running.send(signal.SIGTERM)
        running.wait()
    return leads, late


if __name__ == "__main__":
    main()
