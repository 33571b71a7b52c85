"""``tomqueue jobs reprioritise``, ``reschedule`` and ``move``: change jobs that do not run."""

from collections.abc import Callable
from datetime import datetime, timedelta

import click

from tomqueue.cli.commands.bulk import Action, Chosen, carry_out, choosing
from tomqueue.cli.commands.filters import span_of_time
from tomqueue.cli.target import Target
from tomqueue.errors import SettingsError
from tomqueue.priority import Priority
from tomqueue.store.editing import Edit, Move, Reprioritise, Reschedule
from tomqueue.store.selection import edited
from tomqueue.times import clock, span

__all__ = ["edit_commands"]

PRIORITIES = [priority.value for priority in Priority]


def instant(_context: click.Context, _option: click.Parameter, value: str | None) -> datetime | None:
    """Read an option that is an instant, as ISO 8601 writes it."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no time: write 2027-01-31T09:00+01:00") from None
    if found.utcoffset() is None:
        raise click.BadParameter(f"{value!r} has no time zone: write {value}Z for UTC, or an offset such as +01:00")
    return found


@click.command()
@click.option(
    "--to", "priority", type=click.Choice([one.value for one in Priority]), required=True, help="The new priority."
)
@choosing
@click.pass_obj
def reprioritise(target: Target, *, priority: str, chosen: Chosen) -> None:
    """Give jobs that do not run another priority, within a second."""
    edit = Reprioritise(Priority(priority))
    carry_out(target, Action(verb="reprioritise", change=edited(edit), to=f" to {priority}"), chosen)


@click.command()
@click.option("--to", "to", metavar="QUEUE", required=True, help="The new queue; it need not be known.")
@choosing
@click.pass_obj
def move(target: Target, *, to: str, chosen: Chosen) -> None:
    """Put jobs that do not run into another queue, within a second."""
    edit = possible(lambda: Move(to))
    carry_out(target, Action(verb="move", change=edited(edit), to=f" to {to}"), chosen)


@click.command()
@click.option("--at", "run_at", metavar="TIME", callback=instant, help="ISO 8601 with a zone: 2027-01-31T09:00+01:00.")
@click.option("--in", "delay", metavar="SPAN", callback=span_of_time, help="From now: 0s, 90s, 15m, 1h, 2d.")
@choosing
@click.pass_obj
def reschedule(target: Target, *, run_at: datetime | None, delay: timedelta | None, chosen: Chosen) -> None:
    """Give waiting jobs another time; their expiry is taken away."""
    if (run_at is None) == (delay is None):
        raise click.UsageError("give the new time by --at or by --in")
    edit = possible(lambda: Reschedule(run_at=run_at, delay=delay))
    when = f" in {span(delay.total_seconds())}" if delay is not None else ""
    when = f" to {clock(run_at)}" if run_at is not None else when
    carry_out(target, Action(verb="reschedule", change=edited(edit), to=when), chosen)


def possible(make: Callable[[], Edit]) -> Edit:
    """Return an edit; what cannot be is the fault of the command line."""
    try:
        return make()
    except SettingsError as error:
        raise click.UsageError(str(error)) from error


def edit_commands() -> list[click.Command]:
    """Return the commands."""
    return [reprioritise, reschedule, move]
