"""A supervisor is told to end (SIGTERM) while a worker of its own is at any step of a job's journey.

What can end within the grace time does, once; the rest is given back, uncharged; and the process ends in time, with 0.
"""

import signal
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from tests.acceptance.site import Running, wait_until
from tests.faults.ledger import Event, What
from tests.faults.scenario import EVERYWHERE, WITH_BROKER, Scenario
from tests.faults.world import PATIENCE, Crash, Setup, World
from tomqueue import State
from tomqueue.service import boot_time

__all__ = ["SCENARIOS"]

GRACE = 5.0
BOUND = GRACE + 2
"""Seconds within which the supervisor has ended: before the platform kills it."""
SHORT, LONG = 0.3, 8.0
"""Seconds: what can end within the grace time, and what cannot."""
STEPS = (
    ("worker.after_delivery", 5, 20),
    ("worker.after_claim", 5, 20),
    ("worker.before_start", 5, 40),
    ("worker.after_job", 5, 40),
    ("worker.before_flush", 1, 2),
    ("worker.after_finish", 5, 20),
    ("worker.in_give_back", 2, 4),
    ("worker.before_requeue", 2, 4),
    ("atomic.before_commit", 1, 8),
    ("atomic.after_commit", 1, 8),
)
"""Where a worker is when its parent is told, when it has come there so many times: least and most. Only points that
the supervisor never comes to: it would tell its own parent."""
ONLY_BROKER = {"worker.after_delivery", "worker.before_requeue"}
SELECTED = {
    "worker.before_start": (Setup(database="sqlite", broker=False),),
}


def told_at(point: str, least: int, most: int) -> Callable[[World], None]:
    """Return the run in which a supervisor is told to end when a worker of its own is at a step, with short jobs."""

    def run(world: World) -> None:
        crash = Crash(point=point, times=world.random.randint(least, most), act="drain")
        victim = world.supervisor(crash=crash, TOMQUEUE_GRACE=str(GRACE))
        world.producer(world.load(long_every=60, long=SHORT))
        world.crashed(crash)
        ends(world, victim)
        another_goes_on(world)

    return run


def told_while_long_jobs_run(world: World) -> None:
    """Tell a supervisor to end while jobs run that cannot end within the grace time, and others that can."""
    victim = world.supervisor(TOMQUEUE_GRACE=str(GRACE))
    world.producer(world.load(long_every=20, long=SHORT))
    slow = world.producer(world.load(pause=0.5, long_every=4, long=LONG, delayed=0, warm=False))
    wait_until(lambda: bool(slow_runs(world, slow)), "a long job", PATIENCE)
    slow.send(signal.SIGTERM)
    world.ledger.write(What.FAULT, "told")
    victim.send(signal.SIGTERM)
    ends(world, victim)
    another_goes_on(world)


def slow_runs(world: World, producer: Running) -> list[Event]:
    """Return the starts of a producer's jobs that have not ended, and have run for a moment."""
    events, now = world.ledger.read(), boot_time()
    keys = {event.key for event in events if event.what is What.ENQUEUED and event.pid == producer.process.pid}
    ended = {event.key for event in events if event.what is What.FINISHED}
    return [
        event
        for event in events
        if event.what is What.STARTED and event.key in keys - ended and now - event.time > SHORT
    ]


def ends(world: World, victim: Running) -> None:
    """Wait until a supervisor has ended; see that it left nothing half done."""
    victim.process.wait(PATIENCE)
    world.ledger.write(What.ENDED, "supervisor")
    assert victim.process.returncode == 0, victim.log
    assert world.count(State.RUNNING) == 0, "rows were left claimed"


def another_goes_on(world: World) -> None:
    """Let another supervisor do the rest; see that nothing ran twice but what was cut short."""
    world.supervisor()
    world.stop_producers()
    world.finish()
    events = world.ledger.read()
    cut = Counter(event.key for event in events if event.what is What.CUT)
    starts = Counter(event.key for event in events if event.what is What.STARTED)
    again = {key: number for key, number in starts.items() if number != 1 + cut[key]}
    assert not again, f"ran again although they could end: {again}"


def until_ended(events: Sequence[Event]) -> list[float]:
    """Return the seconds from the word until the supervisor had ended."""
    told, ended = (next(event.time for event in events if event.what is what) for what in (What.FAULT, What.ENDED))
    return [ended - told]


def of_shutdown(name: str, expected: str, run: Callable[[World], None], **more: Any) -> Scenario:
    """Return a scenario in which nothing may be charged."""
    return Scenario(
        name=f"drain {name}", promise="1, 3, 4, 5", expected=expected, bound=BOUND, run=run, measure=until_ended,
        may_charge=False, **more,
    )  # fmt: skip


SCENARIOS = [
    *(
        of_shutdown(
            f"at {point}", "what runs ends, once; the rest is given back", told_at(point, least, most),
            setups=WITH_BROKER if point in ONLY_BROKER else EVERYWHERE, may_restart=False, most_duplicates=0,
            selected=SELECTED.get(point, ()), is_short=point in SELECTED,
        )
        for point, least, most in STEPS
    ),
    of_shutdown(
        "with long jobs", "they are interrupted, given back uncharged, and run again", told_while_long_jobs_run,
        most_duplicates=0, is_short=False,
    ),
]  # fmt: skip
