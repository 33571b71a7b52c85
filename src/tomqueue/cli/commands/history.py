"""``tomqueue history``: the jobs that succeeded, where ``keep_completed`` keeps them."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import click

from tomqueue.cli.arguments import pretty, reveal_option, shown_arguments
from tomqueue.cli.commands.beside import attempts
from tomqueue.cli.commands.filters import JOB_ID
from tomqueue.cli.output import Column, print_json, print_json_array, print_pairs, print_table
from tomqueue.cli.target import Target
from tomqueue.disclosure import Disclosure
from tomqueue.history import History
from tomqueue.store.history import Completed
from tomqueue.times import age, span, when

__all__ = ["history"]

COLUMNS = (
    Column(title="ID", right=True),
    Column(title="QUEUE", elastic=True),
    Column(title="NAME", elastic=True, keep_end=True),
    Column(title="TRIES", right=True),
    Column(title="FINISHED"),
    Column(title="TOOK", right=True),
    Column(title="WORKER", elastic=True),
)


@click.group()
def history() -> None:
    """Look at jobs that succeeded, where keep_completed keeps them."""


@history.command("list")
@click.option("--queue", metavar="NAME", help="Only of this queue.")
@click.option("--name", metavar="NAME", help="Only jobs of this name.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many, the latest first."
)
@click.option("--before", type=click.IntRange(min=1), metavar="ID", help="Only jobs with a smaller id.")
@reveal_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_obj
def list_history(
    target: Target, *, queue: str | None, name: str | None, limit: int, before: int | None, reveal: bool, as_json: bool
) -> None:
    """List jobs that succeeded, the latest first; the JSON has their arguments."""
    found = history_of(target).list(queue=queue, name=name, limit=limit, before=before)
    if as_json:
        print_json_array(fields(job, target.disclosure, reveal=reveal) for job in found)
    else:
        now = target.store.now()
        is_all = queue is None and name is None and before is None
        empty = "nothing is kept: see keep_completed" if is_all else "no such jobs"
        print_table(COLUMNS, (cells(job, now) for job in found), empty=empty)


@history.command()
@click.argument("job_id", metavar="ID", type=JOB_ID)
@reveal_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def show(target: Target, job_id: int, *, reveal: bool, as_json: bool) -> None:
    """Show everything about a job that succeeded, with the errors of its attempts before."""
    kept = history_of(target)
    job, errors = kept.get(job_id), kept.errors(job_id)
    known = fields(job, target.disclosure, reveal=reveal)
    if as_json:
        print_json(known | {"errors": errors})
        return
    now = target.store.now()
    print_pairs([*described(known, now), *([("errors", attempts(errors, now))] if errors else [])])


@history.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def prune(target: Target, *, as_json: bool) -> None:
    """Delete what has expired of the history and the results; workers do so once a minute."""
    pruned = history_of(target).prune()
    if as_json:
        print_json({"pruned": pruned})
    else:
        click.echo(f"pruned {pruned:,} row{'' if pruned == 1 else 's'}")


def history_of(target: Target) -> History:
    """Return the history of an application, or of a database alone; no look makes an SQLite file."""
    target.store  # noqa: B018 - opening it is the look
    return target.tq.history


def cells(job: Completed, now: datetime) -> Sequence[str]:
    """Return the row of a table."""
    took = "" if job.started_at is None else span((job.finished_at - job.started_at).total_seconds())
    return (
        str(job.id), job.queue, job.name, str(job.attempts), age(job.finished_at, now), took, job.worker or "",
    )  # fmt: skip


def fields(job: Completed, disclosure: Disclosure, *, reveal: bool) -> dict[str, Any]:
    """Return a job as a JSON object, with its arguments as far as they are shown."""
    known = {name: getattr(job, name) for name in job.__slots__ if name != "payload"}
    return {**known, "arguments": shown_arguments(job, disclosure, reveal=reveal)}


def described(known: dict[str, Any], now: datetime) -> Iterator[tuple[str, str]]:
    """Return what a person reads about a job, a label and a text each; nothing is said of what is not set."""
    for name, value in known.items():
        if name != "arguments" and value is not None:
            yield name.replace("_", " "), when(value, now) if isinstance(value, datetime) else str(value)
    yield "arguments", pretty(known["arguments"])
