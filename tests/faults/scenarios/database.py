"""The database is away: stopped, killed, hung up on, read-only, full, out of connections, locked, or an older copy.

Nobody is to be started again for it, nothing is charged, and nobody turns hot meanwhile.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.acceptance.site import wait_until
from tests.faults.ledger import What, is_atomic
from tests.faults.scenario import DATABASES, Scenario
from tests.faults.world import PATIENCE, Setup, World
from tests.small_disk import can_mount, filled
from tomqueue.service import boot_time

__all__ = ["SCENARIOS"]

AWAY = 4.0
"""Seconds for which it is away: less than a lease."""
LOOP = 10.0
EVERY = 0.3
MOST_CPU = 0.6
"""Of a core, for all processes together; the table has what was measured."""
MOST_LINES = 150
"""Lines of log that all processes together may write about it."""
BACK = 6.0
"""Seconds until somebody who pauses ever longer, at most 5 s, has noticed that it is back."""
ROOM = {"sqlite": 40, "postgres": 200, "mariadb": 240}
"""Megabytes of a disk that is soon full."""
SERVERS = tuple(Setup(database=database, broker=broker) for database in DATABASES[1:] for broker in (False, True))

LARGE = {"padding": 60_000, "delayed": 1.0, "latest": 6.0}
"""Jobs that need room, and stay for a while."""

Trouble = Callable[[World], Any]
"""A context manager: the trouble lasts as long as its block."""


@contextmanager
def stopped(world: World) -> Iterator[None]:
    """Stop the server in order."""
    world.database.server.stop()
    yield
    world.database.server.start()


@contextmanager
def killed(world: World) -> Iterator[None]:
    """Kill the server as a power cut does."""
    world.database.server.kill()
    yield
    world.database.server.start()


@contextmanager
def full(world: World) -> Iterator[None]:
    """Fill the disk; a server that ends by itself for want of room is started again when there is some."""
    with filled(world.database.disk):
        if world.setup.database == "postgres":
            world.database.admin.use_up_log()
        yield
    if world.database.server is not None:
        world.database.server.start_again()


@contextmanager
def locked(world: World) -> Iterator[None]:
    """Lock the table of jobs, or all of an SQLite file."""
    if world.setup.database != "sqlite":
        with world.database.admin.locked("tomqueue_jobs"):
            yield
        return
    link = sqlite3.connect(world.database.disk / "jobs.db", isolation_level=None, timeout=60)
    link.execute("BEGIN IMMEDIATE")
    yield
    link.execute("ROLLBACK")
    link.close()


def during(trouble: Trouble, seconds: float = AWAY, **load: Any) -> Callable[[World], None]:
    """Return the run in which a trouble lasts for some seconds, under load."""

    def run(world: World) -> None:
        world.supervisor()
        world.producer(world.load(**load))
        world.wait_for_jobs(100)
        lines = world.log_lines
        with trouble(world):
            world.ledger.write(What.FAULT, "away")
            world.away(seconds)
        goes_on(world, lines)

    return run


def goes_on(world: World, lines: int) -> None:
    """Look at what the trouble cost, and let the system show that it is over."""
    written = world.log_lines - lines
    assert written <= MOST_LINES, f"{written} lines of log"
    assert world.cpu is not None
    assert world.cpu < MOST_CPU, f"{world.cpu:.0%} of a core"
    world.stop_producers()


def sessions_ended(world: World) -> None:
    """End all sessions again and again."""
    world.supervisor()
    world.producer(world.load())
    world.wait_for_jobs(100)
    lines, until = world.log_lines, boot_time() + LOOP
    world.ledger.write(What.FAULT, "sessions")
    while boot_time() < until:
        world.database.admin.end_sessions()
        world.away(EVERY)
    goes_on(world, lines + 10 * MOST_LINES)


def nobody_is_taken_for_dead(world: World) -> None:
    """Restart the server for less than a lease, while several hosts run jobs: no lease may look over afterwards."""
    hosts = [world.supervisor(processes=1, TOMQUEUE_LEASE="20", TOMQUEUE_HEARTBEAT="5") for _ in range(3)]
    world.producer(world.load(long_every=20, long=0.5))
    workers: list[list[int]] = []

    def all_work() -> bool:
        """Say whether every host has started jobs: who finds no database at its very start ends, and comes again."""
        busy = {event.pid for event in world.ledger.read() if event.what is What.STARTED}
        workers[:] = [[pid for pid in host.children() if pid in busy] for host in hosts]
        return all(workers)

    world.wait_for_jobs(100)
    wait_until(all_work, "a job on every host", PATIENCE)
    with stopped(world):
        world.ledger.write(What.FAULT, "away")
        world.away(AWAY)
    world.stop_producers()
    world.finish_jobs()
    for host, before in zip(hosts, workers, strict=True):
        assert set(before) <= set(host.children()), "a worker was started again"
    assert not [host.log for host in hosts if "is lost" in host.log]
    starts = Counter(event.key for event in world.ledger.read() if event.what is What.STARTED)
    again = [key for key, number in starts.items() if number > 1 and not is_atomic(key)]
    assert not again, f"ran again, although no transaction of their own was lost: {again}"


def failed_over(world: World) -> None:
    """Kill the server, and go on with one that has the data of a second ago."""
    server = world.database.server
    world.supervisor()
    world.producer(world.load())
    world.wait_for_jobs(100)
    server.stop()
    since = boot_time()
    server.copy_data()
    server.start()
    time.sleep(1.0)
    world.wait_for_jobs(30)
    lines = world.log_lines
    server.kill()
    world.ledger.write(What.FAULT, "failover")
    world.forgotten = (since, boot_time())
    server.use_copy()
    world.away(AWAY)
    server.start()
    goes_on(world, lines)


def of_server(name: str, expected: str, run: Callable[[World], None], **more: Any) -> Scenario:
    """Return a scenario on a server of its own."""
    more = {"may_charge": False, "is_short": False, "setups": SERVERS, "bound": AWAY + BACK, **more}
    return Scenario(
        name=f"database {name}", promise="1, 2, 3, 4, 5", expected=expected, run=run, own_server=True, **more
    )


GOES_ON = "workers pause, and go on when it is back; nothing is charged"

SCENARIOS = [
    of_server("restarted", GOES_ON, during(stopped)),
    of_server("restarted, several hosts", "nobody is taken for dead, nothing runs twice", nobody_is_taken_for_dead),
    of_server("killed", GOES_ON, during(killed)),
    of_server("sessions ended in a loop", GOES_ON, sessions_ended, bound=LOOP + BACK),
    of_server("read-only", GOES_ON, during(lambda world: world.database.admin.read_only())),
    of_server("out of connections", GOES_ON, during(lambda world: world.database.admin.no_connections_left())),
    of_server("locked", GOES_ON, during(locked), setups=(*SERVERS, Setup(database="sqlite", broker=False))),
    of_server(
        "an older copy", "what it forgot is gone or runs again; what it knows runs", failed_over, most_duplicates=10**6
    ),
    *(
        of_server(
            f"full ({database})", GOES_ON, during(full, **LARGE), megabytes=megabytes,
            setups=tuple(Setup(database=database, broker=broker) for broker in (False, True)),
        )
        for database, megabytes in ROOM.items() if can_mount()
    ),
]  # fmt: skip
