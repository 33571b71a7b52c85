"""``tomqueue queues``: look at queues, pause and resume them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from tomqueue.cli.output import Column, print_json_array, print_table
from tomqueue.cli.target import Target
from tomqueue.errors import BrokerUnavailable
from tomqueue.job import State
from tomqueue.priority import PRIORITIES, Priority
from tomqueue.store.catalog import QueueRow
from tomqueue.times import age
from tomqueue.transport.rabbitmq import Depth

__all__ = ["COUNTED", "counts_of", "queues"]

COUNTED = (State.READY, State.RUNNING, State.SCHEDULED, State.PARKED, State.HELD, State.FAILED)
"""The states in the order of a table: what is about to happen first."""
SIDE_COLUMNS = (
    Column(title="QUEUE", elastic=True),
    Column(title="PRIORITY"),
    Column(title="READY", right=True),
    Column(title="MESSAGES", right=True),
    Column(title="CONSUMERS", right=True),
)
COLUMNS = (
    Column(title="QUEUE", elastic=True),
    *(Column(title=state.upper(), right=True) for state in COUNTED),
    Column(title="PAUSED"),
)


@dataclass(frozen=True, slots=True)
class Side:
    """One queue and priority: rows that are ready in the database beside what the broker has of it."""

    queue: str
    rank: int
    ready: int
    depth: Depth | None

    @property
    def matters(self) -> bool:
        """Whether there is anything to see."""
        return bool(self.ready or (self.depth and (self.depth.messages or self.depth.consumers)))

    def cells(self) -> list[str]:
        """Return a line of the table; a message may tell of up to 64 jobs, and what a worker holds is not counted."""
        depth = ["-", "-"] if self.depth is None else [f"{self.depth.messages:,}", f"{self.depth.consumers:,}"]
        return [self.queue, Priority.of_rank(self.rank), f"{self.ready:,}", *depth]


def both_sides(target: Target, names: Sequence[str]) -> list[Side]:
    """Look at both sides; nothing without a broker, or while it is away."""
    try:
        with target.broker() as broker:
            if broker is None:
                return []
            depths = broker.depths(names)
    except BrokerUnavailable as error:
        click.echo(f"{error}: what follows is the database alone", err=True)
        return []
    ready = target.catalog.ready_by_priority()
    return [
        Side(name, rank, ready.get((name, rank), 0), depths.get((name, rank))) for name in names for rank in PRIORITIES
    ]


def broker_fields(sides: Sequence[Side], name: str) -> dict[str, Any]:
    """Return what the broker has of a queue, as a part of its JSON object."""
    ours = [side for side in sides if side.queue == name]
    if not ours:
        return {}
    return {
        "broker": {
            str(Priority.of_rank(side.rank)): {
                "ready": side.ready,
                "messages": None if side.depth is None else side.depth.messages,
                "consumers": None if side.depth is None else side.depth.consumers,
            }
            for side in ours
        }
    }


@click.group()
def queues() -> None:
    """Look at queues, pause and resume them."""


@queues.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_obj
def list_queues(target: Target, *, as_json: bool) -> None:
    """List every known queue with its jobs by state; with a broker, also what is ready here and waits there."""
    found = target.catalog.queues()
    sides = both_sides(target, [row.name for row in found])
    if as_json:
        print_json_array({**fields(row), **broker_fields(sides, row.name)} for row in found)
        return
    now = target.store.now()
    rows = (
        [
            row.name,
            *(f"{row.counts.get(state, 0):,}" for state in COUNTED),
            "" if row.paused_at is None else age(row.paused_at, now),
        ]
        for row in found
    )
    print_table(COLUMNS, rows, empty="no queues: no job was ever enqueued")
    if sides:
        click.echo()
        print_table(SIDE_COLUMNS, (side.cells() for side in sides if side.matters), empty="")


@queues.command()
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@click.pass_obj
def pause(target: Target, names: Sequence[str]) -> None:
    """Stop workers from taking jobs of a queue; what runs goes on."""
    for name in names:
        target.catalog.pause(name)
        click.echo(f"paused {name}: workers stop taking its jobs within a second")


@queues.command()
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@click.pass_obj
def resume(target: Target, names: Sequence[str]) -> None:
    """Let workers take jobs of a queue again."""
    for name in names:
        target.catalog.resume(name)
        click.echo(f"resumed {name}")


def fields(row: QueueRow) -> dict[str, Any]:
    """Return a queue as a JSON object."""
    return {"queue": row.name, "paused_at": row.paused_at, **counts_of(row)}


def counts_of(row: QueueRow) -> dict[str, int]:
    """Return how many jobs of a queue are in each state."""
    return {state.value: row.counts.get(state, 0) for state in COUNTED}
