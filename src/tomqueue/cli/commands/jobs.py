"""``tomqueue jobs`` and ``tomqueue clear``: look at jobs and change them."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import click

from tomqueue.cli.arguments import pretty, reveal_option, shown_arguments
from tomqueue.cli.commands.beside import Beside
from tomqueue.cli.commands.bulk import DELETION, bulk_commands, change_chosen
from tomqueue.cli.commands.edits import edit_commands
from tomqueue.cli.commands.filters import JOB_ID, filtered
from tomqueue.cli.commands.keys import reencrypt
from tomqueue.cli.output import Column, print_json, print_json_array, print_pairs, print_table
from tomqueue.cli.target import Target
from tomqueue.definition import Registry, said
from tomqueue.disclosure import Disclosure
from tomqueue.error_text import headline
from tomqueue.errors import Parked
from tomqueue.job import Job, State
from tomqueue.redaction import SEALED
from tomqueue.store.catalog import Filter
from tomqueue.times import age, when

__all__ = ["clear", "jobs"]

ID, QUEUE = Column(title="ID", right=True), Column(title="QUEUE", elastic=True)
NAME = Column(title="NAME", elastic=True, keep_end=True)
COLUMNS = (ID, Column(title="STATE"), QUEUE, Column(title="PRIORITY"), NAME, Column(title="SINCE OR DUE"))
FAILED_COLUMNS = (
    ID,
    QUEUE,
    NAME,
    Column(title="TRIES", right=True),
    Column(title="FAILED"),
    Column(title="ERROR", elastic=True),
)


@click.group()
def jobs() -> None:
    """Look at jobs, retry, cancel, edit and delete them."""


for change in (*bulk_commands(), *edit_commands(), reencrypt):
    jobs.add_command(change)


@jobs.command("list")
@filtered
@click.option(
    "--limit", type=click.IntRange(min=0), default=50, show_default=True, help="At most so many; 0 means all."
)
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="ID", help="Only jobs with a greater id.")
@reveal_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_obj
def list_jobs(target: Target, *, which: Filter, limit: int, after: int, reveal: bool, as_json: bool) -> None:
    """List jobs in the order of their ids; the JSON has their arguments."""
    found = target.catalog.find(which, limit=limit + 1 if limit else None, after=after)
    shown = islice(found, limit) if limit else found
    if as_json:
        print_json_array(fields(job, target.disclosure, reveal=reveal) for job in shown)
        return
    now = target.store.now()
    if which.state is State.FAILED:
        print_table(FAILED_COLUMNS, failed_rows(shown, now), empty="no failed jobs")
    else:
        print_table(COLUMNS, rows(shown, now), empty="no such jobs")
    if next(found, None) is not None:
        click.echo(f"only the first {limit}: --limit 0 lists all", err=True)


@jobs.command()
@click.argument("job_id", metavar="ID", type=JOB_ID)
@reveal_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def show(target: Target, job_id: int, *, reveal: bool, as_json: bool) -> None:
    """Show everything about a job: its arguments, how far it has come, its last error and those before."""
    job = target.catalog.get(job_id)
    display = {"display_name": name} if (name := display_name(target.registry, job)) else {}
    known = fields(job, target.disclosure, reveal=reveal) | display
    beside = Beside.of(target.catalog, job_id)
    if as_json:
        print_json(known | beside.fields())
        return
    now = target.store.now()
    print_pairs([*described(job, known, now), *beside.pairs(now)])


@click.command()
@click.option("--queue", metavar="NAME", help="Only of this queue.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def clear(target: Target, *, queue: str | None, yes: bool, as_json: bool) -> None:
    """Delete every job that does not run: waiting and failed."""
    change_chosen(target, DELETION, Filter(queue=queue), yes=yes, as_json=as_json)


def display_name(registry: Registry | None, job: Job) -> str | None:
    """Return what the job says of itself by ``display_name()`` (Delayed::Job), where the application is known."""
    if registry is None or job.payload.startswith(SEALED):  # the name may quote what is encrypted
        return None
    try:
        name = said(registry.find(job.name).load(job.payload).target, "display_name")
    except Parked:
        return None  # `tomqueue explain` says why
    except Exception as error:  # noqa: BLE001 - the application's code: looking at a job must not fail by it
        return f"(display_name() raised {type(error).__name__}: {error})"
    return None if name is None else str(name)


def rows(found: Iterable[Job], now: datetime) -> Iterator[Sequence[str]]:
    """Return the rows of a table of jobs."""
    for job in found:
        yield str(job.id), job.state, job.queue, job.priority, job.name, short(matters(job), now)


def failed_rows(found: Iterable[Job], now: datetime) -> Iterator[Sequence[str]]:
    """Return the rows of a table of failed jobs: what counts is the error."""
    for job in found:
        yield str(job.id), job.queue, job.name, str(job.attempts), age(matters(job), now), headline(job.last_error)


def matters(job: Job) -> datetime:
    """Return the time that tells most about a job in its state."""
    times = {State.FAILED: job.failed_at, State.RUNNING: job.locked_at, State.PARKED: job.parked_at}
    return times.get(job.state) or job.run_at


def short(instant: datetime, now: datetime) -> str:
    """Return the time of a day that is near, or the date, with the age."""
    near = abs(now - instant).total_seconds() < 86400 / 2
    return f"{instant:{'%H:%M:%S' if near else '%Y-%m-%d'}} ({age(instant, now)})"


def fields(job: Job, disclosure: Disclosure, *, reveal: bool = False) -> dict[str, Any]:
    """Return a job as a JSON object, with its arguments as far as they are shown."""
    known = {name: getattr(job, name) for name in job.__slots__ if name != "payload"}
    return {**known, "arguments": shown_arguments(job, disclosure, reveal=reveal)}


def described(job: Job, known: dict[str, Any], now: datetime) -> Iterator[tuple[str, str]]:
    """Return what a person reads about a job, a label and a text each; nothing is said of what is not set."""
    for name, value in known.items():
        if name in {"arguments", "last_error", "display_name"} or not value:
            continue
        label = "cancel asked for" if name == "cancelled_at" and job.state is State.RUNNING else name.replace("_", " ")
        yield label, when(value, now) if isinstance(value, datetime) else str(value)
    yield "arguments", pretty(known["arguments"])
    if job.last_error:
        yield "last error", job.last_error
    if "display_name" in known:
        yield "display name", known["display_name"]
