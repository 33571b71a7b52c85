"""Conformance of the errors of attempts: each is kept in the transaction that ends its attempt."""

from typing import Any

from sqlalchemy import select

from tests.conformance.jobs import change, insert, new, take, want
from tomqueue.job import Claimed
from tomqueue.store.attempt_errors import PLACES
from tomqueue.store.base import Delete, Ending, Hold, Release
from tomqueue.store.catalog import Catalog
from tomqueue.store.history import HistoryTable
from tomqueue.store.leases import Fate, Freed, Leases, WorkerRow
from tomqueue.store.pruning import Pruning
from tomqueue.store.sql import SqlStore


def release(job: Claimed, error: str | None = "boom", **terms: Any) -> Release:
    """Return the ending of an attempt that is to be retried."""
    return Release(
        id=job.id, token=job.token, tied=job.tied, attempts=job.attempts, last_error=error, keep_announced=True, **terms
    )


def claim(store: SqlStore, token: int = 7) -> Claimed:
    """Claim the one job."""
    (job,) = take(store, want(worker=5), token)
    return job


def texts(catalog: Catalog, job_id: int) -> list[tuple[int, str]]:
    """Read the attempts and their errors."""
    return [(one.attempt, one.error) for one in catalog.errors(job_id)]


def errors(store: SqlStore) -> int:
    """Count the errors of all jobs."""
    with store.reading() as connection:
        return len(connection.execute(select(store.tables.errors)).all())


def test_each_attempt_has_its_error(store: SqlStore, catalog: Catalog, leases: Leases) -> None:
    """With the attempt, the time and the worker; a job that is tied is no different."""
    now = store.now()
    leases.register(
        WorkerRow(
            id=5, name="host:a pid:1", supervisor=1, kind="worker", queues="", slots=1, started_at=now, expires_at=now
        )
    )
    plain, tied = insert(store, new("plain"), new("tied", ties={"result_ttl": 1}))
    for attempt in (1, 2):
        endings: list[Ending] = [release(job, f"boom {attempt}") for job in take(store, want(worker=5), attempt)]
        store.finish(endings[:1])
        store.finish(endings[1:])
    for job in (plain, tied):
        first, second = catalog.errors(job)
        assert (first.attempt, first.error, first.worker) == (1, "boom 1", "host:a pid:1")
        assert (second.attempt, second.error) == (2, "boom 2")
        assert now <= first.raised_at <= second.raised_at


def test_an_ending_without_an_error_keeps_none(store: SqlStore, catalog: Catalog) -> None:
    """A row that is given back, snoozed or parked has had no attempt; one that was lost changes nothing."""
    (job_id,) = insert(store, new())
    store.finish([release(claim(store), None)])
    store.finish([release(claim(store), "cannot be read", parked=True)])
    change(store, job_id, parked_at=None)
    job = claim(store)
    job.token += 1
    assert store.finish([release(job)]) == [Hold.LOST]
    assert texts(catalog, job_id) == []


def test_beside_a_claim_it_is_kept_as_well(store: SqlStore, catalog: Catalog) -> None:
    """In the one transaction of a worker's turn."""
    (job_id,) = insert(store, new())
    ending = release(claim(store))
    store.take(want("other"), 9, lambda _: None, [ending])
    assert texts(catalog, job_id) == [(1, "boom")]


def test_a_crash_is_an_error(store: SqlStore, catalog: Catalog, leases: Leases) -> None:
    """What the supervisor writes of a dead process, and of a job that overran."""
    (job_id,) = insert(store, new())
    claim(store)
    leases.free(5, [Freed(id=job_id, fate=Fate.CRASHED, error="signal 9")], 3)
    claim(store)
    leases.free(5, [Freed(id=job_id, fate=Fate.OVERRAN, error="too long", run_at=store.now())], 3)
    assert texts(catalog, job_id) == [(1, "signal 9"), (2, "too long")]


def test_only_the_latest_are_kept(store: SqlStore, catalog: Catalog) -> None:
    """However often a job is tried, its errors take so many places."""
    (job_id,) = insert(store, new())
    for attempt in range(1, PLACES + 4):
        store.finish([release(claim(store), f"boom {attempt}")])
    kept = texts(catalog, job_id)
    assert len(kept) == PLACES
    assert (kept[0], kept[-1]) == ((4, "boom 4"), (PLACES + 3, f"boom {PLACES + 3}"))


def test_they_go_with_the_job(store: SqlStore, catalog: Catalog) -> None:
    """By its success, alone or beside others, and by a person's delete."""
    insert(store, new(), new(), new("tied", ties={"result_ttl": 1}))
    store.finish([release(job) for job in take(store, want(worker=5), 7)])
    first, second, third = take(store, want(worker=5), 8)
    assert errors(store) == 3
    store.finish([Delete(first.id, first.token, retried=True)])
    store.finish([Delete(third.id, third.token, third.tied, retried=True)])
    assert errors(store) == 1
    store.undo([second.id], second.token)
    catalog.delete(second.id)
    assert errors(store) == 0


def test_those_of_a_job_that_is_kept_stay_with_its_history(store: SqlStore, catalog: Catalog) -> None:
    """And go when that is pruned."""
    (job_id,) = insert(store, new("sum", ties={"keep_completed": 1}))
    store.finish([release(claim(store))])
    job = claim(store)
    store.finish([Delete(job.id, job.token, job.tied, retried=True)])
    assert HistoryTable(store).get(job_id).attempts == 2
    assert texts(catalog, job_id) == [(1, "boom")]
    Pruning(store).orphans(0, 10)
    assert texts(catalog, job_id) == [(1, "boom")]
    assert Pruning(store).history(store.now(), 10) == 1
    assert texts(catalog, job_id) == []


def test_what_plain_sql_leaves_behind_is_found(store: SqlStore) -> None:
    """Errors of rows that nobody's code deleted: a walk in pieces finds them, and leaves those of living jobs."""
    ids = insert(store, *(new() for _ in range(5)))
    store.finish([release(job) for job in take(store, want(worker=5), 7)])
    with store.writing() as connection:
        connection.execute(store.tables.jobs.delete().where(store.tables.jobs.c.id.in_([ids[0], ids[1], ids[3]])))
    pruning, walk, after = Pruning(store), [], 0
    while (end := pruning.orphans(after, 2)) is not None:
        walk.append(end)
        after = end
    assert walk == [ids[1], ids[3], ids[4]]
    assert errors(store) == 2
