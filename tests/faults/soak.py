"""``make soak MINUTES=10``: random faults every 5 to 40 seconds under load; nothing is lost, and nothing grows."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from sqlalchemy import make_url

from tests.acceptance.site import wait_until
from tests.faults.checker import Counts, check
from tests.faults.database import database_url
from tests.faults.disturbances import Soaked, disturbances_of
from tests.faults.flatness import Meters, connections_to
from tests.faults.ground import Ground
from tests.faults.scenario import DATABASES
from tests.faults.world import SHORT_TIMES, Setup, World
from tests.server_admin import ServerAdmin
from tomqueue.service import boot_time

__all__ = ["main", "soak"]

PAUSES = (5.0, 40.0)
SAMPLE_EVERY = 1.0


def soak(soaked: Soaked, meters: Meters, minutes: float, say: Callable[[str], None]) -> Counts:
    """Break something again and again; then let all of it end in order, and count."""
    world = soaked.world
    producer = world.producer(world.load(pause=0.05, long_every=100))
    wait_until(lambda: len(soaked.steady.children()) > 1, "the workers that stay")
    meters.add_process("a producer", producer.process.pid)
    meters.add_process("a supervisor", soaked.steady.process.pid)
    for place, pid in enumerate(soaked.steady.children()):
        meters.add_process(f"its process {place + 1}", pid)
    until = boot_time() + minutes * 60
    while boot_time() < until:
        sample_until(min(until, boot_time() + world.random.uniform(*PAUSES)), meters)
        disturbance = world.random.choice(disturbances_of(soaked))
        say(disturbance.__name__.replace("_", " "))
        disturbance(soaked)
    world.finish()
    return check(world.ledger.read(), world.effects())


def sample_until(moment: float, meters: Meters) -> None:
    """Measure all the time."""
    while boot_time() < moment:
        meters.read()
        time.sleep(SAMPLE_EVERY)


def main(arguments: Sequence[str]) -> int:
    """Soak for so many minutes; return 1 when a promise was broken or something grows."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--database", choices=DATABASES, default="postgres")
    parser.add_argument("--without-broker", action="store_true")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args(arguments)
    setup = Setup(database=options.database, broker=not options.without_broker)
    print(f"soaking {setup} for {options.minutes:g} minutes, seed {options.seed}", flush=True)
    began = boot_time()
    with ExitStack() as stack:
        soaked, meters = soaked_world(setup, options.seed, stack)
        counts = soak(soaked, meters, options.minutes, lambda what: print(f"{boot_time() - began:6.0f} s  {what}"))
    print(counts, *meters.series(), sep="\n")
    grown = [f"grows: {series}" for series in meters.series() if not series.is_flat]
    wrong = [*grown, *(f"{name}: {number}" for name, number in counts.wrong().items())]
    print(*(f"WRONG: {one}" for one in wrong), sep="\n")
    return 1 if wrong else 0


def soaked_world(setup: Setup, seed: int, stack: ExitStack) -> tuple[Soaked, Meters]:
    """Make the world, with a supervisor that stays and two that do not; and what measures its connections."""
    ground, meters = Ground(stack), Meters()
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tomqueue-soak-")))
    broker = ground("node") if setup.broker else None
    url = database_url(setup, ground, folder, stack)
    if broker is not None:
        meters.add("the broker", "connections", partial(connections_to, broker.port))
    if port := make_url(url).port:
        meters.add("the database", "connections", partial(connections_to, port))
    addresses = (url, None if broker is None else broker.url)
    world = stack.enter_context(World(folder, setup, addresses, times=SHORT_TIMES, seed=seed))
    admin = None if setup.database == "sqlite" else ServerAdmin(url)
    steady = world.supervisor(processes=1)
    others = [world.supervisor(), world.supervisor()]
    return Soaked(world=world, steady=steady, others=others, broker=broker, admin=admin), meters


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # what happens is read while it does
    sys.exit(main(sys.argv[1:]))
