"""Conformance of the leases: who lives, who is dead, and what becomes of the rows of the dead."""

from datetime import timedelta

import pytest

from tests.conformance.jobs import FUTURE, PAST, ago, change, insert, names, new, row, take, want
from tomqueue.job import State
from tomqueue.store import leases as module
from tomqueue.store.catalog import Catalog
from tomqueue.store.leases import Fate, Freed, Leases, WorkerRow
from tomqueue.store.sql import SqlStore

WORKER = 2**62 + 17


def lease(store: SqlStore, worker: int = WORKER, supervisor: int = 5, seconds: float = 20.0) -> WorkerRow:
    """Return the row of a worker whose lease ends so many seconds from now."""
    now = store.now()
    return WorkerRow(
        id=worker,
        name="host:1:😀",
        supervisor=supervisor,
        kind="worker",
        queues="a,b",
        slots=4,
        started_at=now,
        expires_at=now + timedelta(seconds=seconds),
        first_rank=1,
        last_rank=2,
    )


def claimed(store: SqlStore, count: int = 1, worker: int = WORKER) -> list[int]:
    """Insert rows and claim them for a worker."""
    insert(store, *(new(str(i)) for i in range(count)))
    return [found.id for found in take(store, want(limit=count, worker=worker), token=7)]


def test_a_lease_is_read_as_it_was_registered(store: SqlStore, leases: Leases) -> None:
    """Every value comes back, times to the microsecond, oldest first."""
    first, second = lease(store), lease(store, worker=3)
    leases.register(second)
    leases.register(first)
    assert leases.all() == [first, second]
    leases.remove(first.id)
    assert leases.all() == [second]


def test_a_supervisor_renews_all_its_workers(store: SqlStore, leases: Leases) -> None:
    """The leases of a supervisor's workers are renewed and nobody else's; the answer says whose."""
    for worker in (lease(store, 1), lease(store, 2), lease(store, 3, supervisor=6)):
        leases.register(worker)
    before = {worker.id: worker.expires_at for worker in leases.all()}
    assert leases.renew(5, 100.0) == {1, 2}
    after = {worker.id: worker.expires_at for worker in leases.all()}
    assert [after[worker] > before[worker] for worker in (1, 2, 3)] == [True, True, False]
    assert leases.renew(99, 100.0) == set()


def test_an_expired_lease_is_buried_once(store: SqlStore, leases: Leases) -> None:
    """Of two reapers one takes the dead worker over; a living one, or one that came back, nobody."""
    leases.register(lease(store, 1, seconds=-1))
    leases.register(lease(store, 2))
    assert [worker.id for worker in leases.expired()] == [1]
    assert leases.bury(2, 20.0) is False
    assert leases.bury(1, 20.0) is True
    assert leases.bury(1, 20.0) is False
    assert leases.renew(5, 20.0) == {2}
    leases.register(lease(store, 3, supervisor=6, seconds=-1))
    leases.renew(6, 10.0)
    assert leases.bury(3, 20.0) is False
    assert leases.bury(17, 20.0) is False


def test_a_reaper_that_died_is_replaced(store: SqlStore, leases: Leases) -> None:
    """A lease that was taken over long ago and is still there can be taken over again."""
    leases.register(lease(store, 1, seconds=-1))
    assert leases.bury(1, -1.0) is True
    assert [worker.kind for worker in leases.expired()] == ["dead"]
    assert leases.bury(1, 20.0) is True


def test_unclaimed_rows_are_announced_again(store: SqlStore, leases: Leases) -> None:
    """What nobody claimed loses its stamp; claimed, failed and missing rows are left alone."""
    (ours,) = claimed(store)
    free, failed = insert(store, new(), new())
    change(store, failed, failed_at=PAST)
    assert leases.unannounce([ours, free, failed, 10**12]) == 1
    assert [row(store, job).announced_at is None for job in (ours, free, failed)] == [False, True, False]


def test_what_had_not_started_is_refunded(store: SqlStore, leases: Leases) -> None:
    """The attempt is given back, and the row is ready where it was."""
    (job,) = claimed(store)
    change(store, job, crashes=2)
    before = row(store, job)
    assert leases.free(WORKER, [Freed(id=job, fate=Fate.REFUND)], 3) == [job]
    found = row(store, job)
    assert (found.attempts, found.crashes, found.locked_by, found.claim_token) == (0, 2, None, None)
    assert (found.announced_at, found.last_error) == (before.announced_at, None)
    assert not found.suspect
    assert [again.attempts for again in take(store)] == [1]


def test_what_ran_beside_others_is_suspect(store: SqlStore, leases: Leases) -> None:
    """Refunded, and claimed alone the next time."""
    ids = claimed(store, 3)
    assert leases.free(WORKER, [Freed(id=job, fate=Fate.SUSPECT) for job in ids], 3) == ids
    assert [row(store, job).attempts for job in ids] == [0, 0, 0]
    assert names(take(store)) == ["0"]


def test_a_crash_is_charged_until_there_were_too_many(store: SqlStore, leases: Leases) -> None:
    """The third crash in a row fails the job, with the reason; not the second and not a fourth, on any database."""
    (job,) = claimed(store)
    for crash in (1, 2, 3):
        ready = leases.free(WORKER, [Freed(id=job, fate=Fate.CRASHED, error=f"signal {crash}")], 3)
        found = row(store, job)
        assert (found.crashes, found.attempts, found.last_error) == (crash, crash, f"signal {crash}")
        assert ready == ([job] if crash < 3 else [])
        assert (found.failed_at is not None, found.announced_at is None) == (crash == 3, crash == 3)
        store.claim([job], WORKER, crash)
    assert Catalog(store).get(job).state is State.FAILED


def test_a_crash_in_the_last_attempt_fails(store: SqlStore, leases: Leases) -> None:
    """With the attempts used up the first crash is the last."""
    (job,) = claimed(store)
    assert leases.free(WORKER, [Freed(id=job, fate=Fate.CRASHED, used_up=True, error="signal 9")], 3) == []
    found = row(store, job)
    assert found.failed_at is not None
    assert (found.announced_at, found.last_error, found.crashes) == (None, "signal 9", 1)


@pytest.mark.parametrize("used_up", [False, True])
def test_an_overrun_is_charged_like_a_failure(store: SqlStore, leases: Leases, *, used_up: bool) -> None:
    """A job that ran too long waits for its back-off, or is failed after its last attempt; it is no crash."""
    (job,) = claimed(store)
    change(store, job, crashes=2, suspect=True)
    overrun = Freed(id=job, fate=Fate.OVERRAN, used_up=used_up, error="too long", run_at=FUTURE)
    assert leases.free(WORKER, [overrun], 3) == []
    found = row(store, job)
    assert (found.attempts, found.crashes, found.last_error, found.announced_at) == (1, 0, "too long", None)
    assert not found.suspect
    assert (found.failed_at is not None) is used_up
    assert (found.run_at == FUTURE) is not used_up


def test_rows_of_every_fate_are_freed_together(store: SqlStore, leases: Leases) -> None:
    """The answer names just those that are ready again."""
    ids = claimed(store, 4)
    fates = [Freed(id=job, fate=fate, run_at=FUTURE) for job, fate in zip(ids, Fate, strict=True)]
    assert sorted(leases.free(WORKER, fates, 3)) == ids[:3]
    assert [row(store, job).attempts for job in ids] == [0, 0, 1, 1]


def test_freeing_again_changes_nothing(store: SqlStore, leases: Leases) -> None:
    """A row that another worker has claimed meanwhile, or that is free already, is left alone."""
    one, two = claimed(store, 2)
    freed = [Freed(id=job, fate=Fate.CRASHED, error="signal 9") for job in (one, two)]
    leases.free(WORKER, freed, 3)
    store.claim([one], 4, 8)
    before = row(store, one), row(store, two)
    leases.free(WORKER, freed, 3)
    leases.free(WORKER, [Freed(id=10**12, fate=Fate.REFUND)], 3)
    assert (row(store, one), row(store, two)) == before


def test_every_row_of_a_lost_host_is_freed(store: SqlStore, leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by ranges of keys, however many rows there are: refunded, suspect and to be announced again."""
    monkeypatch.setattr(module, "SCAN_PIECE", 7)
    ours = claimed(store, 20)
    others = claimed(store, 3, worker=4)
    ready = insert(store, *(new() for _ in range(3)))
    assert leases.free_all(WORKER) == 20
    assert leases.free_all(WORKER) == 0
    for job in ours:
        found = row(store, job)
        assert (found.attempts, found.locked_by, found.announced_at) == (0, None, None)
        assert found.suspect
    assert [row(store, job).locked_by for job in others + ready] == [4, 4, 4, None, None, None]


def test_times_of_leases_are_the_databases(store: SqlStore, leases: Leases) -> None:
    """A renewed lease ends so many seconds after the database's now."""
    leases.register(lease(store, seconds=-100))
    before = store.now()
    leases.renew(5, 20.0)
    (renewed,) = leases.all()
    assert timedelta(seconds=20) <= renewed.expires_at - before < timedelta(seconds=25)
    assert ago(store, 0) > PAST


def test_rows_of_workers_without_a_lease_are_found(store: SqlStore, leases: Leases) -> None:
    """A claim that commits after its worker's burial is nobody's: the scan names the worker, and frees its rows."""
    leases.register(lease(store, 1))
    mine = claimed(store, worker=1)
    late = claimed(store, 2, worker=2)
    assert leases.orphans() == [2]
    assert leases.free_all(2) == 2
    assert leases.orphans() == []
    assert [row(store, job).locked_by for job in [*mine, *late]] == [1, None, None]
    assert [(held.id, held.worker, held.token) for held in leases.held_by([1])] == [(mine[0], 1, 7)]
