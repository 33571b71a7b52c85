"""Conformance of checkpoints and progress: fenced by the claim's token, and gone with the job."""

from sqlalchemy import select

from tests.conformance.jobs import insert, new, row, take, want
from tomqueue.job import Claimed
from tomqueue.store.base import Delete, Release
from tomqueue.store.catalog import Catalog
from tomqueue.store.checkpoints import CheckpointTable, Note
from tomqueue.store.leases import Leases
from tomqueue.store.pruning import Pruning
from tomqueue.store.sql import SqlStore


def claim(store: SqlStore, token: int = 7) -> Claimed:
    """Claim a new job."""
    insert(store, new())
    (job,) = take(store, want(worker=5), token)
    return job


def rows(store: SqlStore) -> int:
    """Count the checkpoints of all jobs."""
    with store.reading() as connection:
        return len(connection.execute(select(store.tables.checkpoints)).all())


def test_a_checkpoint_is_read_again(store: SqlStore) -> None:
    """The last one, also by the next attempt; the row is tied to it from then on."""
    job, table = claim(store), CheckpointTable(store)
    assert table.value(job.id) is None
    assert table.save(job.id, job.token, "1")
    assert table.save(job.id, job.token, "[2]")
    assert table.value(job.id) == "[2]"
    assert row(store, job.id).tied
    Leases(store).free_all(5)
    assert table.value(job.id) == "[2]"


def test_a_lost_claim_writes_nothing(store: SqlStore) -> None:
    """Neither a checkpoint nor progress."""
    job, table = claim(store), CheckpointTable(store)
    assert not table.save(job.id, job.token + 1, "1")
    table.note([Note(job.id, job.token + 1, 1, 2)])
    assert (table.value(job.id), table.progress([job.id]), rows(store)) == (None, {}, 0)
    assert not row(store, job.id).tied


def test_progress_stands_beside_the_checkpoint(store: SqlStore) -> None:
    """Each is written without touching the other; a total need not be known."""
    first, table = claim(store), CheckpointTable(store)
    second = claim(store, 8)
    table.note([Note(second.id, 8, 7, None), Note(first.id, 7, 1.5, 3)])
    assert table.save(first.id, 7, "1")
    table.note([Note(first.id, 7, 2, 3)])
    found = table.progress([first.id, second.id, 999])
    assert {job: (one.done, one.total) for job, one in found.items()} == {first.id: (2, 3), second.id: (7, None)}
    assert table.value(first.id) == "1"
    assert table.value(second.id) is None
    assert table.progress([]) == {}


def test_it_goes_with_the_job_and_not_before(store: SqlStore, catalog: Catalog) -> None:
    """A job that failed keeps it for a retry; success and a person's delete take it along."""
    table = CheckpointTable(store)
    failing, succeeding = claim(store), claim(store, 8)
    for job in (failing, succeeding):
        table.save(job.id, job.token, "1")
    store.finish([
        Release(id=failing.id, token=failing.token, tied=True, attempts=1, failed=True, last_error="boom"),
        Delete(succeeding.id, succeeding.token, tied=True),
    ])  # fmt: skip
    assert (table.value(failing.id), table.value(succeeding.id)) == ("1", None)
    catalog.retry(failing.id)
    assert table.value(failing.id) == "1"
    catalog.delete(failing.id)
    assert rows(store) == 0


def test_what_plain_sql_leaves_behind_is_found(store: SqlStore) -> None:
    """A checkpoint of a row that nobody's code deleted."""
    job, other = claim(store), claim(store, 8)
    for one in (job, other):
        CheckpointTable(store).save(one.id, one.token, "1")
    with store.writing() as connection:
        connection.execute(store.tables.jobs.delete().where(store.tables.jobs.c.id == job.id))
    assert Pruning(store).orphans(0, 10) == other.id
    assert rows(store) == 1
    assert Pruning(store).orphans(other.id, 10) is None
