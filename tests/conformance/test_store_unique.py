"""Conformance of unique jobs: at most one row of a name holds a key, whatever happens to the others."""

from datetime import timedelta
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from tests.conformance.jobs import FUTURE, SERVERS, change, insert, names, new, row, take, want
from tomqueue.errors import JobStateError
from tomqueue.job import Claimed, NewJob, State, Unique
from tomqueue.store.base import Delete, Inserted, Release
from tomqueue.store.catalog import Catalog, Filter
from tomqueue.store.leases import Fate, Freed, Leases
from tomqueue.store.sql import SqlStore


def unique(
    key: str = "k", name: str = "greet", until: str = "start", seconds: float | None = None, **more: Any
) -> NewJob:
    """Return a unique job to insert."""
    return new(name, unique=Unique(key, until, seconds), **more)


def again(job: Claimed, **values: Any) -> Release:
    """Return the ending of an attempt after which the job waits."""
    return Release(id=job.id, token=job.token, attempts=job.attempts, **values)


def one(store: SqlStore, job: NewJob, connection: Any = None) -> Inserted:
    """Insert one job."""
    (inserted,) = store.insert([job], connection)
    return inserted


def count(store: SqlStore) -> int:
    """Count the rows."""
    return Catalog(store).count(Filter())


# Enqueue ------------------------------------------------------------------------------------------------


def test_the_second_is_answered_with_the_first(store: SqlStore) -> None:
    """There is one row, and the second enqueue is told of it as it is."""
    first = one(store, unique(payload='{"n":1}', priority=2))
    second = one(store, unique(payload='{"n":2}'))
    assert first.existing is None
    assert second.id == first.id
    assert second.existing is not None
    assert second.existing.is_existing
    assert (second.existing.payload, second.existing.priority.rank) == ('{"n":1}', 2)
    assert (second.existing.unique_key, second.existing.unique_until, second.existing.unique_held) == (
        "k",
        "start",
        True,
    )
    assert count(store) == 1


def test_a_new_row_is_as_every_other(store: SqlStore) -> None:
    """Its times are the database's, it is ready at once or when its time has come."""
    now, later = store.insert([unique("a"), unique("b", delay=60.0)])
    assert now.run_at == now.announced_at == now.created_at
    assert later.announced_at is None
    assert later.run_at - later.created_at == timedelta(seconds=60)
    assert one(store, unique("c", run_at=FUTURE)).run_at == FUTURE
    assert names(take(store)) == ["greet"]


def test_keys_are_told_apart_to_the_letter(store: SqlStore) -> None:
    """By case, by accents, by a space at the end, and by the name of the job."""
    keys = ["k", "K", "k ", " k", "ḱ", "k\n", "k" * 200, "k" * 199 + "K"]
    made = [one(store, unique(key)) for key in keys] + [one(store, unique("k", "other"))]
    assert all(inserted.existing is None for inserted in made)
    assert [row(store, inserted.id).unique_key for inserted in made] == [*keys, "k"]
    assert all(one(store, unique(key)).existing for key in keys)


def test_many_find_those_that_are_there(store: SqlStore) -> None:
    """One call with plain jobs, new keys, a key that is held and one that comes twice: answered in its order."""
    held = one(store, unique("held"))
    jobs = [new("plain"), unique("x"), unique("held"), new("plain"), unique("x"), unique("y", delay=5.0)]
    answers = store.insert(jobs)
    assert answers[2].id == held.id
    assert answers[2].existing is not None
    assert answers[4].id == answers[1].id
    assert len({answer.id for answer in answers}) == 5
    assert [row(store, answer.id).name for answer in answers] == ["plain", "greet", "greet", "plain", "greet", "greet"]
    assert count(store) == 5


def test_very_many_are_inserted_at_once(store: SqlStore) -> None:
    """More than fit one statement; the second time all of them are there."""
    jobs = [unique(f"key-{number}") for number in range(1300)]
    made = store.insert(jobs)
    assert len({inserted.id for inserted in made}) == 1300
    assert [inserted.id for inserted in store.insert(jobs)] == [inserted.id for inserted in made]
    assert count(store) == 1300


def test_a_refused_one_leaves_nothing_of_its_call(store: SqlStore) -> None:
    """Errors other than a held key are seen, and undo all."""
    with pytest.raises(Exception, match=r"(?i)null"):
        store.insert([unique("a"), unique("b", None)])  # type: ignore[arg-type]
    assert count(store) == 0


# Holding and letting go ---------------------------------------------------------------------------------


def test_a_claim_lets_the_key_go(store: SqlStore) -> None:
    """From then on another one may be enqueued, whose claim does not mind the first."""
    first = one(store, unique())
    (claimed,) = take(store, want(limit=1))
    assert claimed.unique_key == "k"
    second = one(store, unique())
    assert second.existing is None
    assert second.id != first.id
    assert one(store, unique()).id == second.id
    assert [job.id for job in take(store, token=2)] == [second.id]


def test_until_finish_the_key_is_held_while_it_runs(store: SqlStore) -> None:
    """Claimed by a take or by key, retried: it stays with its row until that is deleted, or has failed for good."""
    first = one(store, unique(until="finish"))
    (claimed,) = take(store)
    met = one(store, unique(until="finish"))
    assert met.id == first.id
    assert met.existing is not None
    assert met.existing.state is State.RUNNING
    store.finish([again(claimed, run_at=store.now())])
    assert one(store, unique()).id == first.id
    claimed = store.claim([first.id], 1, 2)[first.id]  # type: ignore[assignment]
    assert isinstance(claimed, Claimed)
    assert claimed.unique_key == "k"
    assert one(store, unique()).id == first.id
    store.finish([Delete(first.id, 2)])
    assert one(store, unique()).existing is None


def test_failing_lets_the_key_go(store: SqlStore, catalog: Catalog) -> None:
    """Also one that is held until the end; the row keeps the key that it was enqueued with."""
    first = one(store, unique(until="finish"))
    (claimed,) = take(store)
    store.finish([again(claimed, failed=True, last_error="no")])
    job = catalog.get(first.id)
    assert (job.state, job.unique_key, job.unique_held) == (State.FAILED, "k", False)
    assert one(store, unique()).existing is None


def test_finishing_within_a_transaction_lets_the_key_go(store: SqlStore) -> None:
    """As an atomic job does."""
    first = one(store, unique(until="finish"))
    (claimed,) = take(store)
    with store.writing() as connection:
        assert store.finish_in(connection, again(claimed, failed=True))
    assert row(store, first.id).unique_lock is None


def test_a_cancel_lets_the_key_go(store: SqlStore, catalog: Catalog) -> None:
    """Of a waiting job at once; of one that runs with its end, if it is to be held so long."""
    waiting, running = one(store, unique("a")), one(store, unique("b", until="finish"))
    catalog.cancel(waiting.id)
    assert one(store, unique("a")).existing is None
    (claimed,) = store.claim([running.id], 1, 1).values()
    assert isinstance(claimed, Claimed)
    catalog.cancel(running.id)
    assert one(store, unique("b")).id == running.id
    store.finish([again(claimed)])
    assert catalog.get(running.id).state is State.FAILED
    assert one(store, unique("b")).existing is None


def test_deleting_lets_the_key_go(store: SqlStore, catalog: Catalog) -> None:
    """The key is the row's."""
    catalog.delete(one(store, unique()).id)
    assert one(store, unique()).existing is None


def test_a_plain_row_has_no_part_in_it(store: SqlStore) -> None:
    """Without a key a row holds none, before and after a claim and a retry."""
    (job,) = insert(store, new())
    (claimed,) = take(store)
    assert claimed.unique_key is None
    store.finish([again(claimed)])
    assert store.retake_keys([job]) == {}
    found = row(store, job)
    assert (found.unique_key, found.unique_lock, found.unique_until) == (None, None, None)


@pytest.mark.parametrize("kind", ["postgres"], indirect=True)
def test_the_claim_of_a_plain_row_touches_no_index(store: SqlStore) -> None:
    """PostgreSQL counts it as HOT, although the statement sets an indexed column: to what it was."""
    ids = insert(store, *[new() for _ in range(5)])
    link = store._links.get()
    oid = "'tomqueue_jobs'::regclass"
    counts = f"pg_stat_get_xact_tuples_updated({oid}), pg_stat_get_xact_tuples_hot_updated({oid})"
    link.execute("BEGIN")
    store._lock(link, ids, 1, 1)
    assert link.execute(f"SELECT {counts}").fetchone() == (5, 5)
    link.execute("ROLLBACK")


# Taking it again ----------------------------------------------------------------------------------------


def test_a_job_that_waits_again_takes_its_key_again(store: SqlStore) -> None:
    """After an error, as long as no other one holds it."""
    first = one(store, unique())
    (claimed,) = take(store)
    store.finish([again(claimed, run_at=FUTURE)])
    assert store.retake_keys([first.id]) == {}
    assert one(store, unique()).id == first.id


def test_a_retry_that_meets_a_newer_holder_is_told_of_it(store: SqlStore) -> None:
    """It goes on without its key, and says whose that is by now."""
    first = one(store, unique())
    (claimed,) = take(store)
    second = one(store, unique())
    store.finish([again(claimed)])
    assert store.retake_keys([first.id]) == {first.id: second.id}
    assert one(store, unique()).id == second.id
    assert row(store, first.id).unique_lock is None


def test_only_what_waits_takes_its_key_again(store: SqlStore) -> None:
    """Not what runs, has failed, or is gone."""
    running, failed, gone = (one(store, unique(key)).id for key in "abc")
    take(store, want(limit=3))
    change(store, failed, failed_at=store.now(), locked_by=None)
    Catalog(store).cancel_all([gone])
    assert store.retake_keys([running, failed, gone, 999]) == {}
    assert row(store, running).unique_lock is row(store, failed).unique_lock is None


def test_a_person_may_retry_while_the_key_is_free(store: SqlStore, catalog: Catalog) -> None:
    """A failed job holds its key again; one whose key is another's is refused, naming it, by itself and in bulk."""
    first = one(store, unique())
    catalog.cancel(first.id)
    assert catalog.retry(first.id).unique_held
    catalog.cancel(first.id)
    second = one(store, unique())
    with pytest.raises(JobStateError, match=rf"job {first.id} is failed.*job {second.id} holds its unique key"):
        catalog.retry(first.id)
    assert catalog.key_holder(catalog.get(first.id)) == second.id
    (plain,) = insert(store, new())
    catalog.cancel(plain)
    assert catalog.retry_all([first.id, plain]) == 1
    catalog.delete(second.id)
    assert catalog.retry_all([first.id, plain]) == 2
    assert catalog.get(first.id).unique_held


def test_a_person_may_hurry_a_job_that_lost_its_key(store: SqlStore, catalog: Catalog) -> None:
    """It runs in any case: a retry of what waits is not refused."""
    first = one(store, unique())
    (claimed,) = take(store)
    one(store, unique())
    store.finish([again(claimed, run_at=FUTURE)])
    job = catalog.retry(first.id)
    assert (job.state, job.unique_held) == (State.READY, False)


def test_a_crash_frees_what_it_is_to_free(store: SqlStore, leases: Leases) -> None:
    """The job of a dead process waits again and takes its key again; what was held until the end stays held."""
    short, long = one(store, unique("a")), one(store, unique("b", until="finish"))
    take(store, want(worker=5))
    assert one(store, unique("b")).id == long.id
    leases.free(5, [Freed(id=job.id, fate=Fate.REFUND) for job in (short, long)], 3)
    assert one(store, unique("a")).id == short.id
    assert one(store, unique("b")).id == long.id
    take(store, want(worker=6))
    newer = one(store, unique("a"))
    assert leases.free_all(6) == 2
    assert one(store, unique("a")).id == newer.id
    assert one(store, unique("b")).id == long.id
    assert row(store, short.id).unique_lock is None


def test_a_crash_that_is_the_last_one_lets_the_key_go(store: SqlStore, leases: Leases) -> None:
    """As every failure does: by too many crashes, or the last attempt that overran."""
    crashed, overran = one(store, unique("a", until="finish")), one(store, unique("b", until="finish"))
    take(store, want(worker=5))
    fates = [Freed(id=crashed.id, fate=Fate.CRASHED), Freed(id=overran.id, fate=Fate.OVERRAN, used_up=True)]
    leases.free(5, fates, 1)
    assert one(store, unique("a")).existing is None
    assert one(store, unique("b")).existing is None


def test_a_claim_in_doubt_that_is_undone_takes_the_key_again(store: SqlStore) -> None:
    """It never ran."""
    first = one(store, unique())
    take(store, token=9)
    assert store.undo([first.id], 9) == 1
    assert one(store, unique()).id == first.id


# The window ---------------------------------------------------------------------------------------------


def test_a_window_ends_by_the_databases_clock(store: SqlStore, catalog: Catalog) -> None:
    """It is counted from the enqueue; then another one takes the key, and the first one waits without."""
    first = one(store, unique(seconds=3600.0))
    assert row(store, first.id).unique_expires_at - first.created_at == timedelta(hours=1)
    assert one(store, unique()).id == first.id
    change(store, first.id, unique_expires_at=store.now() - timedelta(microseconds=1))
    assert not catalog.get(first.id).unique_held
    second = one(store, unique(seconds=3600.0))
    assert second.existing is None
    assert one(store, unique()).id == second.id
    assert catalog.get(first.id).state is State.READY
    assert count(store) == 2


def test_a_window_that_is_over_is_not_taken_again(store: SqlStore) -> None:
    """Nor is one that ended while the job ran."""
    first = one(store, unique(seconds=3600.0))
    (claimed,) = take(store)
    change(store, first.id, unique_expires_at=store.now())
    store.finish([again(claimed)])
    assert store.retake_keys([first.id]) == {}
    assert row(store, first.id).unique_lock is None


def test_a_key_whose_window_is_over_is_nobodys(store: SqlStore, catalog: Catalog) -> None:
    """A job that wants its key again takes it from one whose time to hold it is over; so does a person's retry."""
    first = one(store, unique())
    (claimed,) = take(store)
    over = one(store, unique(seconds=60.0))
    change(store, over.id, unique_expires_at=store.now())
    store.finish([again(claimed, run_at=FUTURE)])
    assert store.retake_keys([first.id]) == {}
    assert one(store, unique()).id == first.id
    change(store, first.id, unique_expires_at=store.now())
    catalog.cancel(over.id)
    assert catalog.retry(over.id).unique_held


# In the caller's transaction ----------------------------------------------------------------------------


def test_a_held_key_does_not_abort_the_callers_transaction(store: SqlStore) -> None:
    """It goes on, and what it writes before and after is committed."""
    held = one(store, unique("held"))
    with store.engine.begin() as connection:
        before = one(store, unique("a"), connection)
        met = one(store, unique("held"), connection)
        after = one(store, unique("b", seconds=60.0, delay=1.0), connection)
        same = one(store, unique("a"), connection)
    assert met.id == held.id
    assert met.existing is not None
    assert same.id == before.id
    assert same.existing is not None
    assert count(store) == 3
    assert row(store, after.id).unique_expires_at - after.created_at == timedelta(seconds=60)
    assert before.announced_at == before.created_at == row(store, before.id).announced_at


def test_many_in_the_callers_transaction(store: SqlStore) -> None:
    """Plain ones, new keys, held ones and doubles, answered in their order."""
    held = one(store, unique("held"))
    with store.engine.begin() as connection:
        answers = store.insert([unique("x"), new("plain"), unique("held"), unique("x")], connection)
    assert [answer.id for answer in answers] == [answers[0].id, answers[1].id, held.id, answers[0].id]
    assert count(store) == 3


def test_a_rollback_lets_the_key_go(store: SqlStore) -> None:
    """A row that never was holds nothing."""
    with store.engine.connect() as connection, connection.begin() as transaction:
        one(store, unique(), connection)
        transaction.rollback()
    assert one(store, unique()).existing is None


def test_a_key_that_the_callers_transaction_let_go_is_free_in_it(store: SqlStore) -> None:
    """Others see its holder still; a rollback gives them what they see."""
    first, second = insert(store, unique("k"), unique("l"))
    jobs = store.tables.jobs
    with store.engine.connect() as connection:
        transaction = connection.begin()
        connection.execute(jobs.delete().where(jobs.c.id == first))
        connection.execute(jobs.update().where(jobs.c.id == second).values(unique_lock=None))
        made = store.insert([unique("k"), unique("l"), unique("k")], connection)
        transaction.rollback()
    assert [one.existing is None for one in made[:2]] == [True, True]
    assert made[2].id == made[0].id not in {first, second}
    assert [one(store, unique(key)).id for key in ("k", "l")] == [first, second]


def test_an_expired_key_is_taken_in_the_callers_transaction(store: SqlStore) -> None:
    """Also from a row of the very same transaction."""
    first = one(store, unique(seconds=60.0))
    change(store, first.id, unique_expires_at=store.now())
    with store.engine.begin() as connection:
        second = one(store, unique(seconds=0.001), connection)
        jobs = store.tables.jobs
        connection.execute(jobs.update().where(jobs.c.id == second.id).values(unique_expires_at=store.now()))
        third = one(store, unique(), connection)
    assert len({first.id, second.id, third.id}) == 3
    assert one(store, unique()).id == third.id


def test_other_errors_of_the_callers_transaction_are_seen(store: SqlStore) -> None:
    """What is no held key is the error that it is."""
    with pytest.raises(Exception, match=r"(?i)null"), store.engine.begin() as connection:
        one(store, unique("b", None), connection)  # type: ignore[arg-type]
    assert count(store) == 0


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_a_job_that_an_open_transaction_counts_on_is_not_claimed(store: SqlStore) -> None:
    """It would not see what that transaction writes; claims pass over it and take the others, without waiting."""
    held = one(store, unique())
    with store.engine.connect() as connection, connection.begin():
        assert one(store, unique(), connection).id == held.id
        (other,) = insert(store, new())
        assert [job.id for job in take(store)] == [other]
    assert [job.id for job in take(store, token=2)] == [held.id]


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_an_open_transaction_does_not_hinder_the_end_of_a_job(store: SqlStore) -> None:
    """One that runs and holds its key finishes while a transaction is open that met the key."""
    held = one(store, unique(until="finish"))
    (claimed,) = take(store)
    with store.engine.connect() as connection, connection.begin():
        assert one(store, unique(until="finish"), connection).id == held.id
        assert all(store.finish([Delete(claimed.id, claimed.token)]))


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_an_old_snapshot_does_not_show_a_job_that_has_started(store: SqlStore) -> None:
    """A transaction that has read before is answered by what is committed now, not by what it saw."""
    first = one(store, unique())
    with store.engine.connect() as connection, connection.begin():
        assert connection.execute(select(store.tables.jobs.c.id)).scalars().all() == [first.id]
        take(store)
        second = one(store, unique(), connection)
        assert second.id != first.id
    assert one(store, unique()).id == second.id


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_an_enqueue_waits_for_the_transaction_that_takes_the_key(store: SqlStore) -> None:
    """Committed: its job stands for both. Rolled back: the second one makes the job."""
    for ends, count_after in (("commit", 1), ("rollback", 2)):
        found: list[Inserted] = []
        with store.engine.connect() as connection:
            transaction = connection.begin()
            first = one(store, unique(ends), connection)
            thread = Thread(target=lambda: found.append(one(store, unique(ends))))  # noqa: B023 - joined below
            thread.start()
            thread.join(0.2)
            assert thread.is_alive()
            getattr(transaction, ends)()
            thread.join()
        assert (found[0].id == first.id) is (ends == "commit")
        assert count(store) == count_after


def test_the_index_refuses_a_second_holder(store: SqlStore) -> None:
    """Whoever writes: not the code sees to it but the database."""
    first, second = one(store, unique("a")), one(store, unique("b"))
    with pytest.raises(Exception) as caught:
        change(store, second.id, unique_lock=row(store, first.id).unique_lock)
    assert isinstance(caught.value.__cause__, IntegrityError)
