"""The sweep frees what nobody knows that it holds."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tomqueue.daemon import sweep as module
from tomqueue.daemon.sweep import Sweep
from tomqueue.job import NewJob
from tomqueue.settings import Settings
from tomqueue.store.base import Want
from tomqueue.store.catalog import Catalog
from tomqueue.store.leases import Leases
from tomqueue.store.open import ready_store
from tomqueue.store.sql import SqlStore
from tomqueue.worker.board import Board

WORKER = 17


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """Give a store on a temporary file."""
    opened = ready_store(Settings(database_url=f"sqlite:///{tmp_path / 'jobs.db'}"))
    yield opened
    opened.close()


@pytest.fixture
def board() -> Iterator[Board]:
    """Give the board of a living child."""
    made = Board.create()
    yield made
    made.close()


def claimed(store: SqlStore) -> int:
    """Insert a job and claim it for the child."""
    (job,) = store.insert([NewJob(name="note", queue="default", priority=1, payload="{}")])
    store.take(Want(["default"], 1, WORKER), 7, lambda _ids: None)
    return job.id


def sweep_of(store: SqlStore, board: Board, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """Return a sweep that scans at every look; errors fail the test."""
    monkeypatch.setattr(module, "SCAN_EVERY", 0.0)

    def fail(error: BaseException) -> None:
        raise error

    return Sweep(
        Leases(store), logging.getLogger("tomqueue"), Settings, connected_for=lambda: 0.0,
        boards=lambda: {WORKER: board}, locks=None, report=fail,
    )  # fmt: skip


def test_a_row_that_its_worker_does_not_know_is_freed(
    store: SqlStore, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen twice under one token and on no board, it is given back; what the board knows is left alone."""
    with store.writing() as connection:
        workers = store.tables.workers
        connection.execute(
            workers.insert().values(
                id=WORKER, name="w", supervisor=1, kind="worker", queues="*", slots=1, started_at=store.now(),
                expires_at=store.now(),
            )
        )  # fmt: skip
    known, stray = claimed(store), claimed(store)
    board.record([known])
    sweep = sweep_of(store, board, monkeypatch)
    sweep.look()
    assert Catalog(store).get(stray).locked_by == WORKER  # once may be a moment between two writes
    sweep.look()
    assert Catalog(store).get(stray).locked_by is None
    assert Catalog(store).get(stray).attempts == 0
    assert Catalog(store).get(known).locked_by == WORKER


def test_a_row_of_a_worker_without_a_lease_is_freed(
    store: SqlStore, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its claim was committed after its worker had been buried."""
    late = claimed(store)
    sweep_of(store, board, monkeypatch).look()
    assert Catalog(store).get(late).locked_by is None
