"""The options that say which jobs are meant, the same on every command."""

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

import click

from tomqueue.job import State
from tomqueue.store.catalog import Filter
from tomqueue.times import duration, span

__all__ = ["JOB_ID", "described", "filtered", "span_of_time"]

JOB_ID = click.IntRange(1, 2**63 - 1)
"""What the database can give out as an id."""


def span_of_time(_context: click.Context, _option: click.Parameter, value: str | None) -> timedelta | None:
    """Read an option that is a span of time: 90s, 15m, 1h, 2d."""
    try:
        return None if value is None else duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


STATES = {
    State.FAILED: "Failed for good.",
    State.READY: "The next free worker takes it.",
    State.SCHEDULED: "Its time has not come.",
    State.RUNNING: "A worker has it.",
    State.PARKED: "No worker could read it so far.",
    State.HELD: "It waits for a limit or another job.",
}
OPTIONS = (
    *(click.option(f"--{state}", is_flag=True, help=text) for state, text in STATES.items()),
    click.option("--queue", metavar="NAME", help="Of this queue."),
    click.option("--name", metavar="NAME", help="Of this definition."),
    click.option("--unique-key", metavar="KEY", help="Enqueued with this unique key."),
    click.option("--older-than", callback=span_of_time, metavar="1h", help="Created longer ago: 90s, 15m, 1h, 2d, 1w."),
)


def filtered(function: Callable[..., None]) -> Callable[..., None]:
    """Give ``function`` the options that choose jobs, as one argument ``which``."""

    @wraps(function)
    def with_filter(
        *arguments: Any,
        queue: str | None,
        name: str | None,
        unique_key: str | None,
        older_than: timedelta | None,
        **options: Any,
    ) -> None:
        states = [state for state in STATES if options.pop(state.value)]
        if len(states) > 1:
            raise click.UsageError(f"{' and '.join(f'--{state}' for state in states)}: a job has one state, name one")
        state = states[0] if states else None
        which = Filter(state=state, queue=queue, name=name, unique_key=unique_key, older_than=older_than)
        function(*arguments, which=which, **options)

    decorated: Callable[..., None] = with_filter
    for option in reversed(OPTIONS):
        decorated = option(decorated)
    return decorated


def described(which: Filter) -> str:
    """Say which jobs a filter means, beside their state."""
    parts = []
    if which.name is not None:
        parts.append(f"named {which.name}")
    if which.queue is not None:
        parts.append(f"in queue {which.queue}")
    if which.unique_key is not None:
        parts.append(f"with unique key {which.unique_key}")
    if which.older_than is not None:
        parts.append(f"older than {span(which.older_than.total_seconds())}")
    return "".join(f" {part}" for part in parts)
