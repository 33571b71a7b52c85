"""``tomqueue queues``: look at queues, pause and resume them."""

from collections.abc import Sequence
from typing import Any

import click

from tomqueue.cli.broker import look_at_broker
from tomqueue.cli.output import Column, print_json_array, print_table
from tomqueue.cli.target import Target
from tomqueue.job import State
from tomqueue.store.queues import QueueRow
from tomqueue.times import age

__all__ = ["COUNTED", "counts_of", "queues"]

COUNTED = (State.READY, State.RUNNING, State.SCHEDULED, State.PARKED, State.HELD, State.FAILED)
"""The states in the order of a table: what is about to happen first."""
COLUMNS = (
    Column(title="QUEUE", elastic=True),
    *(Column(title=state.upper(), right=True) for state in COUNTED),
    Column(title="PAUSED"),
)


@click.group()
def queues() -> None:
    """Look at queues, pause and resume them."""


@queues.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_obj
def list_queues(target: Target, *, as_json: bool) -> None:
    """List every known queue with its jobs by state; with a broker, also what is ready here and waits there."""
    found = target.catalog.queues.all()
    names = [row.name for row in found]
    broker = look_at_broker(target, names)
    if as_json:
        print_json_array({**fields(row), **broker.fields(row.name)} for row in found)
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
    broker.print_tables()


@queues.command()
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@click.pass_obj
def pause(target: Target, names: Sequence[str]) -> None:
    """Stop workers from taking jobs of a queue; what runs goes on."""
    for name in names:
        target.catalog.queues.pause(name)
        click.echo(f"paused {name}: workers stop taking its jobs within a second")


@queues.command()
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@click.pass_obj
def resume(target: Target, names: Sequence[str]) -> None:
    """Let workers take jobs of a queue again."""
    for name in names:
        target.catalog.queues.resume(name)
        click.echo(f"resumed {name}")


def fields(row: QueueRow) -> dict[str, Any]:
    """Return a queue as a JSON object."""
    return {"queue": row.name, "paused_at": row.paused_at, **counts_of(row)}


def counts_of(row: QueueRow) -> dict[str, int]:
    """Return how many jobs of a queue are in each state."""
    return {state.value: row.counts.get(state, 0) for state in COUNTED}
