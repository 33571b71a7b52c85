"""Conformance of the catalog: changing many jobs, and counting those that go first."""

from tests.conformance.jobs import BULK, FUTURE, HIGH, PAST, ago, change, insert, new, row
from tomqueue.job import State
from tomqueue.store.catalog import Catalog, Filter
from tomqueue.store.sql import SqlStore


def test_ids_come_in_pieces_and_end_with_those_that_were_there(store: SqlStore, catalog: Catalog) -> None:
    """What arrives while the pieces are worked off is not chased."""
    ids = insert(store, *(new(queue="many") for _ in range(1100)))
    insert(store, new(queue="other"))
    pieces = []
    for piece in catalog.pieces(Filter(queue="many")):
        pieces.append(piece)
        insert(store, *(new(queue="many") for _ in range(10)))
    assert [len(piece) for piece in pieces] == [500, 500, 100]
    assert [row_id for piece in pieces for row_id in piece] == ids
    assert list(catalog.pieces(Filter(queue="empty"))) == []


def test_only_those_that_are_still_meant_are_changed(store: SqlStore, catalog: Catalog) -> None:
    """A job that changed its state after its id was read is left alone."""
    failed, retried, running = insert(store, new(), new(), new())
    change(store, failed, failed_at=PAST)
    change(store, running, failed_at=PAST, locked_by=1, claim_token=1)
    which = Filter(state=State.FAILED)
    assert catalog.retry_all([failed, retried, running], which) == 1
    assert row(store, retried).announced_at is not None
    assert catalog.cancel_all([retried], which=which) == 0
    assert catalog.delete_all([failed, retried, running], which) == 0
    assert catalog.delete_all([failed, retried, running]) == 2


def test_those_that_go_first_are_counted(store: SqlStore, catalog: Catalog) -> None:
    """The more urgent and the earlier ones of the same queue that are ready."""
    urgent, first, second, last = insert(store, new(priority=HIGH), new(), new(), new(priority=BULK))
    insert(store, new(queue="other"), new(run_at=FUTURE))
    assert [catalog.ahead(catalog.get(row_id)) for row_id in (urgent, first, second, last)] == [0, 1, 2, 3]
    change(store, first, announced_at=None)
    assert [catalog.ahead(catalog.get(row_id)) for row_id in (first, second)] == [2, 1]


def test_ready_jobs_are_counted_where_they_can_run(store: SqlStore, catalog: Catalog) -> None:
    """Queues that are paused, or have nothing ready, are not named."""
    insert(store, new(), new(run_at=ago(store, 60)), new(queue="paused"), new(queue="later", run_at=FUTURE))
    catalog.queues.pause("paused")
    assert catalog.queues.ready_counts() == {"default": 2}
