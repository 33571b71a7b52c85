"""Runs a scenario once, and says what it showed. The short selection and the whole matrix share this."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.checker import Counts, check, forget
from tests.faults.database import database_of
from tests.faults.proxy import Proxy
from tests.faults.scenario import Scenario
from tests.faults.wired import WiredBroker
from tests.faults.world import Setup, World
from tests.rabbitmq_server import Broker, delete_names

__all__ = ["Result", "run_once"]

Find = Callable[[str], Any]
"""Gives a running server by the name of its fixture in tests/conftest.py."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one run showed."""

    scenario: Scenario
    setup: Setup
    seed: int
    counts: Counts
    recoveries: list[float]
    cpu: float | None = None
    """Share of a core that all supervisors and their children used while something was away."""

    @property
    def wrong(self) -> dict[str, int]:
        """What must not be, by name; empty when all promises held."""
        scenario, counts = self.scenario, self.counts
        wrong = counts.wrong(
            may_overlap=scenario.may_overlap, may_restart=scenario.may_restart, may_charge=scenario.may_charge
        )
        if counts.duplicated > scenario.most_duplicates:
            wrong["duplicated"] = counts.duplicated
        return wrong

    def __str__(self) -> str:
        waits = ", ".join(f"{seconds:.2f} s" for seconds in self.recoveries) or "nobody waited"
        cpu = "" if self.cpu is None else f"; {self.cpu:.0%} of a core meanwhile"
        return f"{self.scenario.name} on {self.setup} (seed {self.seed}): {self.counts}; recovery {waits}{cpu}"


def run_once(
    scenario: Scenario, setup: Setup, find: Find, folder: Path, *, seed: int, times: Mapping[str, float]
) -> Result:
    """Run a scenario in a world of its own, to its end."""
    with ExitStack() as stack:
        database = stack.enter_context(database_of(scenario, setup, find, folder))
        node, wire = wired_node(find, stack) if scenario.is_wired else (None, None)
        broker_url = node.url_through(wire.port) if node and wire else find("rabbitmq_server") if setup.broker else None
        world = World(folder, setup, (database.url, broker_url), times=times, seed=seed, database=database)
        if node and wire:
            world.wired = WiredBroker(node, wire, world.prefix)
        elif broker_url is not None:
            stack.callback(delete_names, broker_url, world.prefix)
        stack.enter_context(world)
        scenario.run(world)
        world.finish()
        events = world.ledger.read()
        if world.forgotten is not None:
            events = forget(events, *world.forgotten)
        result = Result(
            scenario=scenario, setup=setup, seed=seed, counts=check(events, world.effects(), scenario.unknown),
            recoveries=scenario.measure(events), cpu=world.cpu,
        )  # fmt: skip
        if result.wrong:
            print(world.logs)
        return result


def wired_node(find: Find, stack: ExitStack) -> tuple[Broker, Proxy]:
    """Return a node that runs, whatever the run before did to it, and a healthy wire to it."""
    node: Broker = find("node")
    node.start()
    return node, stack.enter_context(Proxy(node.port))
