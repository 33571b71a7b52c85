"""What ``tomqueue doctor`` examines of jobs that use a feature: periodic ones, workflows, encrypted ones."""

from collections.abc import Collection, Iterator
from datetime import datetime

from tomqueue.cli.diagnosis.finding import Diagnosis, Level
from tomqueue.cli.target import Target
from tomqueue.store.schedules import SEEN_EVERY, ScheduleRow, ScheduleTable
from tomqueue.store.sealed import Sealed
from tomqueue.times import when

__all__ = ["periodic", "rotation", "workflows"]

OVERDUE_TICK = 60.0
"""Less is a restart, or a busy database; from then on a tick counts as missed."""
MOST_WORKFLOWS = 1000
"""So many unfinished workflows are looked at."""
NAMED = 5


def periodic(target: Target) -> Iterator[Diagnosis]:
    """Find schedules whose tick is due and that nobody enqueues."""
    now = target.store.now()
    late = [row for row in ScheduleTable(target.store).all() if is_overdue(row, now)]
    for row in late:
        yield why_overdue(row, now, None if target.registry is None else target.registry.schedules())
    if not late:
        yield Diagnosis(Level.OK, "no periodic job is overdue")


def is_overdue(row: ScheduleRow, now: datetime) -> bool:
    """Say whether a tick should have become a job by now."""
    due = None if row.paused_at is not None else row.next_run_at
    return due is not None and (now - due).total_seconds() > OVERDUE_TICK


def why_overdue(row: ScheduleRow, now: datetime, declared: Collection[str] | None) -> Diagnosis:
    """Say why nobody enqueues a schedule. ``declared`` is None where the application is not known."""
    assert row.next_run_at is not None
    assert row.seen_at is not None
    text = f"{row.name} has been due since {when(row.next_run_at, now)} and nobody enqueues it"
    if (now - row.seen_at).total_seconds() < 2 * SEEN_EVERY:
        cure = "see the log of the workers that declare it: a layer or an enqueue hook raises"
        return Diagnosis(Level.PROBLEM, f"{text}, although a worker knows it", cure)
    text += f": no worker that declares it has been seen since {when(row.seen_at, now)}"
    if declared is None or row.name in declared:
        return Diagnosis(Level.PROBLEM, text, "start `tomqueue run` with the application that declares it")
    cure = "start the application that does; if the job is gone for good, so is this row after 30 days"
    return Diagnosis(Level.WARNING, f"{text}, and this application does not declare it", cure)


def rotation(target: Target) -> Iterator[Diagnosis]:
    """Find jobs under keys that were put back, or taken out; where nothing is encrypted no row is read."""
    here = target.keyring.ids
    counts = Sealed(target.store).keys() if here else {}
    for key, count in sorted(counts.items()):
        if key not in here:
            text = f"{count:,} jobs are encrypted with the key {key}, which is not here"
            yield Diagnosis(Level.WARNING, text, "keep it in encryption_keys until no job needs it: they are parked")
        elif key != here[0]:
            text = f"{count:,} jobs are encrypted with the key {key}, which is not the first one"
            yield Diagnosis(Level.WARNING, text, "run `tomqueue jobs reencrypt` before you take it out")
    if not set(counts) - set(here[:1]):
        yield Diagnosis(Level.OK, "every encrypted job has the first key" if here else "there are no encryption_keys")


def workflows(target: Target) -> Iterator[Diagnosis]:
    """Find workflows that do not go on by themselves."""
    stuck = target.catalog.workflows.stuck(MOST_WORKFLOWS)
    for one in stuck[:NAMED]:
        text = f"workflow {one.id} does not go on by itself: {one.failed:,} failed, {one.pending:,} waiting"
        cure = f"see `tomqueue workflows show {one.id}`; retry what has failed, or cancel it and delete its jobs"
        yield Diagnosis(Level.WARNING, text, cure)
    if len(stuck) > NAMED:
        text = f"{len(stuck) - NAMED:,} more workflows do not go on by themselves"
        yield Diagnosis(Level.WARNING, text, "see `tomqueue workflows list --unfinished`")
    elif not stuck:
        yield Diagnosis(Level.OK, "every workflow goes on, or has finished")
