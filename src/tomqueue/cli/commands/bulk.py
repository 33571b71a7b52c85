"""Commands that change jobs: the ones that are named, or all that a filter means, after a confirmation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import click

from tomqueue.cli.commands.filters import JOB_ID, described, filtered
from tomqueue.cli.output import print_json, progress
from tomqueue.cli.target import Target
from tomqueue.errors import JobNotFound, JobStateError
from tomqueue.job import State
from tomqueue.store.catalog import Catalog, Filter

__all__ = ["DELETE", "bulk_commands", "change_all"]

WAITING = (State.HELD, State.PARKED, State.SCHEDULED, State.READY)
REFUSED, NOT_FOUND = 1, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A change of jobs: its words, how it is done, and which jobs it can be done to."""

    verb: str
    done: str
    help: str
    one: Callable[[Catalog, int], object]
    many: Callable[[Catalog, Sequence[int], Filter], int]
    allowed: tuple[State, ...]
    without_state: tuple[State, ...]
    """The states that ``--all`` means where none is named."""


RETRY = Action(
    verb="retry",
    done="retried",
    help="Make jobs ready now, with all their attempts; --all means the failed ones unless a state is named.",
    one=Catalog.retry,
    many=Catalog.retry_all,
    allowed=(State.FAILED, State.PARKED, State.SCHEDULED, State.READY),
    without_state=(State.FAILED,),
)
CANCEL = Action(
    verb="cancel",
    done="cancelled",
    help="Take waiting jobs out of their queues; they are kept as failed and can be retried.",
    one=Catalog.cancel,
    many=lambda catalog, ids, which: catalog.cancel_all(ids, which=which),
    allowed=WAITING,
    without_state=WAITING,
)
DELETE = Action(
    verb="delete",
    done="deleted",
    help="Delete jobs that do not run, for good.",
    one=Catalog.delete,
    many=Catalog.delete_all,
    allowed=(State.FAILED, *WAITING),
    without_state=(State.FAILED, *WAITING),
)


def bulk_commands() -> list[click.Command]:
    """Return the commands ``retry``, ``cancel`` and ``delete``."""
    return [command_of(action) for action in (RETRY, CANCEL, DELETE)]


def command_of(action: Action) -> click.Command:
    """Return the command of an action."""

    @click.command(action.verb, help=action.help)
    @click.argument("ids", nargs=-1, type=JOB_ID, metavar="[ID]...")
    @click.option("--all", "every", is_flag=True, help="All jobs that the options below mean, after a confirmation.")
    @filtered
    @click.option("--yes", "-y", is_flag=True, help="Do not ask.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
    @click.pass_obj
    def change(target: Target, ids: Sequence[int], *, every: bool, which: Filter, yes: bool, as_json: bool) -> None:
        if every:
            if ids:
                raise click.UsageError("ids and --all are both given: give one of them")
            change_all(target, action, which, yes=yes, as_json=as_json)
            return
        if not ids or which != Filter():
            raise click.UsageError(f"name the ids of the jobs to {action.verb}, or say --all for what the options mean")
        change_each(target, action, ids, as_json=as_json)

    return change


def change_each(target: Target, action: Action, ids: Sequence[int], *, as_json: bool) -> None:
    """Change the jobs that are named; those that cannot be are told of, and decide the exit code."""
    done: list[int] = []
    refused: dict[int, JobNotFound | JobStateError] = {}
    for job_id in dict.fromkeys(ids):
        try:
            action.one(target.catalog, job_id)
            done.append(job_id)
        except (JobNotFound, JobStateError) as reason:
            refused[job_id] = reason
    if as_json:
        reasons = [{"id": job_id, "reason": str(error)} for job_id, error in refused.items()]
        print_json({action.done: len(done), "ids": done, "refused": reasons})
    else:
        for job_id in done:
            click.echo(f"{action.done} job {job_id}")
        for error in refused.values():
            click.echo(f"tomqueue: {error}", err=True)
    if refused:
        missing = any(isinstance(error, JobNotFound) for error in refused.values())
        click.get_current_context().exit(NOT_FOUND if missing else REFUSED)


def change_all(target: Target, action: Action, which: Filter, *, yes: bool, as_json: bool) -> None:
    """Count what a filter means, ask, and change it in pieces."""
    parts = parts_of(action, which)
    number = sum(target.catalog.count(part) for part in parts)
    if number and not yes:
        states = " or ".join(str(part.state) for part in parts)
        jobs = "job" if number == 1 else "jobs"
        question = f"{action.verb} {number:,} {jobs}{described(which)} ({states})?"
        click.confirm(question, abort=True, err=True)
    done = change_parts(target.catalog, action, parts, number) if number else 0
    answer: dict[str, Any] = {action.done: done}
    if as_json:
        print_json(answer)
    else:
        click.echo(f"{action.done} {done:,} {'job' if done == 1 else 'jobs'}")


def parts_of(action: Action, which: Filter) -> list[Filter]:
    """Return a filter for each state that is meant."""
    if which.state is not None and which.state not in action.allowed:
        raise click.UsageError(f"--{which.state}: a {which.state} job cannot be {action.done}")
    states = action.without_state if which.state is None else (which.state,)
    return [replace(which, state=state) for state in states]


def change_parts(catalog: Catalog, action: Action, parts: Sequence[Filter], number: int) -> int:
    """Change what the filters mean; return how many jobs that were."""
    done = 0
    with progress(number, action.verb) as advance:
        for part in parts:
            for ids in catalog.pieces(part):
                done += action.many(catalog, ids, part)
                advance(len(ids))
    return done
