"""An application is deployed while there is a backlog: old and new workers side by side, and a table that changes."""

import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.acceptance.site import Running, wait_until
from tests.faults.ledger import Event, What
from tests.faults.release import NEW, OLD, note_of
from tests.faults.scenario import Scenario
from tests.faults.world import PATIENCE, Setup, World
from tomqueue import State

__all__ = ["SCENARIOS"]

BACKLOG, SHORT_BACKLOG = 100_000, 2_000
WITH_LARGE = tuple(Setup(database=database, broker=True) for database in ("postgres", "mariadb"))
"""Where there is a large backlog, with the default times: it takes a minute."""
SECONDS = 0.001
ONLY_ONE_KNOWS = 5
"""Every so many jobs, one that the other release does not know."""
LATE = 20
"""Jobs of the old release that come when all workers are new."""
BOUND = 180.0
"""Seconds until all has run, most of which the backlog takes."""
MIGRATION = "ALTER TABLE tomqueue_jobs ADD COLUMN of_a_later_release VARCHAR(40) NULL"

Roll = Callable[[World, Running], None]


def rolled(roll: Roll) -> Callable[[World], None]:
    """Return the run of a deploy: a migration, the first new workers, new jobs, the old workers; then a way back."""

    def run(world: World) -> None:
        release = world.ledger.path.with_name("release")
        world.set(TOMQUEUE_APP="tests.faults.deployed:tq", FAULTS_RELEASE=str(release))
        backlog = BACKLOG if world.has_time and world.setup in WITH_LARGE else SHORT_BACKLOG
        deploy(release, OLD)
        enqueued(world, backlog)
        old = world.supervisor()
        wait_until(lambda: world.ledger.count(What.FINISHED) > 0, "the first job", PATIENCE)
        world.ledger.write(What.FAULT, "deploy")
        world.execute(MIGRATION)
        deploy(release, NEW)
        world.supervisor(processes=1)
        enqueued(world, backlog // 10)
        wait_until(lambda: world.count(State.PARKED) > 0, "a job that nobody could read yet", PATIENCE)
        roll(world, old)
        only_old_left(world)
        wait_until(lambda: all_have_looked(world, release), "every process to have its release", PATIENCE)
        way_back(world, release)

    return run


def by_hup(world: World, old: Running) -> None:
    """Let a supervisor replace its workers one by one."""
    children = set(old.children())
    old.send(signal.SIGHUP)
    wait_until(lambda: not children & set(old.children()), "all workers to be replaced", PATIENCE)
    assert world.count(State.FAILED) == 0


def by_term(world: World, old: Running) -> None:
    """End a supervisor, and start another one."""
    old.send(signal.SIGTERM)
    assert old.wait() == 0, old.log
    world.supervisor()


def way_back(world: World, release: Path) -> None:
    """Let a web process that is still old enqueue what no worker knows any more: it waits until one does.

    All workers are replaced by old ones, as one does with a release that was wrong. Beside others, that would park it
    again and again, its turn with one that knows it would come by chance.
    """
    deploy(release, OLD)
    done = world.ledger.count(What.FINISHED)
    enqueued(world, LATE, every=1)
    wait_until(lambda: world.count(State.PARKED) == world.count() >= LATE, "what nobody knows to be parked", PATIENCE)
    assert world.ledger.count(What.FINISHED) == done
    world.drain()
    world.supervisor()


def all_have_looked(world: World, release: Path) -> bool:
    """Say whether all that run know which release they got: who starts after the next deploy gets another."""
    return all(
        children and all(note_of(pid, release).exists() for pid in children) for children in world.all_children()
    )


def deploy(release: Path, name: str) -> None:
    """Let processes that start from now on be of that release."""
    release.write_text(name)


def enqueued(world: World, jobs: int, every: int = ONLY_ONE_KNOWS) -> None:
    """Enqueue so many jobs as a process of the present release does."""
    load = world.load(jobs=jobs, seconds=SECONDS, pause=0.0, long_every=every)
    producer = world.producer(load, module="tests.faults.deployed")
    producer.process.wait(PATIENCE)
    assert producer.process.returncode == 0, producer.log


def only_old_left(world: World) -> None:
    """Wait until nothing is left, also nothing that failed, but for what no worker knows any more."""
    wait_until(lambda: world.count() == world.count(name="removed"), "all jobs to have run", 2 * PATIENCE)


def until_the_last(events: Sequence[Event]) -> list[float]:
    """Return the seconds from the deploy until the last job had ended."""
    began = next(event.time for event in events if event.what is What.FAULT)
    return [max(event.time for event in events if event.what is What.FINISHED) - began]


def of_deploy(name: str, roll: Roll, selected: tuple[Setup, ...] = ()) -> Scenario:
    """Return the scenario of one way to replace the old workers."""
    return Scenario(
        name=f"deploy by {name}", promise="1, 4, 8", bound=BOUND, run=rolled(roll), measure=until_the_last,
        expected="what a worker cannot read is parked, and runs on one that can; nothing is dropped, charged or failed",
        may_restart=False, may_charge=False, most_duplicates=0, selected=selected,
        is_short=bool(selected),
    )  # fmt: skip


SCENARIOS = [
    of_deploy("HUP", by_hup, (Setup(database="postgres", broker=True),)),
    of_deploy("TERM and a new supervisor", by_term),
]
