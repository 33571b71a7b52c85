"""Processes are killed (SIGKILL) at every step of a job's journey, and as a whole.

The letters are those of the fault matrix that the scenarios were made from: E enqueue, W worker, S deferred process,
R sweep, V supervisor, H host.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.checker import Unknown
from tests.faults.scenario import EVERYWHERE, WITH_BROKER, Scenario
from tests.faults.world import Crash, World

__all__ = ["SCENARIOS"]

CHILD = 1.5
"""Seconds until the jobs of a killed child run elsewhere."""
HOST = 25.0
"""Seconds until those of a lost host do, with the default times: a lease and a heartbeat."""
START = 3.0
"""Seconds until a supervisor that is started again is there, and its workers."""
LOOK_BEHIND = 6.0
"""Seconds until an idle worker has found a row whose news was never sent."""
LONG = 0.3


@dataclass(frozen=True, kw_only=True)
class Step:
    """A point where a process dies, when it has reached it so often: a number from ``least`` to ``most``."""

    letter: str
    point: str
    least: int = 5
    most: int = 20
    only_broker: bool = False
    with_long: bool = False
    """Whether it needs jobs that keep a slot busy, so that what is claimed ahead is given back."""
    expected: str = "its jobs run elsewhere, those that had not started uncharged"


WORKER_STEPS = (
    Step(letter="W1", point="worker.after_delivery", only_broker=True),
    Step(letter="W2", point="worker.after_claim"),
    Step(letter="W3", point="worker.before_start", most=40),
    Step(letter="W5, W7", point="worker.after_job", most=40, expected="jobs of its batch run again, uncharged"),
    Step(letter="W6", point="worker.after_finish", expected="what was committed does not run again"),
    Step(letter="W8", point="worker.in_give_back", least=2, most=4, with_long=True),
    Step(letter="W8", point="worker.before_requeue", least=2, most=4, only_broker=True, with_long=True),
    Step(
        letter="W9",
        point="worker.before_flush",
        least=1,
        most=2,
        with_long=True,
        expected="jobs that had ended run again, uncharged",
    ),
    Step(letter="W", point="store.before_commit", expected="nothing of that transaction happened"),
    Step(letter="W", point="store.after_commit", expected="all of that transaction happened"),
    Step(
        letter="W5", point="atomic.before_commit", least=1, most=8, expected="its writes are rolled back; it runs again"
    ),
    Step(letter="W6", point="atomic.after_commit", least=1, most=8, expected="its effect is there once"),
)
ANNOUNCER_STEPS = (
    Step(
        letter="S2",
        point="announce.after_commit",
        least=1,
        most=3,
        only_broker=True,
        expected="idle workers find the rows whose news was not sent",
    ),
    Step(letter="S1", point="announce.after_publish", least=1, most=3, only_broker=True, expected="the same"),
)
PRODUCER_STEPS = (
    (Step(letter="E1", point="enqueue.before_commit"), Unknown.ABSENT),
    (Step(letter="E2", point="enqueue.after_commit"), Unknown.PRESENT),
    (Step(letter="E3", point="publish.before_confirm", only_broker=True), Unknown.EITHER),
)
OF_UNKNOWN = {
    Unknown.ABSENT: "what it had not committed never runs",
    Unknown.PRESENT: "what it had committed runs, although its news was never sent",
    Unknown.EITHER: "what it had committed runs",
}


def crash_of(world: World, step: Step) -> Crash:
    """Draw when somebody dies there."""
    return Crash(point=step.point, times=world.random.randint(step.least, step.most))


def worker_dies(step: Step) -> Callable[[World], None]:
    """Return the run in which one of two workers, or the deferred process, dies at a step, once."""

    def run(world: World) -> None:
        crash = crash_of(world, step)
        world.supervisor(crash=crash)
        world.producer(world.load(long_every=60 if step.with_long else 0, long=LONG))
        world.crashed(crash)
        world.stop_producers()

    return run


def producer_dies(step: Step) -> Callable[[World], None]:
    """Return the run in which one of two producers dies at a step."""

    def run(world: World) -> None:
        crash = crash_of(world, step)
        world.supervisor()
        world.producer(world.load())
        world.producer(world.load(), crash)
        world.crashed(crash)
        world.stop_producers()

    return run


def in_its_job(world: World) -> None:
    """Kill a worker while its job runs (W4)."""
    world.supervisor()
    world.producer(world.load(long_every=60, long=LONG))
    world.kill(world.long_runner(), what="worker in a job")
    world.stop_producers()


def supervisor_alone(world: World) -> None:
    """Kill a supervisor, whose workers die with it; another one is there (V)."""
    kill_one_of_two(world, with_children=False)


def whole_host(world: World) -> None:
    """Kill a supervisor and all of its children at one moment; another supervisor is there (H)."""
    kill_one_of_two(world, with_children=True)


def dies_when_a_child_dies(point: str) -> Callable[[World], None]:
    """Return the run in which a supervisor dies while it sees to a dead child's jobs; another one is there (V)."""

    def run(world: World) -> None:
        crash = Crash(point=point)
        world.supervisor(processes=1)
        victim = world.supervisor(processes=1, crash=crash)
        world.producer(world.load(long_every=60, long=LONG))
        world.kill(world.long_runner(among=victim.children), what="its child")
        world.crashed(crash)
        world.stop_producers()

    return run


def reaper_dies(world: World) -> None:
    """Kill a host, then the supervisor that takes over its leases before it frees a job (R1); a third one comes."""
    crash = Crash(point="sweep.after_bury")
    world.supervisor(processes=1, crash=crash)
    victim = world.supervisor(processes=1)
    world.producer(world.load(long_every=60, long=LONG))
    world.long_runner(among=victim.children)
    world.kill(victim.process.pid, *victim.children(), what="whole host")
    world.crashed(crash)
    world.supervisor(processes=1)
    world.stop_producers()


def kill_one_of_two(world: World, *, with_children: bool) -> None:
    """Kill a supervisor when its worker runs a job, so that somebody waits for its lease to end."""
    world.supervisor(processes=1)
    victim = world.supervisor(processes=1)
    world.producer(world.load(long_every=60, long=LONG))
    world.long_runner(among=victim.children)
    children = victim.children() if with_children else []
    world.kill(victim.process.pid, *children, what="whole host" if with_children else "supervisor")
    world.stop_producers()


def only_one(*, with_children: bool) -> Callable[[World], None]:
    """Return the run in which the only supervisor is killed, with its children or alone, and started again (H, V)."""

    def run(world: World) -> None:
        victim = world.supervisor()
        world.producer(world.load(long_every=60, long=LONG))
        world.long_runner()
        children = victim.children() if with_children else []
        world.kill(victim.process.pid, *children, what="only host" if with_children else "only supervisor")
        victim.wait()
        world.supervisor()
        world.stop_producers()

    return run


def of_worker(step: Step) -> Scenario:
    """Return the scenario of a step at which a worker or the deferred process dies."""
    bound = LOOK_BEHIND if step in ANNOUNCER_STEPS else CHILD
    return Scenario(
        name=f"kill at {step.point}", promise="1, 3, 4, 5, 7", expected=step.expected, bound=bound + LONG,
        run=worker_dies(step), setups=WITH_BROKER if step.only_broker else EVERYWHERE,
    )  # fmt: skip


def of_producer(step: Step, unknown: Unknown) -> Scenario:
    """Return the scenario of a step at which a producer dies; news that it had not sent yet dies with it."""
    return Scenario(
        name=f"kill at {step.point}", promise="1, 2", expected=OF_UNKNOWN[unknown], bound=LOOK_BEHIND + LONG,
        run=producer_dies(step), setups=WITH_BROKER if step.only_broker else EVERYWHERE, unknown=unknown,
        may_restart=False,
    )  # fmt: skip


SCENARIOS = [
    *map(of_worker, WORKER_STEPS),
    Scenario(
        name="kill a worker in a job", promise="1, 3, 4, 5, 7", expected="its job runs elsewhere, charged",
        bound=CHILD + LONG, run=in_its_job,
    ),
    *map(of_worker, ANNOUNCER_STEPS),
    *(of_producer(*step) for step in PRODUCER_STEPS),
    Scenario(
        name="kill a supervisor", promise="1, 3, 4, 5", expected="its workers die; another supervisor frees their jobs",
        bound=HOST + LONG, run=supervisor_alone,
    ),
    Scenario(
        name="kill a whole host", promise="1, 3, 4, 5", expected="another supervisor frees its jobs",
        bound=HOST + LONG, run=whole_host,
    ),
    *(
        Scenario(
            name=f"kill {what}", promise="1, 3, 4, 5", expected="the next supervisor finds and frees its jobs",
            bound=HOST + START + LONG, run=only_one(with_children=with_children),
        )
        for what, with_children in (("the only host", True), ("the only supervisor", False))
    ),
    *(
        Scenario(
            name=f"kill at {point}", promise="1, 3, 4, 5", expected="another supervisor frees the dead child's jobs",
            bound=HOST + LONG, run=dies_when_a_child_dies(point),
        )
        for point in ("supervisor.before_free", "supervisor.before_hand_over")
    ),
    Scenario(
        name="kill at sweep.after_bury", promise="1, 3, 4, 5", expected="a third supervisor frees the jobs",
        bound=2 * HOST + LONG, run=reaper_dies,
    ),
]  # fmt: skip
