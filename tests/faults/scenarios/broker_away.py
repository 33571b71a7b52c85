"""The broker is away, or loses news: enqueueing and working go on, and nobody is started again for it.

Nothing crashes here, so no job may start twice.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.acceptance.site import Running, wait_until
from tests.faults.checker import longest_wait
from tests.faults.ledger import What
from tests.faults.scenario import Scenario
from tests.faults.wired import PATIENCE, WiredBroker
from tests.faults.world import Setup, World

__all__ = ["SCENARIOS"]

SETUPS = tuple(Setup(database=database, broker=True) for database in ("postgres", "mariadb"))
WORKERS = 2
BOUND = 5.0
"""Seconds that any job may wait for its start, once the broker tells nothing of it."""
BOUND_LOST = 60.0
"""The same where the broker tells of some jobs, but not of all: a busy worker finds out by and by."""
SEVERAL = 60
PAUSE = 0.02
LONG = 0.4
LONG_EVERY, LONG_PAUSE = 10, 0.1
"""With jobs that keep a slot busy: so that two workers are nearly always able to do what comes."""


@dataclass(frozen=True, kw_only=True)
class Away:
    """One way for the broker to be away, or to lose news."""

    name: str
    block: Callable[[WiredBroker], AbstractContextManager[None]]
    expected: str = "workers ask the database, and return to the broker"
    bound: float = BOUND
    seconds: float = 0.0
    """How long it lasts at least."""
    is_short: bool = False
    is_spied: bool = True
    """Whether each message is copied; where queues are deleted a copy would hide that."""
    long_every: int = 0
    """Every so many jobs, one keeps a slot busy, so that news is given back."""
    queue_type: str = "classic"


LOST = "workers find in the database what they are told nothing of"
WAYS = (
    Away(name="stopped", block=WiredBroker.stopped),
    Away(name="killed", block=WiredBroker.killed),
    Away(name="wiped", block=WiredBroker.wiped, is_spied=False),
    Away(name="blocked by a memory alarm", block=WiredBroker.without_memory, is_short=True, expected=LOST),
    Away(name="blocked by a disk alarm", block=WiredBroker.without_disk, expected=LOST),
    Away(name="blocked for half a minute", block=WiredBroker.without_memory, seconds=30, expected=LOST),
    Away(name="swallowed by the network", block=WiredBroker.swallowed, is_short=True),
    Away(name="swallowed for half a minute", block=WiredBroker.swallowed, seconds=30),
    Away(name="refused by the network", block=WiredBroker.refused, is_short=True),
    Away(name="cut off in a loop", block=WiredBroker.cut_again_and_again, seconds=3, is_short=True),
    Away(name="half a second away", block=WiredBroker.far, seconds=5, expected="news is late, by its way only"),
    Away(name="behind a lossy network", block=WiredBroker.lossy, seconds=5, expected="news is late, by its way only"),
    Away(name="queues deleted", block=WiredBroker.deleted, is_short=True, is_spied=False, expected=LOST),
    Away(name="queues purged", block=WiredBroker.purged, is_short=True, expected=LOST),
    Away(
        name="queues that drop all but one message", expected=LOST, seconds=5,
        block=lambda broker: broker.policy(**{"max-length": 1, "overflow": "drop-head"}), long_every=LONG_EVERY,
        bound=BOUND_LOST,
    ),
    Away(
        name="queues that drop messages at once", expected=LOST, seconds=5,
        block=lambda broker: broker.policy(**{"message-ttl": 0}), long_every=LONG_EVERY, bound=BOUND_LOST,
    ),
    Away(
        name="quorum queues that drop what is given back", expected=LOST, seconds=5, long_every=LONG_EVERY,
        bound=BOUND_LOST,
        block=lambda broker: broker.policy(**{"delivery-limit": 1}), queue_type="quorum",
    ),
)  # fmt: skip


def run_of(way: Away) -> Callable[[World], None]:
    """Return the run in which the broker is away for a while, under load."""

    def run(world: World) -> None:
        broker = world.wired
        assert broker is not None
        crew = world.supervisor(processes=WORKERS, TOMQUEUE_QUEUE_TYPE=way.queue_type)
        load = world.load(pause=LONG_PAUSE if way.long_every else PAUSE, long_every=way.long_every, long=LONG)
        producer = world.producer(load, TOMQUEUE_QUEUE_TYPE=way.queue_type)
        goes_on(world)
        broker.wait_until_served(WORKERS)
        children = crew.children()
        if way.is_spied:
            broker.spy()
        broker.wire.accepted.clear()
        break_off(world, way, broker)
        broker.wait_until_served(WORKERS)
        goes_on(world)
        assert crew.children() == children, "a process was started again"
        world.stop_producers()
        nothing_was_raised(producer)
        print(tale(way, broker))

    return run


def break_off(world: World, way: Away, broker: WiredBroker) -> None:
    """Break something, see that jobs go on, and mend it."""
    world.ledger.write(What.FAULT, way.name.replace(" ", "-"))
    until = time.monotonic() + way.seconds
    with way.block(broker):
        goes_on(world)
        while time.monotonic() < until:
            goes_on(world, 1)


def goes_on(world: World, jobs: int = SEVERAL) -> None:
    """Wait until so many more jobs have run."""
    enough = world.ledger.count(What.FINISHED) + jobs
    wait_until(lambda: world.ledger.count(What.FINISHED) >= enough, f"{jobs} more jobs", PATIENCE)


def nothing_was_raised(producer: Running) -> None:
    """See that no enqueue raised anything: the producer would have said so, or died."""
    producer.process.wait(PATIENCE)
    assert producer.process.returncode == 0, producer.log
    assert not [word for word in ("StoreUnavailable", "OutcomeUnknown", "Traceback") if word in producer.log]


def tale(way: Away, broker: WiredBroker) -> str:
    """Return how many connections came, and how much was published again."""
    text = f"{len(broker.wire.accepted)} connections from then on, {broker.most_connections()} in a second at most"
    if way.is_spied:
        told = broker.told()
        text += f"; {len(told)} jobs told of, {sum(told.values()) - len(told)} of them again"
    return text


def scenario_of(way: Away) -> Scenario:
    """Return the scenario of one way."""
    return Scenario(
        name=f"broker {way.name}" if not way.name.startswith("qu") else way.name, promise="1, 3, 4, 5, 6",
        expected=way.expected, bound=way.bound + (LONG if way.long_every else 0), run=run_of(way), setups=SETUPS,
        may_restart=False, most_duplicates=0, is_wired=True, is_short=way.is_short, measure=longest_wait,
    )  # fmt: skip


SCENARIOS: Sequence[Scenario] = [scenario_of(way) for way in WAYS]
