"""``tomqueue limits``: look at limits and fair sharing, and change a limit."""

from collections.abc import Sequence
from typing import Any

import click

from tomqueue.cli.output import Column, print_json, print_json_array, print_table
from tomqueue.cli.target import Target
from tomqueue.limits import Limits
from tomqueue.store.limit_table import LimitRow
from tomqueue.times import pace

__all__ = ["limits"]

COLUMNS = (
    Column(title="LIMIT", elastic=True, keep_end=True),
    Column(title="KEY", elastic=True),
    Column(title="AT ONCE", right=True),
    Column(title="RATE", right=True),
    Column(title="RUNNING", right=True),
    Column(title="LET IN", right=True),
    Column(title="WAITING", right=True),
    Column(title="CHANGED"),
)


@click.group()
def limits() -> None:
    """Look at limits and fair sharing, and change a limit."""


@limits.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_obj
def list_limits(target: Target, *, as_json: bool) -> None:
    """List every limit, a row for each key that has jobs: how many run, may start, and wait."""
    found = limits_of(target).list()
    if as_json:
        print_json_array(map(fields, found))
        return
    print_table(COLUMNS, map(cells, found), empty="no limits: no job with concurrency=, rate= or fair_key= is known")


@limits.command("set")
@click.argument("name", metavar="NAME")
@click.option("--concurrency", type=int, metavar="N", help="So many at once, of each key.")
@click.option("--rate", metavar="N/UNIT", help="So often, of each key: 10/s, 100/min, 1000/h, 5000/day.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def set_limit(target: Target, name: str, *, concurrency: int | None, rate: str | None, as_json: bool) -> None:
    """Change a limit until it is reset, or declared otherwise than before; jobs that are in go on."""
    limits_of(target).set(name, concurrency=concurrency, rate=rate)
    if as_json:
        print_json({"changed": [name]})
    else:
        click.echo(f"changed {name}: it counts within a second")


@limits.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def reset(target: Target, names: Sequence[str], *, as_json: bool) -> None:
    """Let a limit say again what the application declares."""
    for name in names:
        limits_of(target).reset(name)
        if not as_json:
            click.echo(f"reset {name}")
    if as_json:
        print_json({"reset": names})


def limits_of(target: Target) -> Limits:
    """Return the limits of an application, or of a database alone; no look makes an SQLite file."""
    target.store  # noqa: B018 - opening it is the look
    return target.tq.limits


def cells(row: LimitRow) -> Sequence[str]:
    """Return the row of a table."""
    return (
        row.name,
        row.key or "",
        "" if row.concurrency is None else f"{row.concurrency:,}",
        "" if row.every is None else pace(row.every),
        f"{row.running:,}",
        f"{row.let_in:,}",
        f"{row.waiting:,}",
        "by hand" if row.changed else "",
    )


def fields(row: LimitRow) -> dict[str, Any]:
    """Return a key of a limit as a JSON object; ``every`` in seconds."""
    known = {name: getattr(row, name) for name in row.__slots__}
    return {**known, "every": None if row.every is None else row.every.total_seconds(), "fair": row.is_fair}
