"""Conformance of ties: whatever changes a tied row, what it is tied to follows in the same transaction."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection, false

from tests.conformance.jobs import insert, new, row, take, want
from tomqueue.errors import JobStateError
from tomqueue.job import Claimed
from tomqueue.store.base import Delete, Hold, Release
from tomqueue.store.catalog import Catalog
from tomqueue.store.leases import Fate, Freed, Leases
from tomqueue.store.sql import SqlStore
from tomqueue.store.ties import Change, Tie, Ties


class Told(Tie):
    """Notes what it is told, and can refuse it."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.refuses = False

    def follow(self, connection: Connection, changes: Sequence[Change], now: datetime) -> None:
        """Note the changes. Raises ValueError while it refuses."""
        if self.refuses:
            raise ValueError("refused")
        self.changes += changes


@pytest.fixture
def told(store: SqlStore) -> Told:
    """Return the one Tie of the store."""
    tie = Told()
    store.ties = Ties(store.tables.jobs, [tie])
    return tie


def claim_two(store: SqlStore) -> tuple[Claimed, Claimed]:
    """Claim a tied job and a plain one."""
    insert(store, new("tied", ties={"meta": "{}"}), new("plain"))
    tied, plain = take(store, want(worker=5), 7)
    assert (tied.tied, plain.tied) == (True, False)
    return tied, plain


def release(job: Claimed, **terms: Any) -> Release:
    """Return an ending that keeps the row."""
    return Release(id=job.id, token=job.token, tied=job.tied, attempts=job.attempts, **terms)


Path = Callable[[SqlStore, Catalog, Claimed, Claimed], object]
PATHS: dict[str, tuple[Path, bool]] = {
    "success": (lambda s, _c, *jobs: s.finish([Delete(job.id, job.token, job.tied) for job in jobs]), True),
    "failure": (lambda s, _c, *jobs: s.finish([release(job, failed=True) for job in jobs]), False),
    "retry": (lambda s, _c, *jobs: s.finish([release(job) for job in jobs]), False),
    "claim in doubt": (lambda s, _c, *jobs: s.undo([job.id for job in jobs], 7), False),
    "crash": (lambda s, _c, *jobs: Leases(s).free(5, [Freed(id=job.id, fate=Fate.CRASHED) for job in jobs], 1), False),
    "lost host": (lambda s, _c, *_jobs: Leases(s).free_all(5), False),
    "cancel": (lambda _s, c, *jobs: c.cancel_all([job.id for job in jobs]), False),
}


@pytest.mark.parametrize("path", PATHS)
def test_every_way_a_claim_ends_is_followed(store: SqlStore, catalog: Catalog, told: Told, path: str) -> None:
    """The tie sees the row as it was and as it is; a plain row beside it goes its way unseen."""
    tied, plain = claim_two(store)
    end, leaves = PATHS[path]
    end(store, catalog, tied, plain)
    (change,) = told.changes
    assert (change.before.id, change.before.locked_by) == (tied.id, 5)
    assert (change.after is None) == leaves
    assert (row(store, tied.id) is None) == leaves == (row(store, plain.id) is None)


def test_an_atomic_finish_is_followed(store: SqlStore, told: Told) -> None:
    """The finish inside a job's own transaction takes the ties with it."""
    tied, plain = claim_two(store)
    with store.writing() as connection:
        assert store.finish_in(connection, Delete(tied.id, tied.token, tied.tied))
        assert store.finish_in(connection, Delete(plain.id, plain.token, plain.tied))
    assert [change.before.id for change in told.changes] == [tied.id]


def test_a_row_whose_tie_is_not_written_yet_ends_as_a_plain_one(store: SqlStore, told: Told) -> None:
    """Its worker knows more than the row: progress that it has not told of yet."""
    insert(store, new("a"), new("b"))
    first, second = take(store, want(worker=5), 7)
    assert store.finish([Delete(first.id, first.token, tied=True)]) == [Hold.OURS]
    with store.writing() as connection:
        assert store.finish_in(connection, Delete(second.id, second.token, tied=True))
    assert (row(store, first.id), row(store, second.id), told.changes) == (None, None, [])


def test_what_people_do_to_waiting_jobs_is_followed(store: SqlStore, catalog: Catalog, told: Told) -> None:
    """A cancelled, retried and deleted job: each a change."""
    (job,) = insert(store, new("tied", ties={"meta": "{}"}))
    catalog.cancel(job)
    catalog.retry(job)
    catalog.delete(job)
    assert [change.after is None for change in told.changes] == [False, False, True]


def test_a_lost_claim_changes_nothing_and_nothing_follows(store: SqlStore, told: Told) -> None:
    """An ending whose token does not hold the row any more is answered so."""
    tied, _ = claim_two(store)
    assert store.finish([Delete(tied.id, tied.token + 1, tied=True)]) == [Hold.LOST]
    assert told.changes == []


def test_a_cancelled_row_that_is_let_go_says_so(store: SqlStore, catalog: Catalog, told: Told) -> None:
    """A tied row is failed instead of let go as a plain one is."""
    tied, _ = claim_two(store)
    catalog.cancel(tied.id)
    assert store.finish([release(tied)]) == [Hold.CANCELLED]
    assert told.changes[-1].after is not None
    assert told.changes[-1].after.failed_at is not None


def test_what_nobody_watched_is_not_changed(
    store: SqlStore, catalog: Catalog, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tied row that becomes what is meant after it was looked for, as one that its worker lets go just then."""
    tied, plain = insert(store, new("tied", ties={"meta": "{}"}), new("plain"))
    followed = Ties.followed

    def too_early(ties: Ties, connection: Connection, meant: Any, now: datetime, **more: Any) -> Any:
        return followed(ties, connection, meant & false(), now, **more)

    monkeypatch.setattr(Ties, "followed", too_early)
    with pytest.raises(JobStateError, match=f"job {tied} is ready and cannot be deleted: look again"):
        catalog.delete(tied)
    catalog.delete(plain)
    assert (row(store, tied).id, row(store, plain), told.changes) == (tied, None, [])


def test_what_cannot_follow_changes_nothing(store: SqlStore, told: Told) -> None:
    """The row and its ties change in one transaction, or not at all."""
    tied, _ = claim_two(store)
    told.refuses = True
    with pytest.raises(ValueError, match="refused"):
        store.finish([Delete(tied.id, tied.token, tied=True)])
    assert row(store, tied.id).locked_by == 5
