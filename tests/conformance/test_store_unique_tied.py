"""Conformance of unique jobs that are tied to other rows: to a limit, to a result, to a workflow."""

from collections.abc import Callable
from datetime import timedelta
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, select

from tests.conformance.jobs import SERVERS, new, row, take
from tomqueue.definition import Limit, Prepared, chain, group, plan_of
from tomqueue.errors import EnqueueError, JobStateError
from tomqueue.job import Claimed, NewJob, State, Unique
from tomqueue.store.base import Delete, Inserted, Release
from tomqueue.store.catalog import Catalog, Filter
from tomqueue.store.leases import Fate, Freed, Leases
from tomqueue.store.sql import SqlStore
from tomqueue.store.workflows import WorkflowTable

Way = Callable[[SqlStore, list[NewJob]], list[Inserted]]


def in_callers(store: SqlStore, jobs: list[NewJob]) -> list[Inserted]:
    """Insert jobs in a transaction of the caller's."""
    with store.engine.begin() as connection:
        return store.insert(jobs, connection)


WAYS: dict[str, Way] = {"ours": lambda store, jobs: store.insert(jobs), "callers": in_callers}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    """Return how jobs are inserted: in a transaction of our own, or in the caller's."""
    return WAYS[request.param]


def limited(key: str, name: str = "greet", until: str = "start", **more: Any) -> NewJob:
    """Return a unique job that counts in a limit and whose result is kept."""
    ties = {"limit_key": "report", "result_ttl": 60_000_000}
    return new(name, unique=Unique(key, until), ties=ties, held=True, **more)


def declare(store: SqlStore, concurrency: int) -> None:
    """Declare the limit."""
    store.know_limits([Limit(name="report", concurrency=concurrency, every=None)])


def states(store: SqlStore) -> list[State]:
    """Return the states of all jobs, in the order of their ids."""
    return [job.state for job in Catalog(store).find(Filter())]


def finish(store: SqlStore, *jobs: Claimed) -> None:
    """End jobs with success."""
    assert all(store.finish([Delete(job.id, job.token, job.tied) for job in jobs]))


def again(job: Claimed, **values: Any) -> Release:
    """Return the ending of an attempt after which the job is kept."""
    return Release(id=job.id, token=job.token, tied=job.tied, attempts=job.attempts, **values)


def test_one_that_is_there_takes_no_slot(store: SqlStore, way: Way) -> None:
    """Of three enqueues two are one job, also within one call; the limit counts rows."""
    declare(store, 2)
    first, twin, other = way(store, [limited("k"), limited("k"), limited("j")])
    assert twin.id == first.id
    (second,) = way(store, [limited("k", payload='{"n":2}')])
    assert second.existing is not None
    assert (second.id, second.existing.is_existing, second.existing.limit_key) == (first.id, True, "report")
    assert states(store) == [State.READY, State.READY]
    assert [job.id for job in take(store)] == [first.id, other.id]


def test_one_that_its_limit_holds_has_its_key(store: SqlStore, way: Way) -> None:
    """It is met while it is held, comes in when a slot is free, and lets its key go when it starts."""
    declare(store, 1)
    way(store, [limited("j")])
    (running,) = take(store)
    (held,) = way(store, [limited("k")])
    (met,) = way(store, [limited("k")])
    assert met.existing is not None
    assert (met.id, met.existing.state) == (held.id, State.HELD)
    finish(store, running)
    assert [job.id for job in take(store)] == [held.id]
    (next_one,) = way(store, [limited("k")])
    assert next_one.existing is None


def test_a_holder_that_was_passed_over_comes_in_after_the_commit(store: SqlStore) -> None:
    """A caller locks the held job that it meets, so that the end of another one lets it in later, not never."""
    declare(store, 1)
    store.insert([limited("j")])
    (running,) = take(store)
    (held,) = store.insert([limited("k")])
    with store.engine.begin() as connection:
        assert store.insert([limited("k")], connection)[0].existing is not None
        if store.engine.dialect.name != "sqlite":
            finish(store, running)
            assert take(store) == []
    if store.engine.dialect.name == "sqlite":
        finish(store, running)
    assert [job.id for job in take(store)] == [held.id]


ENDS: dict[str, Callable[[SqlStore, Claimed], object]] = {
    "success": finish,
    "failure": lambda store, job: store.finish([again(job, failed=True)]),
    "a death": lambda store, job: Leases(store).free(1, [Freed(id=job.id, fate=Fate.CRASHED, used_up=True)], 3),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_a_tied_job_lets_its_key_go(store: SqlStore, end: str) -> None:
    """Until then it holds it."""
    declare(store, 1)
    (first,) = store.insert([limited("k", until="finish")])
    (running,) = take(store)
    assert store.insert([limited("k", until="finish")])[0].id == first.id
    ENDS[end](store, running)
    (second,) = store.insert([limited("k", until="finish")])
    assert second.existing is None


def test_a_tied_job_that_waits_again_holds_its_key_again(store: SqlStore) -> None:
    """After the back-off it is held by its limit, and by nobody else's key."""
    declare(store, 1)
    (first,) = store.insert([limited("k")])
    (running,) = take(store)
    store.finish([again(running, run_at=store.now() + timedelta(hours=1))])
    assert store.retake_keys([first.id]) == {}
    (met,) = store.insert([limited("k")])
    assert (met.id, states(store)) == (first.id, [State.HELD])


def test_a_retry_by_a_person_tells_the_limit(store: SqlStore) -> None:
    """The job has its key again and waits for its turn; where another one has the key, nothing changes."""
    declare(store, 1)
    catalog = Catalog(store)
    (first,) = store.insert([limited("k")])
    catalog.cancel(first.id)
    (second,) = store.insert([limited("k")])
    with pytest.raises(JobStateError, match=f"job {second.id} holds its unique key"):
        catalog.retry(first.id)
    (running,) = take(store)
    assert catalog.retry(first.id).state is State.HELD
    assert row(store, first.id).unique_lock is not None
    finish(store, running)
    assert [job.id for job in take(store)] == [first.id]


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_enqueues_that_race_make_one_row(store: SqlStore) -> None:
    """Of ours and of callers, at once: the limit lets in the one that there is."""
    declare(store, 5)
    made: list[int] = []

    def enqueue(way: Way) -> None:
        made.extend(one.id for _ in range(5) for one in way(store, [limited("k"), limited("j")]))

    threads = [Thread(target=enqueue, args=(way,)) for way in (*WAYS.values(), *WAYS.values())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(set(made)), len(states(store))) == (40, 2, 2)


# Workflows ----------------------------------------------------------------------------------------------


def call(name: str) -> Prepared:
    """Return a call of a job that nobody runs."""
    definition: Any = SimpleNamespace(name=name)
    return Prepared(definition=definition, payload="{}")


def enqueue(store: SqlStore, keys: dict[str, str], connection: Connection | None = None) -> list[Inserted]:
    """Enqueue a chain of a group and a last job."""
    plan = plan_of(chain(group(call("a"), call("b")), call("c")))
    names = [one.definition.name for one in plan.calls]
    jobs = [new(name, unique=Unique(keys[name]) if name in keys else None) for name in names]
    return WorkflowTable(store).insert(plan, plan.posts, jobs, connection)[1]


def test_a_link_may_be_unique(store: SqlStore) -> None:
    """It holds its key while it waits for its turn, and the end of the others frees it."""
    enqueue(store, {"c": "k"})
    (met,) = store.insert([new("c", unique=Unique("k"))])
    assert met.existing is not None
    assert met.existing.state is State.HELD
    finish(store, *take(store))
    store.announce()
    (last,) = take(store)
    assert last.id == met.id
    assert store.insert([new("c", unique=Unique("k"))])[0].existing is None


def test_a_link_that_is_cut_off_lets_its_key_go(store: SqlStore) -> None:
    """What waits for a job that was deleted has failed."""
    rows = enqueue(store, {"c": "k"})
    Catalog(store).delete(min(one.id for one in rows))
    assert row(store, max(one.id for one in rows)).failed_at is not None
    assert store.insert([new("c", unique=Unique("k"))])[0].existing is None


@pytest.mark.parametrize("is_callers", [False, True])
def test_a_workflow_whose_key_is_held_is_refused(store: SqlStore, *, is_callers: bool) -> None:
    """Nothing of it is written, and a caller may go on with its transaction."""
    (holder,) = store.insert([new("b", unique=Unique("k"))])
    error = f"b: job {holder.id} holds the unique key of this job, .*unique=False"
    if is_callers:
        with store.engine.begin() as connection:
            with pytest.raises(EnqueueError, match=error):
                enqueue(store, {"b": "k"}, connection)
            store.insert([new("after")], connection)
    else:
        with pytest.raises(EnqueueError, match=error):
            enqueue(store, {"b": "k"})
    assert [job.name for job in Catalog(store).find(Filter())] == ["b"] + ["after"] * is_callers
    with store.reading() as connection:
        assert connection.execute(select(store.tables.workflows)).all() == []


def test_two_links_with_one_key_are_refused(store: SqlStore) -> None:
    """The second would never run."""
    plan = plan_of(group(call("a"), call("a")))
    jobs = [new("a", unique=Unique("k")) for _ in plan.calls]
    with pytest.raises(EnqueueError, match="a: two jobs of the workflow have the same unique key"):
        WorkflowTable(store).insert(plan, plan.posts, jobs)
    assert states(store) == []
