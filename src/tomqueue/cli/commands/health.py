"""``tomqueue check``, ``workers`` and ``stats``: whether all is well, who works, and how much is done."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import click

from tomqueue.cli.checks import bounds, checks
from tomqueue.cli.commands.beside import share
from tomqueue.cli.commands.queues import counts_of
from tomqueue.cli.output import Column, one_line, print_json, print_json_array, print_table
from tomqueue.cli.target import Target
from tomqueue.explain import bounds_of
from tomqueue.job import Job, State
from tomqueue.priority import Priority
from tomqueue.store.catalog import Filter
from tomqueue.store.checkpoints import Progress
from tomqueue.store.leases import WorkerRow
from tomqueue.store.stats import StatsRow
from tomqueue.times import age, span

__all__ = ["check", "stats", "workers"]


# check --------------------------------------------------------------------------------------------------


@click.command()
@click.option(
    "--age", "limit", type=click.FloatRange(min=0), default=300, show_default=True, metavar="SECONDS",
    help="The oldest ready job may wait so long.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def check(target: Target, *, limit: float, as_json: bool) -> None:
    """Check that the database answers and that every ready job has a worker; exit 1 if not."""
    made = list(checks(target, limit))
    promises = bounds(target.tq.settings, target.bare_store.engine.dialect.name)
    ok = all(one.ok for one in made)
    if as_json:
        print_json({"ok": ok, "checks": made, "bounds": {bound.code: bound.seconds for bound in promises}})
    else:
        for one in made:
            click.echo(f"{'ok' if one.ok else 'failed':8}{one.name:10}{one_line(one.text)}")
        for bound in promises:
            click.echo(f"{'bound':8}{bound.text}")
    if not ok:
        click.get_current_context().exit(1)


# workers ------------------------------------------------------------------------------------------------

WORKER_COLUMNS = (
    Column(title="NAME", elastic=True, keep_end=True),
    Column(title="KIND"),
    Column(title="QUEUES", elastic=True),
    Column(title="SLOTS", right=True),
    Column(title="STARTED"),
    Column(title="LEASE"),
    Column(title="HAS", elastic=True),
)
NAMED = 3
"""So many of a worker's jobs are named in the table."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_obj
def workers(target: Target, *, as_json: bool) -> None:
    """List worker processes, their leases and the jobs that each has claimed."""
    claimed: defaultdict[int | None, list[Job]] = defaultdict(list)
    for job in target.catalog.find(Filter(state=State.RUNNING)):
        claimed[job.locked_by].append(job)
    found = target.leases.all()
    progress = target.catalog.progress([job.id for jobs in claimed.values() for job in jobs])
    if as_json:
        print_json_array(worker_fields(one, claimed[one.id], progress) for one in found)
        return
    now = target.store.now()
    rows = (
        (
            one.name,
            one.kind,
            f"{one.queues} ({only})" if (only := bounds_of(one)) else one.queues,
            str(one.slots),
            age(one.started_at, now),
            lease(one, now),
            has(claimed[one.id], progress),
        )
        for one in found
    )
    print_table(WORKER_COLUMNS, rows, empty="no workers: start some with `tomqueue run`")


def lease(worker: WorkerRow, now: datetime) -> str:
    """Say how long a lease still runs."""
    left = (worker.expires_at - now).total_seconds()
    return f"{span(left)} left" if left >= 0 else f"over {span(-left)}"


def has(claimed: list[Job], progress: Mapping[int, Progress]) -> str:
    """Name the first jobs of a worker and how far they have come, those before all that it is to stop; count them."""
    if not claimed:
        return "nothing"
    first = sorted(claimed, key=lambda job: (job.cancelled_at is None, job.id not in progress))[:NAMED]
    named = ", ".join(
        f"{'cancelled: ' if job.cancelled_at else ''}{job.id} {job.name}"
        f"{f' ({share(progress[job.id])})' if job.id in progress else ''}"
        for job in first
    )
    return named if len(claimed) <= NAMED else f"{len(claimed)} jobs: {named}, …"


def worker_fields(worker: WorkerRow, claimed: list[Job], progress: Mapping[int, Progress]) -> dict[str, Any]:
    """Return a worker as a JSON object."""
    return {
        "id": worker.id,
        "name": worker.name,
        "kind": worker.kind,
        "queues": worker.queues.split(","),
        "priorities": [Priority.of_rank(rank) for rank in range(worker.first_rank, worker.last_rank + 1)],
        "slots": worker.slots,
        "supervisor": worker.supervisor,
        "started_at": worker.started_at,
        "expires_at": worker.expires_at,
        "jobs": [
            {
                "id": job.id,
                "name": job.name,
                "locked_at": job.locked_at,
                "cancelled_at": job.cancelled_at,
                "progress": progress.get(job.id),
            }
            for job in claimed
        ],
    }


# stats --------------------------------------------------------------------------------------------------

PERIODS = {"minute": 60, "hour": 3600, "day": 86400}
STATS_COLUMNS = (
    Column(title="QUEUE", elastic=True),
    Column(title="WAITING", right=True),
    Column(title="LAST"),
    *(Column(title=title, right=True) for title in ("FINISHED", "RETRIED", "FAILED", "JOBS/S")),
)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_obj
def stats(target: Target, *, as_json: bool) -> None:
    """Show for each queue what waits, and what was done in the last minute, hour and day.

    Workers count by whole minutes and write every few seconds, so "the last minute" begins with a minute.
    """
    now = target.store.now()
    counted = target.catalog.stats.since(began(now, PERIODS["day"]))
    queues = [
        {
            "queue": row.name,
            **counts_of(row),
            **{f"last_{name}": done(row.name, counted, now, name) for name in PERIODS},
        }
        for row in target.catalog.queues.all()
    ]
    if as_json:
        print_json_array(queues)
    else:
        print_table(STATS_COLUMNS, stats_rows(queues), empty="no queues: no job was ever enqueued")


def began(now: datetime, seconds: int) -> datetime:
    """Return the beginning of the minute in which a period began."""
    return (now - timedelta(seconds=seconds)).replace(second=0, microsecond=0)


def done(queue: str, counted: Iterable[StatsRow], now: datetime, period: str) -> dict[str, Any]:
    """Return what was done in a queue since a period began."""
    since = began(now, PERIODS[period])
    rows = [row for row in counted if row.queue == queue and row.minute >= since]
    sums = {name: sum(getattr(row, name) for row in rows) for name in ("finished", "retried", "failed")}
    return {"since": since, **sums, "per_second": round(sum(sums.values()) / (now - since).total_seconds(), 3)}


def rate(per_second: float) -> str:
    """Return a rate with the digits that tell something."""
    return f"{per_second:,.1f}" if per_second >= 1 else f"{per_second:.2g}"


def stats_rows(queues: Iterable[dict[str, Any]]) -> Iterator[list[str]]:
    """Return a row for each queue and period; the queue is named once."""
    for queue in queues:
        waiting = sum(queue[state] for state in (State.READY, State.SCHEDULED, State.PARKED, State.HELD))
        head = [queue["queue"], f"{waiting:,}"]
        for period in PERIODS:
            numbers = queue[f"last_{period}"]
            counts = [f"{numbers[name]:,}" for name in ("finished", "retried", "failed")]
            yield [*head, period, *counts, rate(numbers["per_second"])]
            head = ["", ""]
