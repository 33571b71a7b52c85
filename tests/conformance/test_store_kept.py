"""Conformance of what is kept of a job's end: its result, its history, and how that goes again in pieces."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from tests.conformance.jobs import PAST, insert, new, row, take, want
from tomqueue.errors import JobNotFound, ResultNotKept
from tomqueue.job import Claimed
from tomqueue.priority import Priority
from tomqueue.store.base import FOR_GOOD, Delete, Release
from tomqueue.store.catalog import Catalog
from tomqueue.store.history import HistoryTable
from tomqueue.store.kept import End
from tomqueue.store.leases import Fate, Freed, Leases
from tomqueue.store.pruning import Pruning
from tomqueue.store.results import ResultTable
from tomqueue.store.sql import SqlStore

HOUR = 3_600_000_000
KEPT = {"result_ttl": HOUR, "keep_completed": HOUR}


def claim(store: SqlStore, *, token: int = 7, **ties: Any) -> Claimed:
    """Claim a job of which that is kept."""
    insert(store, new("sum", ties=ties or KEPT))
    (job,) = take(store, want(worker=5), token)
    return job


def done(job: Claimed, **terms: Any) -> Delete:
    """Return the ending of a job that succeeded."""
    return Delete(job.id, job.token, job.tied, **terms)


def failed(job: Claimed, error: str) -> Release:
    """Return the ending of a job that failed for good."""
    return Release(id=job.id, token=job.token, tied=job.tied, attempts=job.attempts, failed=True, last_error=error)


def count(store: SqlStore, name: str) -> int:
    """Count the rows of a table."""
    table = getattr(store.tables, name)
    with store.reading() as connection:
        return len(connection.execute(select(table)).all())


# Results ------------------------------------------------------------------------------------------------


def test_a_result_is_there_exactly_when_the_job_has_ended(store: SqlStore) -> None:
    """It is written with the end of the row, and stays as long as was said."""
    job = claim(store)
    results = ResultTable(store)
    assert results.look(job.id) is None
    store.finish([done(job, result="[3]")])
    found = results.look(job.id)
    assert found is not None
    assert (found.job_id, found.name, found.state, found.value, found.error) == (
        job.id, "sum", End.SUCCEEDED, "[3]", None,
    )  # fmt: skip
    assert found.expires_at - found.finished_at == timedelta(hours=1)


def test_an_end_that_changes_nothing_has_no_result(store: SqlStore) -> None:
    """A worker that lost its claim writes none."""
    job = claim(store)
    store.finish([Delete(job.id, job.token + 1, tied=True, result="1")])
    assert ResultTable(store).look(job.id) is None


def delete_waiting(store: SqlStore, catalog: Catalog, job: Claimed) -> None:
    """Delete a job that waits."""
    store.undo([job.id], job.token)
    catalog.delete(job.id)


def delete_failed(store: SqlStore, catalog: Catalog, job: Claimed) -> None:
    """Delete a job that has failed."""
    store.finish([failed(job, "boom")])
    catalog.delete(job.id)


Path = Callable[[SqlStore, Catalog, Claimed], object]
ENDS: dict[str, tuple[Path, End, str | None]] = {
    "failed": (lambda s, _c, job: s.finish([failed(job, "boom")]), End.FAILED, "boom"),
    "failed and deleted": (
        lambda s, _c, job: s.finish([done(job, failed=True, error="boom")]), End.FAILED, "boom",
    ),
    "crashed": (
        lambda s, _c, job: Leases(s).free(5, [Freed(id=job.id, fate=Fate.CRASHED, error="signal 9")], 1),
        End.FAILED, "signal 9",
    ),
    "cancelled while it ran": (
        lambda s, c, job: (c.cancel(job.id), s.finish([failed(job, "cancelled")])), End.CANCELLED, "cancelled",
    ),
    "cancelled while it waited": (
        lambda s, c, job: (s.undo([job.id], job.token), c.cancel(job.id)), End.CANCELLED, "cancelled",
    ),
    "deleted": (delete_waiting, End.DELETED, None),
    "deleted after it had failed": (delete_failed, End.FAILED, "boom"),
}  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_who_waits_learns_of_every_end(store: SqlStore, catalog: Catalog, end: str) -> None:
    """However a job ends without success, the result says so."""
    job = claim(store)
    path, state, error = ENDS[end]
    path(store, catalog, job)
    found = ResultTable(store).look(job.id)
    assert found is not None
    assert (found.state, found.value, found.error) == (state, None, error)


def test_a_retry_takes_the_result_back(store: SqlStore, catalog: Catalog) -> None:
    """The job has not ended any more; its next end is another result."""
    job = claim(store)
    store.finish([failed(job, "boom")])
    catalog.retry(job.id)
    assert ResultTable(store).look(job.id) is None
    (again,) = take(store, want(worker=5), 8) or claim_announced(store)
    store.finish([done(again, result="4")])
    found = ResultTable(store).look(job.id)
    assert found is not None
    assert found.value == "4"


def claim_announced(store: SqlStore) -> list[Claimed]:
    """Announce what is due and claim it."""
    store.announce()
    return take(store, want(worker=5), 8)


def test_an_atomic_finish_has_a_result(store: SqlStore) -> None:
    """It commits with the job's own writes, or not at all."""
    job = claim(store)
    with store.writing() as connection:
        assert store.finish_in(connection, done(job, result="5"))
        connection.rollback()
    assert ResultTable(store).look(job.id) is None
    with store.writing() as connection:
        assert store.finish_in(connection, done(job, result="5"))
    found = ResultTable(store).look(job.id)
    assert found is not None
    assert found.value == "5"


def test_what_has_no_result_says_so(store: SqlStore) -> None:
    """A plain job, and one that nobody knows."""
    (plain,) = insert(store, new("plain"))
    with pytest.raises(ResultNotKept, match=r"job \d+ plain keeps no result: declare it with @tq.job\(result_ttl"):
        ResultTable(store).look(plain)
    with pytest.raises(JobNotFound, match="no result of a job 999: it is not committed yet"):
        ResultTable(store).look(999)


# History ------------------------------------------------------------------------------------------------


def test_the_history_has_what_succeeded(store: SqlStore) -> None:
    """With all that its row said, when it ran and on which worker."""
    kept, forever, plain = insert(
        store,
        new("sum", queue="maths", priority=0, payload='{"a":1}', meta="{}", ties={"keep_completed": HOUR}),
        new("sum", queue="maths", ties={"keep_completed": FOR_GOOD}),
        new("plain", queue="maths"),
    )
    first, second, third = take(store, want("maths", worker=5), 7)
    store.finish([done(first), done(second), Delete(third.id, third.token)])
    history = HistoryTable(store)
    found = history.get(kept)
    assert (found.queue, found.priority, found.name, found.arguments, found.attempts, found.meta) == (
        "maths", Priority.HIGH, "sum", {"a": 1}, 1, "{}",
    )  # fmt: skip
    assert found.started_at is not None
    assert found.created_at <= found.started_at <= found.finished_at
    assert found.expires_at == found.finished_at + timedelta(hours=1)
    assert history.get(forever).expires_at is None
    assert [job.id for job in history.find(queue="maths")] == [forever, kept]
    assert [job.id for job in history.find(before=forever, limit=5)] == [kept]
    assert (history.count(), history.count(name="sum"), history.count(queue="other")) == (2, 2, 0)
    with pytest.raises(JobNotFound, match=f"the history has no job {plain}"):
        history.get(plain)


def test_what_fails_or_is_deleted_is_no_history(store: SqlStore, catalog: Catalog) -> None:
    """A failed row stays where it is; one that a person deletes is gone."""
    job = claim(store)
    store.finish([failed(job, "boom")])
    catalog.delete(job.id)
    job = claim(store)
    store.finish([done(job, failed=True, error="boom")])
    assert HistoryTable(store).count() == 0


# Pruning ------------------------------------------------------------------------------------------------


def fill(store: SqlStore, number: int, **values: Any) -> None:
    """Write results and history that expire at a time."""
    result = {"name": "sum", "state": "succeeded", "finished_at": PAST, **values}
    job = {
        "queue": "default", "priority": 1, "name": "sum", "payload": "{}", "attempts": 1, "created_at": PAST,
        "finished_at": PAST, **values,
    }  # fmt: skip
    with store.writing() as connection:
        first = count(store, "history") + 1
        ids = range(first, first + number)
        connection.execute(store.tables.results.insert(), [{"job_id": one, **result} for one in ids])
        connection.execute(store.tables.history.insert(), [{"job_id": one, **job} for one in ids])


def test_what_has_expired_goes_in_pieces(store: SqlStore) -> None:
    """A long history is deleted piece by piece, none larger than was asked for; what has not expired stays."""
    fill(store, 25, expires_at=PAST)
    fill(store, 2, expires_at=store.now() + timedelta(hours=1))
    pruning = Pruning(store)
    assert [pruning.results(store.now(), 10) for _ in range(4)] == [10, 10, 5, 0]
    assert [pruning.history(store.now(), 10) for _ in range(4)] == [10, 10, 5, 0]
    assert (count(store, "results"), count(store, "history")) == (2, 2)


def test_history_for_good_is_never_pruned(store: SqlStore) -> None:
    """It has no expiry."""
    store.finish([done(claim(store, keep_completed=FOR_GOOD))])
    assert Pruning(store).history(store.now() + timedelta(days=40_000), 10) == 0


def test_a_plain_job_is_tied_to_nothing(store: SqlStore) -> None:
    """Its row, its claim and its end are as they were without all this."""
    (job_id,) = insert(store, new("plain"))
    assert not row(store, job_id).tied
    (job,) = take(store)
    store.finish([Delete(job.id, job.token, job.tied)])
    assert count(store, "results") == count(store, "history") == 0
