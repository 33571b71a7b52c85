"""Conformance of Store.announce: what falls due becomes ready, once."""

import threading

import pytest
from sqlalchemy import select

from tests.conformance.jobs import BULK, FUTURE, HIGH, LOW, PAST, SERVERS, ago, change, insert, names, new, row, take
from tomqueue.settings import Settings
from tomqueue.store.base import Announced
from tomqueue.store.catalog import Catalog
from tomqueue.store.open import open_store
from tomqueue.store.sql import SqlStore


def test_only_what_is_due_is_announced(store: SqlStore) -> None:
    """Due rows are stamped by the database's clock, and the answer says when the next falls due."""
    due, later, soonest = insert(store, new(run_at=PAST), new(run_at=FUTURE), new(delay=3600, priority=LOW))
    before = store.now()
    assert store.announce() == Announced(1, row(store, soonest).run_at)
    assert before <= row(store, due).announced_at <= store.now()
    assert row(store, later).announced_at is None
    assert store.announce().count == 0


def test_nothing_to_announce_is_nothing(store: SqlStore) -> None:
    """An empty table, and one with ready rows only, has no next time."""
    assert store.announce() == Announced(0, None)
    insert(store, new())
    assert store.announce() == Announced(0, None)


def test_the_most_urgent_are_announced_first(store: SqlStore) -> None:
    """Where the limit cuts, urgency and then the earlier time decide."""
    jobs = [
        new("5", priority=BULK, run_at=PAST),
        new("3", priority=LOW, run_at=ago(store, 60)),
        new("4", priority=LOW, run_at=ago(store, 5)),
        new("2", run_at=ago(store, 1)),
        new("1", priority=HIGH, run_at=ago(store, 1)),
    ]
    insert(store, *jobs)
    assert store.announce(limit=3).count == 3
    assert names(take(store)) == ["1", "2", "3"]
    assert store.announce(limit=3).count == 2
    assert names(take(store)) == ["4", "5"]


@pytest.mark.parametrize(
    "values",
    [{"failed_at": PAST}, {"held": True}, {"locked_by": 9, "claim_token": 9}, {"announced_at": PAST}],
    ids=lambda values: next(iter(values)),
)
def test_a_row_that_cannot_run_is_not_announced(store: SqlStore, values: dict[str, object]) -> None:
    """Failed, held, claimed and announced rows are left alone and are no next time."""
    (job,) = insert(store, new(run_at=PAST))
    change(store, job, **values)
    before = row(store, job)
    assert store.announce() == Announced(0, None)
    assert row(store, job) == before


def test_a_parked_row_is_released_when_it_is_due(store: SqlStore) -> None:
    """After its back-off a parked row is ready for whoever can read it."""
    (job,) = insert(store, new(run_at=PAST))
    change(store, job, parked_at=PAST, parks=3)
    assert store.announce().count == 1
    assert row(store, job).parked_at is None
    assert [found.parks for found in take(store)] == [3]


def test_two_leaders_announce_each_row_once(store: SqlStore, url: str) -> None:
    """Announcements that meet share the rows: their counts add up."""
    insert(store, *(new(run_at=PAST) for _ in range(1000)))
    other = open_store(Settings(database_url=url))
    counts = {store: 0, other: 0}

    def announce(leader: SqlStore) -> None:
        while count := leader.announce(limit=50).count:
            counts[leader] += count

    threads = [threading.Thread(target=announce, args=(leader,)) for leader in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    while count := store.announce().count:  # what one passed over while the other held it, and both stopped at
        counts[store] += count
    assert sum(counts.values()) == 1000


def test_a_row_by_plain_sql_runs_like_any_other(store: SqlStore) -> None:
    """A row that some program inserted is announced, and its queue becomes known by that."""
    now = store.now()
    values = {"queue": "by-hand", "priority": 1, "name": "greet", "payload": "{}", "run_at": now}
    with store.writing() as connection:
        connection.execute(store.tables.jobs.insert().values(**values, created_at=now, updated_at=now))
    assert Catalog(store).queues.states() == {}
    assert store.announce() == Announced(1, None)
    assert Catalog(store).queues.states() == {"by-hand": False}


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_what_another_holds_is_left_to_the_next_look(store: SqlStore) -> None:
    """A locked row keeps nobody waiting: the others are announced, it is with the next look."""
    locked, _ = insert(store, new(run_at=PAST), new(run_at=PAST))
    with store.engine.connect() as other, other.begin():
        other.execute(select(store.tables.jobs.c.id).where(store.tables.jobs.c.id == locked).with_for_update())
        assert store.announce().count == 1
    assert store.announce().count == 1


def test_the_change_counter_tells_of_others(store: SqlStore, url: str) -> None:
    """Where there is a cheap counter it moves with another connection's commit; a server has none."""
    before = store.change_counter()
    other = open_store(Settings(database_url=url))
    other.insert([new()])
    other.close()
    assert (store.change_counter() != before) == (store.engine.dialect.name == "sqlite")
