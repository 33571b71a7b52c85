"""Lost claims and a database that is away: nothing is lost, nothing is done twice by mistake."""

import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from tests.harness import (
    Reporter,
    happens,
    make_worker,
    record_events,
    row,
    run_here,
    store_of,
    work,
    working,
)
from tomqueue import JobContext, TomQueue
from tomqueue.errors import OutcomeUnknown, StoreError, StoreUnavailable
from tomqueue.job import Claimed
from tomqueue.store.base import Ending, Hold, Release, Want
from tomqueue.store.sql import SqlStore
from tomqueue.worker.board import Board
from tomqueue.worker.tools import Tools


def change_outside(tq: TomQueue, statement: str, job: int) -> None:
    """Change a row from outside of this application."""
    thief = sqlite3.connect(str(store_of(tq).engine.url.database))
    with thief:
        thief.execute(statement, (job,))
    thief.close()


@pytest.mark.parametrize("outcome", ["finishes", "raises", "snoozes"])
@pytest.mark.parametrize(
    "theft",
    ["DELETE FROM tomqueue_jobs WHERE id = ?", "UPDATE tomqueue_jobs SET claim_token = 5, locked_by = 9 WHERE id = ?"],
    ids=["deleted", "taken"],
)
def test_a_lost_claim_changes_nothing(tq: TomQueue, caplog: pytest.LogCaptureFixture, theft: str, outcome: str) -> None:
    """However the job ends, its row is as the new owner left it, and the log and an event say so."""

    @tq.job
    def robbed(ctx: JobContext) -> None:
        change_outside(tq, theft, ctx.id)
        if outcome == "raises":
            raise OSError

    job = robbed.enqueue()
    events = record_events(tq)
    lost: list[int] = []
    tq.on("job.claim_lost", lambda job: lost.append(job.id))
    work(tq)
    found = row(tq, job.id)
    assert found is None or (found.claim_token, found.locked_by, found.attempts) == (5, 9, 1)
    assert (found is None) == theft.startswith("DELETE")
    assert lost == [job.id]
    assert not {"job.finished", "job.retried"} & set(events)
    assert f"job {job.id}: this worker lost its claim" in caplog.text


class Troubled:
    """A store that fails as it is told: before or after it has done what was asked."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self.before: dict[str, list[Exception]] = {}
        self.after: dict[str, list[Exception]] = {}
        self.refuses: Callable[[Ending], bool] = lambda _ending: False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def take(self, want: Want, token: int, record: Any, endings: Sequence[Ending] = ()) -> Any:
        self._refuse(endings)
        return self._troubled("take", lambda: self._store.take(want, token, record, endings))

    def finish(self, endings: Sequence[Ending]) -> list[Hold]:
        self._refuse(endings)
        return cast("list[Hold]", self._troubled("finish", lambda: self._store.finish(endings)))

    def claim(self, ids: Sequence[int], worker: int, token: int) -> Mapping[int, Claimed | Any]:
        return cast("Mapping[int, Any]", self._troubled("claim", lambda: self._store.claim(ids, worker, token)))

    def _refuse(self, endings: Sequence[Ending]) -> None:
        if any(self.refuses(ending) for ending in endings):
            raise StoreError("invalid byte sequence")

    def _troubled(self, name: str, work: Callable[[], Any]) -> Any:
        if self.before.get(name):
            raise self.before[name].pop(0)
        result = work()
        if self.after.get(name):
            raise self.after[name].pop(0)
        return result


@pytest.fixture
def store(tq: TomQueue) -> Troubled:
    """Give a store that can fail."""
    return Troubled(store_of(tq))


@pytest.fixture
def tools(tq: TomQueue, store: Troubled) -> Tools:
    """Give the tools of a worker that has it."""
    return replace(tq.tools(), store=cast("SqlStore", store))


def away(times: int = 3) -> list[Exception]:
    """Return errors of a database that is away for a while."""
    return [StoreUnavailable("away") for _ in range(times)]


@pytest.mark.parametrize("call", ["take", "finish"])
def test_a_database_that_is_away_loses_nothing(
    tq: TomQueue, tools: Tools, reporter: Reporter, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker pauses and goes on; each job runs once and is charged once, and the trouble is reported once."""
    caplog.set_level(logging.INFO, "tomqueue")
    ran, ahead = list[int](), list[int]()
    board, store = Board.create(), cast("Troubled", tools.store)

    @tq.job(backoff=3600)
    def fragile(ctx: JobContext, number: int) -> None:
        ran.append(number)
        if number == 5:
            raise OSError
        if len(board.claims()) > 5:
            ahead.append(number)
            if len(ahead) == 3:  # so that endings wait for their commit
                store.before[call] = away()
                assert call == "take" or happens(lambda: not store.before[call])

    jobs = tq.enqueue_many(fragile.prepare(number) for number in range(2000))
    run_here(make_worker(tools, board=board))
    assert sorted(ran) == list(range(2000))
    assert store.before == {call: []}
    (left,) = tq.jobs.list()
    assert (left.id, left.attempts, left.locked_by) == (jobs[5].id, 1, None)
    assert [type(error) for error in reporter.errors] == [OSError, StoreUnavailable]
    if call == "take":
        assert "the database is back" in caplog.text


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_claim_of_unknown_outcome_is_undone(tq: TomQueue, store: Troubled, tools: Tools, when: str) -> None:
    """Whether the COMMIT came through or not, the rows are free again, uncharged, and run once."""
    ran: list[tuple[int, int]] = []

    @tq.job
    def quick(ctx: JobContext, number: int) -> None:
        ran.append((number, ctx.attempt))

    for number in range(3):
        quick.enqueue(number)
    getattr(store, when)["take"] = [OutcomeUnknown("the connection broke while committing")]
    with working(tools):
        assert happens(lambda: len(ran) == 3)
    assert sorted(ran) == [(number, 1) for number in range(3)]
    assert tq.jobs.list() == []


@pytest.mark.parametrize("call", ["take", "finish"])
def test_a_finish_of_unknown_outcome_counts_once(
    tq: TomQueue, store: Troubled, tools: Tools, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried again; a row that is gone by then was finished, and no claim was lost."""
    events = record_events(tq)

    @tq.job
    def last() -> None:
        store.after[call] = [OutcomeUnknown("the connection broke while committing")]

    last.enqueue()
    run_here(make_worker(tools))
    assert tq.jobs.list() == []
    assert events.count("job.finished") == 1
    assert "lost its claim" not in caplog.text


def test_a_refused_text_is_replaced(tq: TomQueue, store: Troubled, tools: Tools, reporter: Reporter) -> None:
    """A row whose text the database does not take is finished with a stub; its neighbours as they are."""
    store.refuses = lambda ending: isinstance(ending, Release) and "poison" in str(ending.last_error)

    @tq.job
    def fail(text: str) -> None:
        raise OSError(text)

    jobs = [fail.enqueue(text) for text in ("well", "poison", "fine")]
    run_here(make_worker(tools))
    texts = [row(tq, job.id).last_error for job in jobs]
    assert "OSError: well" in texts[0]
    assert texts[1] == "(the error's text could not be stored: StoreError)"
    assert "OSError: fine" in texts[2]
    assert all((row(tq, job.id).locked_by, row(tq, job.id).attempts) == (None, 1) for job in jobs)
    assert [str(error) for error in reporter.errors if isinstance(error, StoreError)] == ["invalid byte sequence"]


def test_one_refused_row_keeps_no_other_from_its_end(tq: TomQueue, store: Troubled, tools: Tools) -> None:
    """What the database refuses to delete waits by itself, until it can be deleted."""
    healed = threading.Event()
    refused: set[int] = set()
    store.refuses = lambda ending: ending.id in refused and not healed.is_set()

    @tq.job
    def quick() -> None: ...

    jobs = [quick.enqueue() for _ in range(10)]
    refused.add(jobs[3].id)
    with working(tools):
        assert happens(lambda: [job.id for job in tq.jobs.list()] == [jobs[3].id])
        healed.set()
        assert happens(lambda: tq.jobs.list() == [])
