"""Conformance of cancelling: a row with the mark never becomes free to run, however its claim ends."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.conformance.jobs import FUTURE, PAST, change, insert, new, row, take, want
from tomqueue.job import State
from tomqueue.store.base import Answer, Delete, Hold, Release
from tomqueue.store.catalog import Catalog, Filter
from tomqueue.store.leases import Fate, Freed, Leases
from tomqueue.store.sql import SqlStore

WORKER, TOKEN = 5, 7
End = Callable[[SqlStore, int], object]


def free(fate: Fate, *, used_up: bool = False) -> End:
    """Return the end of a claim whose process died."""
    rows = {"fate": fate, "used_up": used_up, "error": "WorkerDied", "run_at": PAST}
    return lambda store, job: Leases(store).free(WORKER, [Freed(id=job, **rows)], 3)  # type: ignore[arg-type]


def release(**values: object) -> End:
    """Return the end of a claim that lets its row go."""
    return lambda store, job: store.finish([Release(id=job, token=TOKEN, attempts=1, **values)])  # type: ignore[arg-type]


def by_finish_in(store: SqlStore, job: int) -> None:
    """End a claim in the transaction of an atomic job."""
    with store.engine.begin() as connection:
        store.finish_in(connection, Release(id=job, token=TOKEN, attempts=1, run_at=PAST))


def by_take(store: SqlStore, job: int) -> None:
    """End a claim in the transaction of the next one."""
    store.take(want("other"), 99, lambda _: None, [Release(id=job, token=TOKEN, attempts=0, keep_announced=True)])


ENDS: dict[str, End] = {
    "retried": release(run_at=PAST, last_error="ValueError: no"),
    "snoozed for long": release(run_at=FUTURE),
    "given back": release(keep_announced=True, keep_crashes=True),
    "parked": release(parked=True, parks=1, run_at=PAST, last_error="no such job"),
    "failed": release(failed=True, last_error="ValueError: no"),
    "beside the next claim": by_take,
    "within an atomic job": by_finish_in,
    "in doubt": lambda store, job: store.undo([job], TOKEN),
    "its process died before it started": free(Fate.REFUND),
    "its process died beside others": free(Fate.SUSPECT),
    "it killed its process": free(Fate.CRASHED),
    "it killed its process for the last time": free(Fate.CRASHED, used_up=True),
    "it ignored the interruption": free(Fate.OVERRAN),
    "its host is lost": lambda store, _job: Leases(store).free_all(WORKER),
}


@pytest.fixture
def running(store: SqlStore) -> int:
    """Give a job that a worker has claimed."""
    (job,) = insert(store, new())
    take(store, want(worker=WORKER), TOKEN)
    return job


def test_a_cancel_of_a_running_job_is_a_request(store: SqlStore, catalog: Catalog, running: int) -> None:
    """The row stays the worker's; asked again nothing changes."""
    for _ in range(2):
        job = catalog.cancel(running)
        assert (job.state, job.locked_by, job.attempts) == (State.RUNNING, WORKER, 1)
        assert job.announced_at is not None
        assert job.cancelled_at is not None
        assert store.now() - job.cancelled_at < timedelta(seconds=60)


@pytest.mark.parametrize("end", ENDS)
def test_a_cancelled_job_never_runs_again(store: SqlStore, catalog: Catalog, running: int, end: str) -> None:
    """However its claim ends it has failed, with the reason, uncharged for the crash; nobody announces or claims it."""
    catalog.cancel(running)
    ENDS[end](store, running)
    job = catalog.get(running)
    assert (job.state, job.last_error, job.crashes, job.locked_by) == (State.FAILED, "cancelled", 0, None)
    assert job.announced_at is job.parked_at is job.locked_at is None
    assert store.announce().count == 0
    assert take(store) == []
    assert store.claim([running], 6, 8) == {running: Answer.FAILED}


@pytest.mark.parametrize("end", ENDS)
def test_a_cancel_that_comes_after_the_end_meets_a_waiting_job(
    store: SqlStore, catalog: Catalog, running: int, end: str
) -> None:
    """Without a cancel each of these ends as before; then a cancel is that of a job which waits."""
    ENDS[end](store, running)
    if catalog.get(running).state is not State.FAILED:
        assert catalog.cancel(running).state is State.FAILED
    assert take(store) == []


def test_the_worker_learns_that_the_row_was_cancelled(store: SqlStore, catalog: Catalog) -> None:
    """The answer tells for each ending; a job that succeeded before it was told has finished."""
    finished, retried, left, lost = insert(store, *(new() for _ in range(4)))
    take(store, want(worker=WORKER), TOKEN)
    for job in (finished, retried, lost):
        catalog.cancel(job)
    again = {"attempts": 1, "run_at": PAST}
    assert store.finish(
        [
            Delete(finished, TOKEN),
            Release(id=retried, token=TOKEN, **again),  # type: ignore[arg-type]
            Release(id=left, token=TOKEN, **again),  # type: ignore[arg-type]
            Release(id=lost, token=TOKEN + 1, **again),  # type: ignore[arg-type]
        ]
    ) == [Hold.OURS, Hold.CANCELLED, Hold.OURS, Hold.LOST]
    assert row(store, finished) is None
    assert [catalog.get(job).state for job in (retried, left, lost)] == [State.FAILED, State.READY, State.RUNNING]


def test_a_worker_reads_which_of_its_claims_are_cancelled(store: SqlStore, catalog: Catalog) -> None:
    """By key, and only those of the very claim."""
    one, two, other = insert(store, new(), new(), new())
    take(store, want(worker=WORKER), TOKEN)
    claims = {(one, TOKEN), (two, TOKEN), (other, TOKEN + 1)}
    assert catalog.cancelled(claims) == set()
    catalog.cancel(two)
    catalog.cancel(other)
    assert catalog.cancelled(claims) == {(two, TOKEN)}


def test_a_cancelled_job_can_be_retried(store: SqlStore, catalog: Catalog, running: int) -> None:
    """Once its claim has ended: then nothing is left of the cancel."""
    catalog.cancel(running)
    release(run_at=PAST)(store, running)
    job = catalog.retry(running)
    assert (job.state, job.cancelled_at) == (State.READY, None)
    store.announce()
    assert [claimed.id for claimed in take(store)] == [running]


def test_what_runs_is_cancelled_in_bulk_where_that_is_meant(store: SqlStore, catalog: Catalog) -> None:
    """A filter that means waiting jobs leaves alone what was claimed since."""
    ids = insert(store, new(), new(), new())
    take(store, want(limit=2, worker=WORKER), TOKEN)
    assert catalog.cancel_all(ids, which=Filter(state=State.READY)) == 1
    assert catalog.cancel_all(ids, which=Filter(state=State.RUNNING)) == 2
    assert catalog.cancel_all(ids) == 2  # asked for again
    assert catalog.count(Filter(state=State.RUNNING)) == 2


def test_neighbours_are_let_go_as_ever(store: SqlStore, catalog: Catalog) -> None:
    """In one batch only the cancelled one fails, also when their process died."""
    ids = insert(store, *(new() for _ in range(3)))
    take(store, want(worker=WORKER), TOKEN)
    catalog.cancel(ids[1])
    change(store, ids[2], crashes=2)
    freed = [Freed(id=job, fate=fate, error="no") for job, fate in zip(ids, (*[Fate.REFUND] * 2, Fate.CRASHED))]  # noqa: B905
    assert Leases(store).free(WORKER, freed, 4) == [ids[0], ids[2]]
    assert [catalog.get(job).state for job in ids] == [State.READY, State.FAILED, State.READY]
    assert [catalog.get(job).crashes for job in ids] == [0, 0, 3]
