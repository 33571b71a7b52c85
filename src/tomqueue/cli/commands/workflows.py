"""``tomqueue workflows``: look at chains and groups, and cancel them."""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import click

from tomqueue.cli.arguments import reveal_option
from tomqueue.cli.commands.filters import JOB_ID
from tomqueue.cli.commands.jobs import COLUMNS as JOB_COLUMNS
from tomqueue.cli.commands.jobs import fields as job_fields
from tomqueue.cli.commands.jobs import rows as job_rows
from tomqueue.cli.output import Column, print_json, print_json_array, print_pairs, print_table
from tomqueue.cli.target import Target
from tomqueue.store.workflows import Workflow
from tomqueue.times import age, when
from tomqueue.workflows import Workflows

__all__ = ["workflows"]

COLUMNS = (
    Column(title="ID", right=True),
    Column(title="STATE"),
    Column(title="JOBS", right=True),
    Column(title="DONE", right=True),
    Column(title="PENDING", right=True),
    Column(title="FAILED", right=True),
    Column(title="CREATED"),
)
SHOWN = 20
"""So many jobs of a workflow are shown to a person."""


@click.group()
def workflows() -> None:
    """Look at chains and groups of jobs, and cancel them."""


@workflows.command("list")
@click.option("--unfinished", is_flag=True, help="Only those that have not finished.")
@click.option(
    "--limit", type=click.IntRange(min=0), default=50, show_default=True, help="At most so many; 0 means all."
)
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="ID", help="Only those with a greater id.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_obj
def list_workflows(target: Target, *, unfinished: bool, limit: int, after: int, as_json: bool) -> None:
    """List workflows in the order of their ids; a finished one is kept for eight days."""
    found = workflows_of(target).list(unfinished=unfinished, limit=limit + 1 if limit else None, after=after)
    shown = islice(found, limit) if limit else found
    if as_json:
        print_json_array(map(fields, shown))
        return
    now = target.store.now()
    print_table(COLUMNS, (cells(one, now) for one in shown), empty="no such workflows")
    if limit and len(found) > limit:
        click.echo(f"only the first {limit}: --limit 0 lists all", err=True)


@workflows.command()
@click.argument("workflow_id", metavar="ID", type=JOB_ID)
@reveal_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with every job that is in the table.")
@click.pass_obj
def show(target: Target, workflow_id: int, *, reveal: bool, as_json: bool) -> None:
    """Show a workflow, and its jobs that wait, run or have failed."""
    ours = workflows_of(target)
    found = ours.get(workflow_id)
    if as_json:
        jobs = ours.jobs(workflow_id, limit=None)
        print_json(fields(found) | {"jobs": [job_fields(job, target.disclosure, reveal=reveal) for job in jobs]})
        return
    now = target.store.now()
    print_pairs([
        (name, when(value, now) if isinstance(value, datetime) else f"{value:,}" if isinstance(value, int) else value)
        for name, value in ((label.replace("_", " "), value) for label, value in fields(found).items())
        if value is not None
    ])  # fmt: skip
    jobs = ours.jobs(workflow_id, limit=SHOWN + 1)
    if jobs:
        click.echo()
        print_table(JOB_COLUMNS, job_rows(jobs[:SHOWN], now), empty="")
    if len(jobs) > SHOWN:
        click.echo(f"only the first {SHOWN} jobs: --json prints all", err=True)


@workflows.command()
@click.argument("workflow_ids", nargs=-1, required=True, metavar="ID...", type=JOB_ID)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def cancel(target: Target, workflow_ids: Sequence[int], *, as_json: bool) -> None:
    """Cancel every job of a workflow that waits or runs; they are kept as failed and can be retried."""
    cancelled = {}
    for one in workflow_ids:
        cancelled[str(one)] = number = workflows_of(target).cancel(one)
        if not as_json:
            click.echo(f"cancelled {number:,} {'job' if number == 1 else 'jobs'} of workflow {one}")
    if as_json:
        print_json({"cancelled": cancelled})


def workflows_of(target: Target) -> Workflows:
    """Return the workflows of an application, or of a database alone; no look makes an SQLite file."""
    target.store  # noqa: B018 - opening it is the look
    return Workflows(lambda: target.catalog, shown=target.disclosure.arguments)


def cells(one: Workflow, now: datetime) -> Sequence[str]:
    """Return the row of a table."""
    counts = (one.total, one.done, one.pending, one.failed)
    return (str(one.id), one.state, *(f"{count:,}" for count in counts), age(one.created_at, now))


def fields(one: Workflow) -> dict[str, Any]:
    """Return a workflow as a JSON object, without its jobs."""
    return {name: getattr(one, name) for name in one.__slots__ if name != "jobs"}
