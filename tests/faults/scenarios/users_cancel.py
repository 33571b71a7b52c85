"""People cancel jobs, waiting and running ones, while workers are killed."""

from tests.acceptance.site import wait_until
from tests.faults.ledger import What
from tests.faults.scenario import Scenario
from tests.faults.world import PATIENCE, World, stored_key
from tomqueue import State
from tomqueue.errors import JobNotFound, JobStateError

__all__ = ["SCENARIOS"]

KILLS = 3
WAITING, RUNNING = 4, 2
"""So many jobs of each kind are cancelled before a worker is killed."""
STATES = {What.WITHDRAWN: (State.SCHEDULED, State.READY), What.ASKED_TO_END: (State.RUNNING,)}
"""Where to look for jobs that are then probably answered for so."""
LONG = 1.5
"""So that a job runs when it is cancelled, and is told of it (within about a second)."""
BOUND = 1.5 + 2 * LONG
"""Seconds until the jobs of a killed worker run elsewhere, behind a job or two that keep the other one busy."""
LOAD = {"long_every": 200, "long": LONG, "delayed": 0.3, "latest": 2.0}
"""Of a hundred jobs a second, long ones for less than one worker: else they would pile up."""


def cancel_one(world: World, *states: State) -> What | None:
    """Cancel one of the jobs in these states, if there are any; write down and return how that was answered."""
    found = [job for state in states for job in world.jobs.list(state=state, limit=None)]
    found = [job for job in found if job.cancelled_at is None]
    if not found:
        return None
    job = world.random.choice(found)
    try:
        answer = world.jobs.cancel(job.id)
    except (JobNotFound, JobStateError):  # it has finished meanwhile
        return None
    told = What.WITHDRAWN if answer.state is State.FAILED else What.ASKED_TO_END
    world.ledger.write(told, stored_key(job))
    return told


def cancel_some(world: World) -> None:
    """Cancel jobs until so many of each kind were answered for."""
    left = {What.WITHDRAWN: WAITING, What.ASKED_TO_END: RUNNING}

    def enough() -> bool:
        wanted = world.random.choice([told for told, number in left.items() if number > 0])
        told = cancel_one(world, *STATES[wanted])
        if told is not None:
            left[told] -= 1
        return max(left.values()) <= 0

    wait_until(enough, "jobs to cancel", PATIENCE)


def while_workers_die(world: World) -> None:
    """Cancel at random, kill a child, and again."""
    world.supervisor(TOMQUEUE_MAX_CRASHES="100")  # a job may be unlucky: that it fails then is another promise
    world.producer(world.load(**LOAD))
    for _ in range(KILLS):
        world.wait_for_jobs(30)
        cancel_some(world)
        (children,) = world.all_children()
        world.kill(world.random.choice(children), what="worker while jobs are cancelled")
    cancel_some(world)
    world.stop_producers()
    world.keep_cancelled()


SCENARIOS = [
    Scenario(
        name="cancel while workers are killed", promise="1, 3, 4, 5",
        expected="what is cancelled is kept as that and never runs again; all others run", bound=BOUND,
        run=while_workers_die,
    ),
]  # fmt: skip
