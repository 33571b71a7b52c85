"""Conformance of Store.finish and Store.finish_in: how a claimed row ends, and that only its owner can end it."""

from collections.abc import Callable, Sequence

import pytest
from sqlalchemy import func, select

from tests.conformance.jobs import FUTURE, PAST, change, insert, new, row, take, want
from tomqueue.store.base import Delete, Ending, Hold, Release
from tomqueue.store.sql import SqlStore

OURS, LOST = Hold.OURS, Hold.LOST
Finish = Callable[[SqlStore, Ending], bool]


def by_finish(store: SqlStore, ending: Ending) -> bool:
    """Finish in a transaction of the store's own."""
    (held,) = store.finish([ending])
    return held is OURS


def by_take(store: SqlStore, ending: Ending) -> bool:
    """Finish in the transaction of the next take."""
    (held,) = store.take(want("other"), 99, lambda _: None, [ending])[1]
    return held is OURS


def by_finish_in(store: SqlStore, ending: Ending) -> bool:
    """Finish in the transaction of an atomic job."""
    with store.engine.begin() as connection:
        return store.finish_in(connection, ending)


@pytest.fixture(params=[by_finish, by_take, by_finish_in])
def finish(request: pytest.FixtureRequest) -> Finish:
    """Give every way to finish one row."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def claimed(store: SqlStore) -> int:
    """Give the id of a row that is claimed by token 7 and has a past."""
    (job,) = insert(store, new())
    take(store, token=7)
    change(store, job, crashes=2, suspect=True, parks=1, last_error="earlier")
    return job


def test_a_row_that_succeeded_is_gone(store: SqlStore, finish: Finish, claimed: int) -> None:
    """Success deletes the row."""
    assert finish(store, Delete(claimed, 7)) is True
    assert row(store, claimed) is None


@pytest.mark.parametrize("ending", [Delete(0, 8), Release(id=0, token=8, attempts=5)], ids=["delete", "release"])
def test_a_lost_claim_changes_nothing(store: SqlStore, finish: Finish, claimed: int, ending: Ending) -> None:
    """Another token learns that the row is not its own, and the row is as it was."""
    before = row(store, claimed)
    theirs = Delete(claimed, 8) if isinstance(ending, Delete) else Release(id=claimed, token=8, attempts=5)
    assert finish(store, theirs) is False
    assert row(store, claimed) == before


@pytest.mark.parametrize("ending", [Delete(10**12, 7), Release(id=10**12, token=7, attempts=5)])
def test_a_row_that_is_gone_was_not_ours(store: SqlStore, finish: Finish, ending: Ending) -> None:
    """To finish what is not there answers False."""
    assert finish(store, ending) is False


def test_a_free_row_is_nobodys(store: SqlStore, finish: Finish, claimed: int) -> None:
    """After the end of its claim the old token holds nothing."""
    assert finish(store, Release(id=claimed, token=7, attempts=1)) is True
    assert finish(store, Release(id=claimed, token=7, attempts=9)) is False
    assert finish(store, Delete(claimed, 7)) is False
    assert row(store, claimed).attempts == 1


def test_a_release_frees_the_row_to_be_announced_again(store: SqlStore, finish: Finish, claimed: int) -> None:
    """By default the stamp, the crashes and the suspicion go; run_at, the error text and the rest stay."""
    before = row(store, claimed)
    assert finish(store, Release(id=claimed, token=7, attempts=4)) is True
    found = row(store, claimed)
    assert (found.locked_at, found.locked_by, found.claim_token) == (None, None, None)
    assert (found.announced_at, found.failed_at, found.parked_at) == (None, None, None)
    assert (found.attempts, found.crashes, found.parks) == (4, 0, 0)
    assert not found.suspect
    assert (found.run_at, found.last_error) == (before.run_at, "earlier")
    assert before.updated_at <= found.updated_at <= store.now()


def test_a_retry_waits_for_its_time(store: SqlStore, finish: Finish, claimed: int) -> None:
    """A new run_at and the error are written, with microseconds and characters of four bytes."""
    text = "Traceback:\n" + "é😀'\\\"%s%%\n" * 5000
    assert finish(store, Release(id=claimed, token=7, attempts=1, run_at=FUTURE, last_error=text)) is True
    found = row(store, claimed)
    assert (found.run_at, found.last_error, found.failed_at) == (FUTURE, text, None)


def test_a_failure_is_kept(store: SqlStore, finish: Finish, claimed: int) -> None:
    """A failed row says since when, by the database's clock."""
    before = store.now()
    assert finish(store, Release(id=claimed, token=7, attempts=25, failed=True, last_error="no")) is True
    found = row(store, claimed)
    assert before <= found.failed_at <= store.now()
    assert (found.announced_at, found.parked_at, found.attempts, found.last_error) == (None, None, 25, "no")


def test_a_row_can_be_parked(store: SqlStore, finish: Finish, claimed: int) -> None:
    """A parked row says since when and how often, and waits for its back-off."""
    assert finish(store, Release(id=claimed, token=7, attempts=0, parked=True, parks=2, run_at=PAST)) is True
    found = row(store, claimed)
    assert found.parked_at is not None
    assert (found.parks, found.failed_at, found.announced_at, found.run_at) == (2, None, None, PAST)


def test_a_row_that_is_given_back_keeps_what_it_had(store: SqlStore, finish: Finish, claimed: int) -> None:
    """What did not run keeps its stamp, its crashes and its suspicion."""
    before = row(store, claimed)
    back = Release(id=claimed, token=7, attempts=0, parks=1, keep_announced=True, keep_crashes=True)
    assert finish(store, back) is True
    found = row(store, claimed)
    assert (found.announced_at, found.crashes, found.parks) == (before.announced_at, 2, 1)
    assert found.suspect
    assert found.locked_by is None


def test_a_batch_is_answered_in_its_order(store: SqlStore) -> None:
    """Deletes and releases of several tokens, ours and lost ones, keep their places."""
    ids = insert(store, *(new() for _ in range(9)))
    for token in (1, 2, 3):
        take(store, want(limit=3), token=token)
    endings: Sequence[Ending] = [
        Delete(ids[8], 3),
        Release(id=ids[0], token=1, attempts=1),
        Delete(ids[1], 2),
        Delete(ids[3], 2),
        Release(id=ids[4], token=3, attempts=1),
        Delete(10**12, 1),
        Delete(ids[2], 1),
        Delete(ids[5], 2),
    ]
    assert store.finish(endings) == [OURS, OURS, LOST, OURS, LOST, LOST, OURS, OURS]
    with store.reading() as connection:
        left = connection.execute(select(store.tables.jobs.c.id).order_by(store.tables.jobs.c.id)).scalars().all()
    assert left == [ids[0], ids[1], ids[4], ids[6], ids[7]]


def test_a_large_batch_is_finished(store: SqlStore) -> None:
    """A thousand rows end in one call."""
    ids = insert(store, *(new() for _ in range(1000)))
    take(store, want(limit=1000), token=7)
    assert store.finish([Delete(job, 7) for job in ids]) == [OURS] * 1000
    with store.reading() as connection:
        assert connection.execute(select(func.count()).select_from(store.tables.jobs)).scalar() == 0


def test_nothing_to_finish_is_nothing(store: SqlStore) -> None:
    """No endings, no answers."""
    assert store.finish([]) == []


def test_a_finish_belongs_to_the_atomic_jobs_transaction(store: SqlStore, claimed: int) -> None:
    """What finishes in a transaction that rolls back is not finished."""
    with store.engine.connect() as connection, connection.begin() as transaction:
        assert store.finish_in(connection, Delete(claimed, 7)) is True
        transaction.rollback()
    assert row(store, claimed).claim_token == 7
