"""Which processes a supervisor shall run: the options of run, work and workoff."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click

from tomqueue.daemon.crew import Place
from tomqueue.errors import SettingsError
from tomqueue.priority import PRIORITIES, Priority
from tomqueue.settings import check_name
from tomqueue.worker.board import MAX_SLOTS
from tomqueue.worker.options import WorkerOptions

__all__ = ["worker_options", "workers"]

F = TypeVar("F", bound=Callable[..., Any])
CORES = os.cpu_count() or 1
MOST_PROCESSES = 512
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


class Pool(NamedTuple):
    """So many processes for these queues; none named means all."""

    queues: tuple[str, ...]
    processes: int


def size(_context: click.Context, _option: click.Parameter, value: str | None) -> int | None:
    """Return a number of bytes that was written with a unit: 300M, 2G."""
    if value is None:
        return None
    text = value.upper()
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS else (text, "")
    try:
        return int(float(number) * UNITS.get(unit, 1))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no size: write 300M or 2G") from error


def pools(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[Pool, ...]:
    """Return what ``--pool`` says each time: queues, and after a colon how many processes."""
    return tuple(map(pool, values))


def pool(value: str) -> Pool:
    """Return one pool: ``mailers,tasks:2``, ``*:2``, or ``mailers`` for a single process."""
    names, colon, number = value.partition(":")
    if colon and not (number.isdecimal() and 1 <= int(number) <= MOST_PROCESSES):
        raise click.BadParameter(f"{value!r}: after the colon stands a number of processes, 1 to {MOST_PROCESSES}")
    if not names.strip():
        raise click.BadParameter(f"{value!r} names no queue: write mailers,tasks:2, or *:2 for all queues")
    try:
        queues = queue_names("a queue", names)
    except SettingsError as error:
        raise click.BadParameter(str(error)) from error
    return Pool(queues, int(number) if colon else 1)


def process_name(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """Return a name that a worker can have."""
    try:
        return None if value is None else check_name("the name", value)
    except SettingsError as error:
        raise click.BadParameter(str(error)) from error


def worker_options(function: F) -> F:
    """Add the options that run, work and workoff share."""
    priority = click.Choice([one.value for one in Priority])
    for option in reversed((
        click.option("-p", "--processes", type=click.IntRange(1, MOST_PROCESSES), default=CORES,
                     show_default="one a core"),
        click.option("--threads", type=click.IntRange(1, MAX_SLOTS), default=1, show_default=True,
                     help="Slots of each process, for jobs that wait for the network."),
        click.option("--queues", metavar="A,B", help="Serve these queues only. Default: all, also those to come."),
        click.option("--pool", "pools", metavar="A,B[:N]", multiple=True, callback=pools,
                     help="N processes for these queues, in place of -p and --queues; * is all. May be repeated."),
        click.option("--min-priority", type=priority, help="Serve jobs of at least this priority."),
        click.option("--max-priority", type=priority, help="Serve jobs of at most this priority."),
        click.option("--name", metavar="NAME", callback=process_name,
                     help="Call the processes NAME.1, NAME.2, … in place of host and pid; they keep it."),
        click.option("--max-jobs", type=click.IntRange(1), help="Replace a process after so many jobs."),
        click.option("--max-memory", metavar="SIZE", callback=size,
                     help="Replace a process between two jobs once it uses so much."),
    )):  # fmt: skip
        function = option(function)
    return function


def workers(
    *,
    processes: int,
    queues: str | None,
    pools: tuple[Pool, ...],
    min_priority: str | None,
    max_priority: str | None,
    name: str | None,
    **options: Any,
) -> list[Place]:
    """Return the places of worker processes; raises UsageError for options that contradict each other."""
    if pools and (queues is not None or is_given("processes")):
        raise click.UsageError("--pool says which queues and how many processes: leave out --queues and --processes")
    ranks = ranks_of(min_priority, max_priority)
    wanted = pools or (Pool(queue_names("--queues", "*" if queues is None else queues), processes),)
    each = [
        WorkerOptions(queues=pool.queues, first_rank=ranks.start, last_rank=ranks[-1], **options)
        for pool in wanted
        for _ in range(pool.processes)
    ]
    return [
        Place(chosen, name=None if name is None else f"{name}.{number}") for number, chosen in enumerate(each, start=1)
    ]


def ranks_of(least: str | None, most: str | None) -> range:
    """Return the ranks of priorities that are at least ``least`` and at most ``most`` urgent."""
    first = PRIORITIES.start if most is None else Priority(most).rank
    last = PRIORITIES[-1] if least is None else Priority(least).rank
    if first > last:
        raise click.UsageError(f"--min-priority {least} is more urgent than --max-priority {most}: nothing is between")
    return range(first, last + 1)


def is_given(option: str) -> bool:
    """Say whether an option of the running command was written by somebody."""
    source = click.get_current_context().get_parameter_source(option)
    return source is not click.core.ParameterSource.DEFAULT


def queue_names(option: str, names: str) -> tuple[str, ...]:
    """Return the names in a list with commas; ``*`` means all, which is none named."""
    found = [name.strip() for name in names.split(",")]
    return () if "*" in found else tuple(check_name(option, name) for name in found)
