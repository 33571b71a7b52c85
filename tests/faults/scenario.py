"""What a scenario is. Each family has a file in ``scenarios/`` with a list called SCENARIOS; nothing else is to do."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.checker import Unknown, recoveries
from tests.faults.ledger import Event
from tests.faults.world import Setup, World

__all__ = ["DATABASES", "EVERYWHERE", "WITHOUT_BROKER", "WITH_BROKER", "Scenario", "all_scenarios", "families"]

DATABASES = ("sqlite", "postgres", "mariadb")
WITH_BROKER = tuple(Setup(database=database, broker=True) for database in DATABASES)
WITHOUT_BROKER = tuple(Setup(database=database, broker=False) for database in DATABASES)
EVERYWHERE = (*WITHOUT_BROKER, *WITH_BROKER)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One kind of fault. ``run`` starts what is to run, breaks something, and returns; the world waits for the rest."""

    name: str
    """Family and fault, like ``kill worker.after_claim``."""
    promise: str
    """The promises of docs/explanation/guarantees.md that it puts to the test, by their numbers."""
    expected: str
    """What must happen, in a sentence."""
    bound: float
    """Seconds within which the jobs that the fault kept waiting have started again."""
    run: Callable[[World], None]
    setups: tuple[Setup, ...] = EVERYWHERE
    selected: tuple[Setup, ...] = ()
    """Setups on which it is always part of the short selection; empty leaves it to the seed."""
    unknown: Unknown = Unknown.EITHER
    may_restart: bool = True
    """Whether a job may start a second time."""
    most_duplicates: int = 256
    """Most jobs whose code may have come to its end twice: a batch."""
    is_wired: bool = False
    """Whether its broker is one of its own, behind a wire that can fail: ``World.wired``."""
    is_short: bool = True
    """Whether the short selection may take it."""
    measure: Callable[[Sequence[Event]], list[float]] = recoveries
    """What the bound is for, of the events of one run."""
    may_charge: bool = True
    """Whether a job may be charged more than one attempt."""
    own_server: bool = False
    """Whether it needs a database server of its own, to stop it or to change its settings."""
    megabytes: int | None = None
    """Size of the database's disk, where that is what it is about."""
    may_overlap: bool = False
    """Whether two runs of a job may be under way at one moment: only where a process is frozen past its lease."""


def families() -> dict[str, list[Scenario]]:
    """Find the scenarios of every family, by the name of its file."""
    paths = sorted(Path(__file__).with_name("scenarios").glob("*.py"))
    return {path.stem: importlib.import_module(f"tests.faults.scenarios.{path.stem}").SCENARIOS for path in paths}


def all_scenarios() -> Iterator[Scenario]:
    """Return the scenarios of all families."""
    for scenarios in families().values():
        yield from scenarios
