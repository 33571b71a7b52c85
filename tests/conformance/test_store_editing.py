"""Conformance of edits: a job that does not run gets another priority, queue or time, and fresh news."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.conformance.jobs import FUTURE, HIGH, NORMAL, PAST, change, insert, names, new, row, take, want
from tomqueue.errors import JobNotFound, JobStateError, SettingsError
from tomqueue.job import State
from tomqueue.priority import Priority
from tomqueue.store.catalog import Catalog, Filter
from tomqueue.store.editing import Edit, Move, Reprioritise, Reschedule
from tomqueue.store.sql import SqlStore

EDITS: tuple[Edit, ...] = (Reprioritise(Priority.HIGH), Move("fresh"), Reschedule(run_at=FUTURE))


def test_an_urgent_job_goes_first(store: SqlStore, catalog: Catalog) -> None:
    """It is unannounced until the next due look, which stamps it anew with what its news has to say."""
    insert(store, new("first"))
    (late,) = insert(store, new("late", priority=NORMAL))
    job = catalog.edit(late, Reprioritise(Priority.HIGH))
    assert (job.priority, job.announced_at, job.state) == (Priority.HIGH, None, State.READY)
    (news,) = store.announce_news([late])
    assert (news.queue, news.priority) == ("default", HIGH)
    assert names(take(store)) == ["late", "first"]


def test_a_moved_job_is_taken_from_its_new_queue(store: SqlStore, catalog: Catalog) -> None:
    """A queue that nobody used becomes known by it, so that workers serve it."""
    (job,) = insert(store, new())
    assert catalog.edit(job, Move("fresh")).queue == "fresh"
    assert catalog.queues.states() == {"default": False, "fresh": False}
    store.announce()
    assert take(store) == []
    assert [claimed.id for claimed in take(store, want("fresh"))] == [job]


def test_a_rescheduled_job_runs_at_its_new_time(store: SqlStore, catalog: Catalog) -> None:
    """Later or sooner, by an instant or on the database's clock; an expiry of the time before counts no more."""
    ready, future, parked = insert(store, new(expires_at=FUTURE), new(run_at=FUTURE), new())
    change(store, parked, parked_at=PAST, announced_at=None, run_at=FUTURE)
    later = datetime(2998, 7, 1, 12, tzinfo=UTC)
    job = catalog.edit(ready, Reschedule(run_at=later))
    assert (job.run_at, job.state, job.expires_at) == (later, State.SCHEDULED, None)
    for one in (future, parked):
        job = catalog.edit(one, Reschedule(delay=timedelta(hours=-1)))
        assert (job.state, job.parked_at) == (State.READY, None)
    assert store.announce().next_run_at == later
    assert sorted(claimed.id for claimed in take(store)) == [future, parked]
    (soon,) = insert(store, new())
    until_due = catalog.edit(soon, Reschedule(delay=90.0)).run_at - store.now()
    assert timedelta(seconds=60) < until_due <= timedelta(seconds=90)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.done)
def test_a_running_job_cannot_be_edited(store: SqlStore, catalog: Catalog, edit: Edit) -> None:
    """It says why, and what to do; nothing changes."""
    (job,) = insert(store, new())
    take(store)
    before = row(store, job)
    with pytest.raises(JobStateError, match=f"job {job} is running and cannot be {edit.done}: wait .* or cancel"):
        catalog.edit(job, edit)
    assert row(store, job) == before
    with pytest.raises(JobNotFound, match="99"):
        catalog.edit(99, edit)


def test_a_failed_job_can_be_moved_before_it_is_retried(store: SqlStore, catalog: Catalog) -> None:
    """It stays failed; it has no time that could be changed."""
    (job,) = insert(store, new())
    change(store, job, failed_at=PAST, announced_at=None)
    assert catalog.edit(job, Move("fresh")).state is State.FAILED
    assert catalog.edit(job, Reprioritise(Priority.LOW)).state is State.FAILED
    with pytest.raises(JobStateError, match=r"failed and cannot be rescheduled: .*retried"):
        catalog.edit(job, Reschedule(delay=0))
    assert store.announce().count == 0


def test_many_are_edited_at_once(store: SqlStore, catalog: Catalog) -> None:
    """Those that do not run, and that the filter still means."""
    ids = insert(store, new("a"), new("b"), new("a"), new("a"))
    take(store, want(limit=1))
    assert catalog.edit_all(ids, Move("fresh"), Filter(name="a", state=State.READY)) == 2
    assert catalog.edit_all([], Move("other")) == 0
    assert [catalog.get(job).queue for job in ids] == ["default", "default", "fresh", "fresh"]


def test_what_cannot_be_is_refused_where_it_is_said() -> None:
    """By the rules of an enqueue, before anything is asked of the database."""
    with pytest.raises(SettingsError, match="queue='no/slash' must match"):
        Move("no/slash")
    with pytest.raises(SettingsError, match=r"run_at=.* has no time zone"):
        Reschedule(run_at=datetime(2027, 1, 1))  # noqa: DTZ001 - that is the point
    with pytest.raises(SettingsError, match="delay=nan must be between"):
        Reschedule(delay=float("nan"))
    for both in ({}, {"run_at": FUTURE, "delay": 1.0}):
        with pytest.raises(SettingsError, match="give one of them"):
            Reschedule(**both)  # type: ignore[arg-type]
