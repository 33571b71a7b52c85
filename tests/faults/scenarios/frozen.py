"""Processes are frozen for longer than their lease (SIGSTOP), and woken (SIGCONT): a debugger, a suspended machine.

Who was frozen past its lease changes nothing when it wakes. On SQLite there is no lease to be over: the kernel knows
that a frozen process lives, so nothing of it is taken, and everybody goes on when it wakes.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from tests.acceptance.site import Running, wait_until
from tests.faults.ledger import What
from tests.faults.scenario import WITH_BROKER, WITHOUT_BROKER, Scenario
from tests.faults.world import PATIENCE, Crash, Setup, World
from tests.processes import freeze, is_alive

__all__ = ["SCENARIOS"]

HOST = 30.0
"""Seconds until somebody else runs what a frozen host ran, with the default times: a lease and a heartbeat, or until
the broker, which may tell the frozen host of it, has missed three signs of life."""
LONG = 0.3
PAST = 1.3
"""Leases for which somebody is frozen whose jobs nobody may take."""
VOUCHED = 30.0
"""Seconds within which those jobs go on: as long as it is frozen, with the default times, and a moment."""
SERVERS = tuple(setup for setup in (*WITHOUT_BROKER, *WITH_BROKER) if setup.database != "sqlite")
SQLITE = tuple(setup for setup in (*WITHOUT_BROKER, *WITH_BROKER) if setup.database == "sqlite")
OUTLASTS = 1.5
"""Leases that a job takes which cannot end before its worker's lease does."""
STEPS = (
    ("worker.after_claim", 5, 20),
    ("worker.before_start", 5, 40),
    ("worker.after_job", 5, 40),
    ("worker.after_finish", 5, 20),
    ("worker.in_give_back", 2, 4),
    ("atomic.before_commit", 1, 8),
    ("store.before_commit", 5, 20),
)
"""Where a worker is frozen, together with its host, when it has come there so many times: least and most."""


@contextmanager
def frozen(world: World, *pids: int) -> Iterator[None]:
    """Freeze processes for as long as the block lasts; they wake in the order of chance."""
    for pid in pids:
        freeze(pid)
    try:
        yield
    finally:
        for pid in world.random.sample(pids, len(pids)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def two_hosts(world: World, crash: Crash | None = None, *, others: int = 1) -> Running:
    """Start two supervisors, with a worker that is to be frozen and with some others; return the former.

    The broker hears of them every quarter of a lease, as by default: before the lease is over it gives a frozen one up.
    """
    heartbeat = str(round(world.lease / 4))
    world.supervisor(processes=others, TOMQUEUE_BROKER_HEARTBEAT=heartbeat)
    return world.supervisor(processes=1, crash=crash, TOMQUEUE_BROKER_HEARTBEAT=heartbeat)


def host_of(victim: Running) -> list[int]:
    """Return a supervisor and its children."""
    return [victim.process.pid, *victim.children()]


def lives_through(choose: Callable[[World, Running], Sequence[int]]) -> Callable[[World], None]:
    """Return the run in which somebody is frozen past its lease, and nobody may take its jobs."""

    def run(world: World) -> None:
        victim = world.supervisor()
        world.producer(world.load(long_every=60, long=LONG))
        world.long_runner()
        with frozen(world, *choose(world, victim)):
            world.ledger.write(What.FAULT, "frozen")
            time.sleep(world.lease * PAST)
        world.stop_producers()

    return run


def supervisor_alone(world: World) -> None:
    """Freeze a supervisor while a worker of its own runs a job that outlasts the lease; another one is there."""
    victim = two_hosts(world, others=3)  # so that one has a free slot, whatever long jobs there are
    world.producer(world.load())
    world.wait_for_jobs(1)
    slow = world.producer(world.load(pause=0.5, long_every=8, long=OUTLASTS * world.lease, delayed=0, warm=False))
    child = world.long_runner(among=victim.children)
    slow.send(signal.SIGTERM)
    key = job_of(world, child)
    with frozen(world, victim.process.pid):
        world.ledger.write(What.FAULT, "frozen-supervisor")
        wait_until(lambda: not is_alive(child), "the worker to end itself", PATIENCE)
        assert job_of(world, child) == key
        assert runners_of(world, key) == {child}, "its job was taken over while it could still run"
        wait_until(lambda: len(runners_of(world, key)) > 1, "its job to run elsewhere", PATIENCE)
    world.stop_producers()


def whole_host(world: World) -> None:
    """Freeze a supervisor with its children, as a suspended machine is, until its job runs elsewhere."""
    victim = two_hosts(world)
    world.producer(world.load(long_every=60, long=LONG))
    child = world.long_runner(among=victim.children)
    with frozen(world, *host_of(victim)):
        world.ledger.write(What.FAULT, "frozen-host")
        key = job_of(world, child)
        wait_until(lambda: len(runners_of(world, key)) > 1, f"{key} to run elsewhere", PATIENCE)
    wait_until(lambda: not is_alive(child), "the worker to end itself", PATIENCE)
    world.stop_producers()


def host_at(point: str, least: int, most: int) -> Callable[[World], None]:
    """Return the run in which a host is frozen when one of its workers is at a step."""

    def run(world: World) -> None:
        crash = Crash(point=point, times=world.random.randint(least, most), act="freeze")
        victim = two_hosts(world, crash)
        world.producer(world.load(long_every=60, long=LONG))
        worker = world.crashed(crash)
        with frozen(world, *host_of(victim)):
            wait_until(lambda: not world.has_lease(worker), "its lease to be taken over", PATIENCE)
        wait_until(lambda: not is_alive(worker), "the worker to end itself", PATIENCE)
        world.stop_producers()

    return run


def job_of(world: World, worker: int) -> str:
    """Return the key of the job that a worker started last."""
    return next(event.key for event in reversed(world.ledger.read()) if event.pid == worker and is_start(event.what))


def runners_of(world: World, key: str) -> set[int]:
    """Return who has started a job."""
    return {event.pid for event in world.ledger.read() if event.key == key and is_start(event.what)}


def is_start(what: What) -> bool:
    """Say whether a job started."""
    return what is What.STARTED


def of_sqlite(name: str, choose: Callable[[World, Running], Sequence[int]]) -> Scenario:
    """Return the scenario of somebody frozen on SQLite."""
    return Scenario(
        name=f"freeze {name} (SQLite)", promise="1, 3, 4, 5", expected="nothing is taken; it goes on when it wakes",
        bound=VOUCHED, run=lives_through(choose), setups=SQLITE, may_restart=False, most_duplicates=0,
        is_short=False,
    )  # fmt: skip


SCENARIOS = [
    Scenario(
        name="freeze a worker", promise="1, 3, 4, 5", setups=SERVERS,
        expected="its supervisor vouches for it: nothing is taken, it goes on when it wakes", bound=VOUCHED,
        run=lives_through(lambda world, _victim: [world.long_runner()]), may_restart=False, most_duplicates=0,
        is_short=False,
    ),
    Scenario(
        name="freeze a supervisor", promise="1, 3, 4, 5", setups=SERVERS,
        expected="its workers end before their lease does; their jobs run elsewhere, never two at once",
        bound=HOST + 2 * HOST, run=supervisor_alone, is_short=False,
    ),
    Scenario(
        name="freeze a whole host", promise="1, 3, 4, 5", setups=SERVERS,
        expected="its jobs run elsewhere; when it wakes it changes nothing, and its workers are replaced",
        bound=HOST + LONG, run=whole_host, may_overlap=True, selected=(Setup(database="mariadb", broker=True),),
    ),
    *(
        Scenario(
            name=f"freeze a host at {point}", promise="1, 3, 4, 5", setups=SERVERS,
            expected="its jobs run elsewhere; when it wakes it changes nothing that is not its own",
            bound=HOST + LONG, run=host_at(point, least, most), may_overlap=True,
            is_short=False,
        )
        for point, least, most in STEPS
    ),
    of_sqlite("a worker", lambda world, _victim: [world.long_runner()]),
    of_sqlite("a supervisor", lambda _world, victim: [victim.process.pid]),
    of_sqlite("a whole host", lambda _world, victim: host_of(victim)),
]  # fmt: skip
