"""Commands that change jobs: the ones that are named, or all that a filter means, after a confirmation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from tomqueue.cli.commands.filters import JOB_ID, described, filtered
from tomqueue.cli.output import print_json, progress
from tomqueue.cli.target import Target
from tomqueue.errors import JobNotFound, JobStateError
from tomqueue.job import Job, State
from tomqueue.store.catalog import Filter
from tomqueue.store.selection import CANCEL, DELETE, RETRY, Change, change_all, parts_of

__all__ = ["DELETION", "Action", "Chosen", "bulk_commands", "carry_out", "change_chosen", "choosing"]

REFUSED, NOT_FOUND = 1, 3
INTERRUPTED = "is interrupted within about a second"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A change of jobs as a command: its words."""

    verb: str
    change: Change
    help: str = ""
    to: str = ""
    """What it changes them to, for messages."""


DELETION = Action(verb="delete", change=DELETE, help="Delete jobs that do not run, for good.")
ACTIONS = (
    Action(
        verb="retry",
        change=RETRY,
        help="Make jobs ready now, with all their attempts; --all means the failed ones unless a state is named.",
    ),
    Action(
        verb="cancel",
        change=CANCEL,
        help="Take waiting jobs out of their queues, and interrupt those that run (by id, or --all --running); they are"
        " kept as failed and can be retried.",
    ),
    DELETION,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which jobs a command line means, and how it is to be answered."""

    ids: Sequence[int]
    every: bool
    which: Filter
    yes: bool
    as_json: bool


def bulk_commands() -> list[click.Command]:
    """Return the commands ``retry``, ``cancel`` and ``delete``."""
    return [command_of(action) for action in ACTIONS]


def command_of(action: Action) -> click.Command:
    """Return the command of an action."""

    @click.command(action.verb, help=action.help)
    @choosing
    @click.pass_obj
    def change(target: Target, *, chosen: Chosen) -> None:
        carry_out(target, action, chosen)

    return change


def choosing(function: Callable[..., None]) -> Callable[..., None]:
    """Give ``function`` the arguments and options that say which jobs are meant, as one argument ``chosen``."""

    @click.argument("ids", nargs=-1, type=JOB_ID, metavar="[ID]...")
    @click.option("--all", "every", is_flag=True, help="All jobs that the options below mean, after a confirmation.")
    @filtered
    @click.option("--yes", "-y", is_flag=True, help="Do not ask.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
    @wraps(function)
    def with_choice(
        *arguments: Any, ids: Sequence[int], every: bool, which: Filter, yes: bool, as_json: bool, **options: Any
    ) -> None:
        chosen = Chosen(ids=ids, every=every, which=which, yes=yes, as_json=as_json)
        function(*arguments, chosen=chosen, **options)

    return with_choice


def carry_out(target: Target, action: Action, chosen: Chosen) -> None:
    """Change the jobs that are named, or all that a filter means."""
    if chosen.every:
        if chosen.ids:
            raise click.UsageError("ids and --all are both given: give one of them")
        change_chosen(target, action, chosen.which, yes=chosen.yes, as_json=chosen.as_json)
        return
    if not chosen.ids or chosen.which != Filter():
        raise click.UsageError(f"name the ids of the jobs to {action.verb}, or say --all for what the options mean")
    change_each(target, action, chosen.ids, as_json=chosen.as_json)


def change_each(target: Target, action: Action, ids: Sequence[int], *, as_json: bool) -> None:
    """Change the jobs that are named; those that cannot be are told of, and decide the exit code."""
    done: dict[int, object] = {}
    refused: dict[int, JobNotFound | JobStateError] = {}
    for job_id in dict.fromkeys(ids):
        try:
            done[job_id] = action.change.one(target.catalog, job_id)
        except (JobNotFound, JobStateError) as reason:
            refused[job_id] = reason
    if as_json:
        reasons = [{"id": job_id, "reason": str(error)} for job_id, error in refused.items()]
        running = {"running": [job_id for job_id, job in done.items() if runs(job)]} if action.change is CANCEL else {}
        print_json({action.change.done: len(done), "ids": list(done), **running, "refused": reasons})
    else:
        for job_id, job in done.items():
            note = f": it runs, and {INTERRUPTED}" if action.change is CANCEL and runs(job) else ""
            click.echo(f"{action.change.done} job {job_id}{action.to}{note}")
        for error in refused.values():
            click.echo(f"tomqueue: {error}", err=True)
    if refused:
        missing = any(isinstance(error, JobNotFound) for error in refused.values())
        click.get_current_context().exit(NOT_FOUND if missing else REFUSED)


def runs(job: object) -> bool:
    """Say whether a job that was changed has a worker that must be told of it."""
    return isinstance(job, Job) and job.state is State.RUNNING


def change_chosen(target: Target, action: Action, which: Filter, *, yes: bool, as_json: bool) -> None:
    """Count what a filter means, ask, and change it in pieces."""
    try:
        parts = parts_of(action.change, which)
    except JobStateError as error:
        raise click.UsageError(f"--{which.state}: {error}") from error
    number = sum(target.catalog.count(part) for part in parts)
    if number and not yes:
        states = " or ".join(str(part.state) for part in parts)
        jobs = "job" if number == 1 else "jobs"
        question = f"{action.verb} {number:,} {jobs}{described(which)}{action.to} ({states})?"
        click.confirm(question, abort=True, err=True)
    done = 0
    if number:
        with progress(number, action.verb) as advance:
            done = change_all(target.catalog, action.change, parts, lambda ids: advance(len(ids)))
    if as_json:
        print_json({action.change.done: done})
    else:
        note = f": what runs {INTERRUPTED}" if done and which.state is State.RUNNING else ""
        click.echo(f"{action.change.done} {done:,} {'job' if done == 1 else 'jobs'}{action.to}{note}")
