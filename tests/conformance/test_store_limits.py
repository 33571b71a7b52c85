"""Conformance of limits: which held jobs come in, and who lets them in, however a slot becomes free."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from tests.conformance.jobs import FUTURE, HIGH, LOW, PAST, SERVERS, ago, change, insert, names, new, row, take, want
from tomqueue.definition import Limit
from tomqueue.job import Claimed, NewJob, State
from tomqueue.store.admissions import Admissions
from tomqueue.store.base import Delete, Release
from tomqueue.store.catalog import Catalog, Filter
from tomqueue.store.editing import Reschedule
from tomqueue.store.leases import Fate, Freed, Leases, WorkerRow
from tomqueue.store.limit_table import LimitTable
from tomqueue.store.limits import KEYS_AT_ONCE
from tomqueue.store.sql import SqlStore


def limited(name: str, key: str = "report", **values: Any) -> NewJob:
    """Return a job that counts in a limit."""
    return new(name, ties={"limit_key": key}, held=True, **values)


def declare(store: SqlStore, concurrency: int | None = 1, every: timedelta | None = None, name: str = "report") -> None:
    """Declare a limit."""
    store.know_limits([Limit(name=name, concurrency=concurrency, every=every)])


def states(catalog: Catalog) -> list[State]:
    """Return the states of all jobs, in the order of their ids."""
    return [job.state for job in catalog.find(Filter())]


def release(job: Claimed, **terms: Any) -> Release:
    """Return an ending that keeps the row."""
    return Release(id=job.id, token=job.token, tied=job.tied, attempts=job.attempts, **terms)


def finish(store: SqlStore, *jobs: Claimed) -> None:
    """End jobs with success, together."""
    store.finish([Delete(job.id, job.token, job.tied) for job in jobs])


def test_as_many_come_in_as_may_run_at_once(store: SqlStore, catalog: Catalog) -> None:
    """Of five jobs two are ready as soon as they are enqueued; one end lets one in, the next in line."""
    declare(store, 2)
    inserted = store.insert([limited(name) for name in "abcde"])
    assert [one.announced_at is not None for one in inserted] == [True, True, False, False, False]
    assert states(catalog) == [State.READY] * 2 + [State.HELD] * 3
    first, second = take(store)
    assert (names([first, second]), take(store)) == (["a", "b"], [])
    finish(store, first)
    assert names(take(store)) == ["c"]
    finish(store, second)
    assert names(take(store)) == ["d"]


def test_each_key_counts_by_itself(store: SqlStore) -> None:
    """A key's jobs take no slot of another; keys compare byte by byte."""
    declare(store, 1)
    insert(store, *(limited(f"{key}{place}", f"report:{key}") for place in (1, 2) for key in ("a", "A", "b")))
    assert sorted(names(take(store))) == ["A1", "a1", "b1"]


def test_the_most_urgent_due_job_comes_in_first(store: SqlStore) -> None:
    """By priority, then by time, then by id; what is not due does not count."""
    declare(store, 1)
    insert(store, limited("first"))
    (running,) = take(store)
    insert(store, limited("low", priority=LOW), limited("b"), limited("later", priority=HIGH, run_at=FUTURE))
    insert(store, limited("overdue", run_at=PAST), limited("high", priority=HIGH))
    order = []
    for _ in range(4):
        finish(store, running)
        (running,) = take(store)
        order.append(running.name)
    assert order == ["high", "overdue", "b", "low"]
    finish(store, running)
    assert take(store) == []


Path = Callable[[SqlStore, Catalog, Claimed], object]
FREEING: dict[str, Path] = {
    "success": lambda s, _c, job: finish(s, job),
    "failure": lambda s, _c, job: s.finish([release(job, failed=True)]),
    "retry": lambda s, _c, job: s.finish([release(job, run_at=FUTURE)]),
    "park": lambda s, _c, job: s.finish([release(job, run_at=FUTURE, parked=True)]),
    "overrun": lambda s, _c, job: Leases(s).free(1, [Freed(id=job.id, fate=Fate.OVERRAN, run_at=FUTURE)], 3),
    "last crash": lambda s, _c, job: Leases(s).free(1, [Freed(id=job.id, fate=Fate.CRASHED)], 1),
    "cancelled while it ran": lambda s, c, job: (c.cancel(job.id), s.finish([release(job)])),
    "atomic": lambda s, _c, job: s.write(lambda connection: s.finish_in(connection, Delete(job.id, job.token, True))),
    "deleted": lambda s, c, job: (s.finish([release(job)]), c.delete_all([job.id])),
    "put off": lambda s, c, job: (s.finish([release(job)]), c.edit(job.id, Reschedule(run_at=FUTURE))),
}


@pytest.mark.parametrize("path", FREEING)
def test_whatever_ends_a_job_lets_the_next_in(store: SqlStore, catalog: Catalog, path: str) -> None:
    """Its slot is free in the same transaction; what waits for its back-off holds none."""
    declare(store, 1)
    insert(store, limited("a"), limited("b"))
    (job,) = take(store)
    FREEING[path](store, catalog, job)
    assert names(take(store)) == ["b"]


KEEPING: dict[str, Path] = {
    "given back": lambda s, _c, job: s.finish([release(job, keep_announced=True)]),
    "claim in doubt": lambda s, _c, job: s.undo([job.id], job.token),
    "child died": lambda s, _c, job: Leases(s).free(1, [Freed(id=job.id, fate=Fate.CRASHED)], 3),
    "host lost": lambda s, _c, _job: Leases(s).free_all(1),
    "cancel is asked for": lambda _s, c, job: c.cancel(job.id),
    "claim was lost": lambda s, _c, job: s.finish([Delete(job.id, job.token + 1, True)]),
}


@pytest.mark.parametrize("path", KEEPING)
def test_a_job_keeps_its_slot_until_it_has_ended(store: SqlStore, catalog: Catalog, path: str) -> None:
    """A claim that ends without the job's end, or a request, lets nobody in: the same job runs again."""
    declare(store, 1)
    insert(store, limited("a"), limited("b"))
    (job,) = take(store)
    KEEPING[path](store, catalog, job)
    store.announce()
    assert names(take(store)) in ([], ["a"])
    assert states(catalog) == [State.RUNNING, State.HELD]


def test_a_retry_comes_in_when_its_time_has_come(store: SqlStore, catalog: Catalog) -> None:
    """Nobody has to end for that: a look finds the key, at its moment."""
    declare(store, 1)
    insert(store, limited("a"))
    (job,) = take(store)
    store.finish([release(job, run_at=store.now() + timedelta(seconds=0.2))])
    assert states(catalog) == [State.HELD]
    early = Admissions(store, lambda: PAST)
    assert early.look() == 0
    assert early.upcoming is not None
    looks = Admissions(store, store.now)
    while not looks.look():
        pass
    assert names(take(store)) == ["a"]


def test_a_failed_job_that_is_retried_waits_for_its_turn(store: SqlStore, catalog: Catalog) -> None:
    """As does a scheduled one; a held one that is cancelled, retried or deleted goes its way."""
    declare(store, 1)
    failed, running, waiting = insert(store, limited("a"), limited("b"), limited("c"))
    (job,) = take(store)
    store.finish([release(job, failed=True)])
    assert names(take(store)) == ["b"]
    assert catalog.retry(failed).state is State.HELD
    assert catalog.cancel(waiting).state is State.FAILED
    assert catalog.retry(waiting).state is State.HELD
    catalog.delete(failed)
    assert [job.id for job in catalog.find(Filter())] == [running, waiting]


def test_a_slot_that_a_person_frees_is_taken(store: SqlStore, catalog: Catalog) -> None:
    """Ready jobs that are cancelled or deleted in bulk let the next ones in."""
    declare(store, 2)
    ids = insert(store, *(limited(name) for name in "abcdef"))
    assert catalog.cancel_all(ids[:1]) == 1
    assert catalog.delete_all(ids[1:3]) == 2
    assert names(take(store)) == ["d", "e"]


def test_in_the_callers_transaction_no_row_is_shared(store: SqlStore) -> None:
    """It inserts a held row and touches no key; once it has committed, the job comes in, or waits."""
    declare(store, 1)
    for name in ("a", "b"):
        with store.engine.connect() as connection, connection.begin():
            store.know_limits([Limit(name="report", concurrency=1)], connection)
            (inserted,) = store.insert([limited(name)], connection)
            assert inserted.announced_at is None
            keys = connection.execute(select(store.tables.limit_keys.c.limit_key)).scalars().all()
            assert keys == ([] if name == "a" else ["report"])
    assert names(take(store)) == ["a"]


def test_a_rolled_back_job_takes_no_slot(store: SqlStore) -> None:
    """Nothing follows it."""
    declare(store, 1)
    with store.engine.connect() as connection, connection.begin() as transaction:
        store.insert([limited("a")], connection)
        transaction.rollback()
    insert(store, limited("b"))
    assert names(take(store)) == ["b"]


def test_what_an_enqueuer_left_undone_is_found(store: SqlStore) -> None:
    """It died after its commit, or somebody wrote the row by SQL: the walk over the keys lets the job in."""
    declare(store, 1)
    columns = {"queue": "default", "priority": 1, "name": "lost", "payload": "{}", "held": True, "tied": True}
    with store.writing() as connection:
        for key in ("report:1", "report:2"):
            times = dict.fromkeys(("run_at", "created_at", "updated_at"), ago(store, 1))
            connection.execute(store.tables.jobs.insert().values(**columns, **times, limit_key=key))
    assert take(store) == []
    assert Admissions(store, store.now).look() == 2
    assert len(take(store)) == 2


def test_very_many_keys_at_once_are_let_in_by_the_looks(store: SqlStore, catalog: Catalog) -> None:
    """An enqueue lets in some itself, and has the others looked at at once."""
    declare(store, 1)
    keys = 160
    insert(store, *(limited("a", f"report:{place}") for place in range(keys)), *(limited("b", "report:0"),))
    assert states(catalog).count(State.READY) == KEYS_AT_ONCE
    looks = Admissions(store, store.now)
    assert (looks.look(), looks.look()) == (100, keys - 100 - KEYS_AT_ONCE)
    assert states(catalog).count(State.HELD) == 1


def test_the_row_of_a_key_without_jobs_is_forgotten(store: SqlStore) -> None:
    """After a day; one that has jobs stays, and the limit goes on as before."""
    declare(store, 1)
    insert(store, limited("a", "report:old"), limited("b", "report:used"))
    old = next(job for job in take(store) if job.name == "a")
    finish(store, old)
    keys = store.tables.limit_keys
    with store.writing() as connection:
        connection.execute(update(keys).values(used_at=ago(store, 2 * 86400)))
    Admissions(store, store.now).look()
    with store.reading() as connection:
        assert connection.execute(select(keys.c.limit_key)).scalars().all() == ["report:used"]
    insert(store, limited("again", "report:old"))
    assert names(take(store)) == ["again"]


def test_a_limit_that_somebody_deleted_lets_one_in_at_a_time(store: SqlStore) -> None:
    """Neither all, nor none."""
    declare(store, 5)
    with store.writing() as connection:
        connection.execute(delete(store.tables.limits))
    insert(store, limited("a"), limited("b"))
    assert names(take(store)) == ["a"]


# Rates --------------------------------------------------------------------------------------------------


def test_a_rate_gives_each_job_its_moment(store: SqlStore, catalog: Catalog) -> None:
    """The first at once, the next ones evenly spread, and none further ahead than a few seconds."""
    declare(store, None, timedelta(seconds=1.2))
    ids = insert(store, *(limited(name) for name in "abcdefgh"))
    found = [row(store, one) for one in ids]
    assert [bool(one.held) for one in found] == [False] * 3 + [True] * 5
    moments = [one.run_at for one in found[:3]]
    assert moments[2] - moments[1] == timedelta(seconds=1.2)
    assert states(catalog)[:4] == [State.READY, State.SCHEDULED, State.SCHEDULED, State.HELD]
    assert names(take(store)) == ["a"]


def test_a_rate_does_not_pile_up_while_nobody_works(store: SqlStore, catalog: Catalog) -> None:
    """Moments pass; what is in and has not started keeps others out, and only that starts at once later."""
    declare(store, None, timedelta(seconds=1))
    ids = insert(store, *(limited(name) for name in "abcdefgh"))
    change(store, *ids[:3], run_at=ago(store, 60))
    with store.writing() as connection:
        connection.execute(update(store.tables.limit_keys).values(next_at=ago(store, 60), look_at=ago(store, 60)))
    assert Admissions(store, store.now).look() == 0
    assert states(catalog).count(State.HELD) == 5


def test_a_rate_that_is_raised_counts_at_once(store: SqlStore) -> None:
    """The next moment is no longer that of the old rate, also where the application says so."""
    declare(store, None, timedelta(days=1))
    _, waiting = insert(store, limited("a"), limited("b"))
    assert row(store, waiting).held
    declare(store, None, timedelta(seconds=1))
    looks = Admissions(store, store.now)
    while row(store, waiting).held:
        looks.look()
    assert row(store, waiting).run_at < store.now() + timedelta(seconds=5)


def test_a_rate_and_a_concurrency_hold_together(store: SqlStore) -> None:
    """The next job comes in when one has ended, and not before the moment that the rate gives it."""
    declare(store, 1, timedelta(hours=1))
    insert(store, limited("a"), limited("b"))
    (job,) = take(store)
    finish(store, job)
    assert take(store) == []
    with store.reading() as connection:
        look_at = connection.execute(select(store.tables.limit_keys.c.look_at)).scalar_one()
    assert timedelta(minutes=59) < look_at - store.now() < timedelta(hours=1)


# Fair sharing -------------------------------------------------------------------------------------------


def tenant(name: str, tenant_name: str) -> NewJob:
    """Return a job of a tenant."""
    return limited(name, f"default/fair:{tenant_name}")


def test_a_new_tenant_is_behind_a_few_jobs_of_another(store: SqlStore) -> None:
    """Of one tenant's hundred jobs as many are ready as two for each slot of a living worker."""
    now = store.now()
    for worker, expires_at in ((1, now + timedelta(hours=1)), (2, now - timedelta(hours=1))):
        Leases(store).register(
            WorkerRow(
                id=worker, name="w", supervisor=1, kind="worker", queues="*", slots=3, started_at=now,
                expires_at=expires_at,
            )
        )  # fmt: skip
    insert(store, *(tenant(f"big{place}", "big") for place in range(100)))
    insert(store, tenant("small", "small"))
    assert names(take(store, want(limit=100))) == [*(f"big{place}" for place in range(6)), "small"]


def test_what_ends_together_is_followed_by_twice_as_many(store: SqlStore) -> None:
    """So that one tenant's quick jobs run at nearly the full rate, and slow ones keep a short line."""
    insert(store, *(tenant(f"job{place}", "one") for place in range(40)))
    sizes = []
    while jobs := take(store, want(limit=100)):
        sizes.append(len(jobs))
        finish(store, *jobs)
    assert sizes == [2, 4, 8, 16, 10]


# What people see and change -----------------------------------------------------------------------------


def test_the_table_of_limits(store: SqlStore) -> None:
    """A row for each key that has jobs, and for a limit that has none."""
    declare(store, 2)
    declare(store, None, timedelta(seconds=60), name="other")
    insert(store, *(limited(str(place), "report:7") for place in range(5)), limited("f", "default/fair:t"))
    assert names(take(store, want(limit=1))) == ["f"]
    fair, other, report = LimitTable(store).all()
    assert (fair.name, fair.key, fair.is_fair, fair.running) == ("default/fair", "t", True, 1)
    assert (other.name, other.key, other.every, other.waiting) == ("other", None, timedelta(seconds=60), 0)
    assert (report.key, report.concurrency, report.running, report.let_in, report.waiting) == ("7", 2, 0, 2, 3)
    assert LimitTable(store).of("report:7") == report


def test_a_persons_change_stays_until_it_is_declared_otherwise(store: SqlStore) -> None:
    """More jobs come in at the next look; a process that declares the same as before changes nothing back."""
    limits = LimitTable(store)
    declare(store, 1)
    insert(store, *(limited(name) for name in "abcd"))
    limits.set("report", concurrency=3)
    assert Admissions(store, store.now).look() == 2
    store._known_limits.clear()
    declare(store, 1)
    (report,) = limits.all()
    assert (report.concurrency, report.changed) == (3, True)
    limits.reset("report")
    assert not limits.all()[0].changed
    declare(store, 2)
    assert limits.all()[0].concurrency == 2


# Many at once -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mariadb"], indirect=True)
def test_no_race_lets_one_too_many_in(store: SqlStore, catalog: Catalog) -> None:
    """Eight threads enqueue, take, end and give back: never more than three of a key are in, and all run."""
    declare(store, 3)
    done: list[str] = []
    seen: list[int] = []
    jobs = store.tables.jobs
    inside = select(jobs.c.id).where(~jobs.c.held, jobs.c.failed_at.is_(None))

    def work(worker: int) -> None:
        insert(store, *(limited(f"{worker}-{place}") for place in range(5)))
        empty = 0
        while len(done) < 40 and empty < 2000:
            claimed = take(store, want(limit=2, worker=worker), worker)
            empty = 0 if claimed else empty + 1
            with store.reading() as connection:
                seen.append(len(connection.execute(inside).all()))
            for place, job in enumerate(claimed):
                if place and job.attempts == 1:
                    store.finish([release(job, run_at=store.now() - timedelta(seconds=1))])
                    store.announce()
                else:
                    finish(store, job)
                    done.append(job.name)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(done) == sorted(f"{worker}-{place}" for worker in range(1, 9) for place in range(5))
    assert max(seen) <= 3
    assert states(catalog) == []


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_who_changes_a_waiting_job_stops_nobody(store: SqlStore) -> None:
    """A person's open transaction holds a waiting row: an end passes it over, and lets the next one in."""
    declare(store, 1)
    _, locked, _ = insert(store, limited("a"), limited("b"), limited("c"))
    (job,) = take(store)
    jobs = store.tables.jobs
    with store.engine.connect() as connection, connection.begin():
        connection.execute(select(jobs.c.id).where(jobs.c.id == locked).with_for_update())
        finish(store, job)
        (job,) = take(store)
    assert job.name == "c"
    finish(store, job)
    assert names(take(store)) == ["b"]


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_a_job_that_was_passed_over_is_looked_at_again(store: SqlStore) -> None:
    """Soon, though nobody ends: whoever had it locked may have rolled back. Nor is its moment of a rate spent."""
    declare(store, 1, timedelta(hours=1))
    jobs, keys = store.tables.jobs, store.tables.limit_keys
    (first,) = insert(store, limited("a"))
    (job,) = take(store)
    assert job.id == first
    (locked,) = insert(store, limited("b"))
    with store.engine.connect() as connection, connection.begin():
        connection.execute(select(jobs.c.id).where(jobs.c.id == locked).with_for_update())
        with store.writing() as own:
            own.execute(update(keys).values(next_at=PAST))
        finish(store, job)
    looks = Admissions(store, store.now)
    while not looks.look():
        pass
    assert names(take(store)) == ["b"]


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_a_look_waits_for_nobody(store: SqlStore) -> None:
    """Not for a worker that was frozen while it let a job in: all others would stand still."""
    declare(store, 1)
    insert(store, limited("a"), limited("b"), limited("c", key="other"))
    keys = store.tables.limit_keys
    with store.writing() as connection:
        connection.execute(update(keys).values(look_at=PAST))
    change(store, *(job.id for job in take(store)), locked_by=None, failed_at=PAST)
    with store.engine.connect() as connection, connection.begin():
        connection.execute(select(keys.c.limit_key).where(keys.c.limit_key == "report").with_for_update())
        assert Admissions(store, store.now).look() == 0
    assert Admissions(store, store.now).look() == 1
    assert names(take(store)) == ["b"]
