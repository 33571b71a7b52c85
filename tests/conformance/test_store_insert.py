"""Conformance of Store.insert: what becomes of a new job."""

from datetime import timedelta

import pytest
from sqlalchemy import event

from tests.conformance.jobs import FUTURE, PAST, new, row, take
from tomqueue.errors import SchemaError, StoreError
from tomqueue.settings import Settings
from tomqueue.store.catalog import Catalog
from tomqueue.store.open import open_store
from tomqueue.store.sql import SqlStore


def test_an_immediate_job_is_announced_by_its_insert(store: SqlStore) -> None:
    """A job without time is ready since the moment of its INSERT, by the database's clock."""
    before = store.now()
    (inserted,) = store.insert([new()])
    assert before <= inserted.created_at <= store.now()
    assert inserted.run_at == inserted.announced_at == inserted.created_at
    assert row(store, inserted.id).announced_at == inserted.announced_at


def test_a_delayed_job_is_due_so_long_after_now(store: SqlStore) -> None:
    """A delay counts from the database's clock, to the microsecond, and is no announcement."""
    (inserted,) = store.insert([new(delay=3600.000001)])
    assert inserted.run_at - inserted.created_at == timedelta(seconds=3600, microseconds=1)
    assert inserted.announced_at is None
    assert row(store, inserted.id).run_at == inserted.run_at


@pytest.mark.parametrize("delay", [0.0, -5.0])
def test_no_delay_is_immediate(store: SqlStore, delay: float) -> None:
    """A delay of nothing or less is none."""
    (inserted,) = store.insert([new(delay=delay)])
    assert inserted.announced_at == inserted.run_at == inserted.created_at


def test_a_run_at_is_kept_to_the_microsecond(store: SqlStore) -> None:
    """A given time is stored as it is, in the past or the future, and waits for its announcement."""
    past, future = store.insert([new(run_at=PAST), new(run_at=FUTURE, expires_at=FUTURE + timedelta(microseconds=1))])
    assert (past.run_at, past.announced_at) == (PAST, None)
    assert (future.run_at, future.announced_at) == (FUTURE, None)
    assert row(store, future.id).run_at == FUTURE
    assert row(store, future.id).expires_at == FUTURE + timedelta(microseconds=1)


def test_many_are_answered_in_their_order(store: SqlStore) -> None:
    """Each answer belongs to the job at its place; ids ascend, so that equal stamps keep the order."""
    jobs = [new(f"job-{i}", delay=None if i % 3 else 60.0 + i) for i in range(1200)]
    inserted = store.insert(jobs)
    ids = [one.id for one in inserted]
    assert ids == sorted(set(ids))
    found = names_by_id(store)
    assert [found[one.id] for one in inserted] == [job.name for job in jobs]
    assert [one.announced_at is None for one in inserted] == [i % 3 == 0 for i in range(1200)]


def names_by_id(store: SqlStore) -> dict[int, str]:
    """Read the name of every row."""
    jobs = store.tables.jobs
    with store.reading() as connection:
        return {found.id: found.name for found in connection.execute(jobs.select())}


def test_a_job_is_stored_as_it_is(store: SqlStore) -> None:
    """Payload and meta keep characters of four bytes and their size; the options keep their values."""
    payload = '{"text": "' + "😀é\\u0000\\n'%s%%?:x" * 60_000 + '"}'
    job = new("a.B_c-1", "Mailers", 3, payload=payload, meta='{"tenant": "é😀"}', max_attempts=7)
    assert len(payload) > 900_000
    (inserted,) = store.insert([job])
    found = row(store, inserted.id)
    assert found.payload == payload
    assert (found.queue, found.priority, found.name, found.meta) == ("Mailers", 3, "a.B_c-1", '{"tenant": "é😀"}')
    assert (found.max_attempts, found.attempts, found.parks, found.crashes) == (7, 0, 0, 0)
    assert not found.held
    assert not found.suspect


def test_many_large_payloads_fit(store: SqlStore) -> None:
    """Thirty payloads of 900 kB are inserted by one call, whatever the size of a packet."""
    payload = '"' + "😀" * 225_000 + '"'
    inserted = store.insert([new(payload=payload) for _ in range(30)])
    assert len({one.id for one in inserted}) == 30
    assert row(store, inserted[-1].id).payload == payload


def test_a_callers_commit_makes_the_job(store: SqlStore) -> None:
    """A row in the caller's transaction is there with the commit, like one of our own."""
    with store.engine.begin() as connection:
        now, later, fixed = store.insert([new(queue="q"), new(queue="q", delay=60), new(run_at=PAST)], connection)
        assert now.run_at == now.announced_at == now.created_at
        assert later.announced_at is None
        assert later.run_at - later.created_at == timedelta(seconds=60)
        assert (fixed.run_at, fixed.announced_at) == (PAST, None)
    assert row(store, now.id).announced_at == now.announced_at
    assert row(store, later.id).run_at == later.run_at
    assert set(Catalog(store).queues.states()) == {"default", "q"}


def test_many_in_the_callers_transaction_are_few_statements(store: SqlStore) -> None:
    """Answered in their order, whatever their times; one by one without RETURNING or round trips."""
    statements: list[str] = []
    jobs = [new(name=f"n{place}", delay=(None, 60.0, 90.0)[place % 3]) for place in range(1500)]
    with store.engine.connect() as connection, connection.begin():
        event.listen(connection, "before_cursor_execute", lambda *call: statements.append(call[2]))
        inserted = store.insert(jobs, connection)
        count = len(statements)
        found = {job.id: job.name for job in connection.execute(store.tables.jobs.select())}
    assert [found[one.id] for one in inserted] == [job.name for job in jobs]
    assert [one.announced_at is None for one in inserted] == [job.delay is not None for job in jobs]
    if store.engine.dialect.insert_returning and store.engine.dialect.name != "sqlite":
        assert count < 20


def test_a_callers_rollback_leaves_nothing(store: SqlStore) -> None:
    """A row is gone with the caller's transaction; its queue is known at the latest by the next one."""
    with store.engine.connect() as connection, connection.begin() as transaction:
        store.insert([new(queue="q")], connection)
        transaction.rollback()
    assert names_by_id(store) == {}
    store.insert([new(queue="q")])
    assert Catalog(store).queues.states() == {"q": False}


def test_a_queue_becomes_known_once(store: SqlStore, url: str) -> None:
    """Two processes that use the same new queue do not mind each other."""
    other = open_store(Settings(database_url=url))
    store.insert([new(queue="b"), new(queue="a")])
    other.insert([new(queue="a"), new(queue="b"), new(queue="c")])
    with other.engine.begin() as connection:
        other.insert([new(queue="a"), new(queue="d")], connection)
    other.close()
    assert Catalog(store).queues.states() == dict.fromkeys("abcd", False)


def test_queues_differ_by_case(store: SqlStore) -> None:
    """Names are compared byte by byte on every database."""
    store.insert([new("one", "Mail"), new("two", "mail")])
    assert Catalog(store).queues.states() == {"Mail": False, "mail": False}


def test_what_cannot_be_stored_is_refused_whole(store: SqlStore) -> None:
    """One bad row of many leaves none of them, and the store goes on."""
    with pytest.raises(StoreError):
        store.insert([new("good"), new(None)])  # type: ignore[arg-type]
    assert names_by_id(store) == {}
    store.insert([new("next")])
    assert [taken.name for taken in take(store)] == ["next"]


def test_missing_tables_name_their_cure(kind: str, url: str) -> None:
    """Without tables every way into the store says what to run."""
    bare = open_store(Settings(database_url=url))
    try:
        for call in (lambda: bare.insert([new()]), lambda: take(bare), bare.announce, lambda: bare.claim([1], 1, 1)):
            with pytest.raises(SchemaError, match="tomqueue migrate"):
                call()
        with pytest.raises(SchemaError, match="tomqueue migrate"):
            Catalog(bare).get(1)
        with pytest.raises(SchemaError, match="tomqueue migrate"), bare.engine.connect() as connection:
            bare.insert([new()], connection)
    finally:
        bare.close()


def test_no_jobs_are_no_error(store: SqlStore) -> None:
    """An empty list inserts nothing."""
    assert store.insert([]) == []
