"""``tomqueue schedules``: look at periodic jobs, run, pause and resume them."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import click

from tomqueue.cli.output import Column, print_json, print_json_array, print_table
from tomqueue.cli.target import Target
from tomqueue.schedules import Schedules
from tomqueue.store.schedules import ScheduleRow
from tomqueue.times import age, clock, span

__all__ = ["schedules"]

COLUMNS = (
    Column(title="NAME", elastic=True, keep_end=True),
    Column(title="WHEN", elastic=True),
    Column(title="MISFIRE"),
    Column(title="STATE"),
    Column(title="NEXT", elastic=True),
    Column(title="LAST"),
)


@click.group()
def schedules() -> None:
    """Look at periodic jobs, run, pause and resume them."""


@schedules.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_obj
def list_schedules(target: Target, *, as_json: bool) -> None:
    """List every periodic job: when it runs, next and last, and whether it is paused."""
    found = schedules_of(target).list()
    if as_json:
        print_json_array(map(fields, found))
        return
    now = target.store.now()
    print_table(
        COLUMNS, (cells(row, now) for row in found), empty="no schedules: no job is declared with cron= or every="
    )


@schedules.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def run(target: Target, names: Sequence[str], *, as_json: bool) -> None:
    """Enqueue a periodic job now; its next tick stays as it is."""
    target.app()
    jobs = {}
    for name in names:
        jobs[name] = schedules_of(target).run(name).id
        if not as_json:
            click.echo(f"enqueued {name} as job {jobs[name]}")
    if as_json:
        print_json({"enqueued": jobs})


def switch(verb: str, done: str, act: Callable[[Schedules, str], None], words: str) -> None:
    """Add a command that switches the schedules that are named."""

    @schedules.command(verb, help=words)
    @click.argument("names", nargs=-1, required=True, metavar="NAME...")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
    @click.pass_obj
    def change(target: Target, names: Sequence[str], *, as_json: bool) -> None:
        for name in names:
            act(schedules_of(target), name)
            if not as_json:
                click.echo(f"{done} {name}")
        if as_json:
            print_json({done: names})


switch("pause", "paused", Schedules.pause, "Let no further tick become a job; jobs that are enqueued already go on.")
switch("resume", "resumed", Schedules.resume, "Go on with the first tick from now; those of the pause are left out.")


def schedules_of(target: Target) -> Schedules:
    """Return the schedules of an application, or of a database alone; no look makes an SQLite file."""
    target.store  # noqa: B018 - opening it is the look
    return target.tq.schedules


def cells(row: ScheduleRow, now: datetime) -> Sequence[str]:
    """Return the row of a table."""
    return (
        row.name,
        f"{row.cron} {row.timezone}" if row.every is None else f"every {span(row.every.total_seconds())}",
        row.misfire,
        row.state,
        "" if row.next_run_at is None or row.paused_at is not None else f"{clock(row.next_run_at)}",
        "" if row.last_run_at is None else age(row.last_run_at, now),
    )


def fields(row: ScheduleRow) -> dict[str, Any]:
    """Return a schedule as a JSON object; ``every`` in seconds."""
    known = {name: getattr(row, name) for name in row.__slots__}
    return {**known, "every": None if row.every is None else row.every.total_seconds()}
