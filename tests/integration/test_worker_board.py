"""What a worker shows on its board and in the counters, and what it does with what it finds there."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from tests.harness import PATIENCE, happens, make_worker, record_events, row, run_here, store_of, work, working
from tomqueue import JobContext, TomQueue
from tomqueue.store.base import Answer
from tomqueue.worker.board import Board


def test_the_board_knows_every_claim(tq: TomQueue) -> None:
    """While a job runs its id is in the shared memory; afterwards nothing is."""
    board = Board.create()
    seen: list[list[int]] = []

    @tq.job
    def look(ctx: JobContext) -> None:
        seen.append([ctx.id, *board.claims(), *(slot.job for slot in board.running())])

    job = look.enqueue()
    work(tq, board=board)
    assert seen == [[job.id, job.id, job.id]]
    assert (board.claims(), board.running(), board.started) == ([], [], 1)
    board.close()


def test_a_handed_over_row_is_claimed_by_key(tq: TomQueue) -> None:
    """What the supervisor writes on the board runs here, before what waits in the queue, and a dead id harms nobody."""
    board = Board.create()
    ran: list[int] = []

    @tq.job
    def note(number: int) -> None:
        ran.append(number)

    jobs = [note.enqueue(number) for number in range(3)]
    assert board.hand(jobs[2].id)
    assert board.hand(10**6)
    work(tq, board=board)
    assert ran == [2, 0, 1]
    assert (board.handed(), board.claims()) == ([], [])
    board.close()


class BusyOnce:
    """A store where somebody touches every row as it is claimed by key for the first time."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.touched = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def claim(self, ids: Sequence[int], worker: int, token: int) -> Any:
        if not self.touched:
            self.touched = True
            return dict.fromkeys(ids, Answer.BUSY)
        return self._store.claim(ids, worker, token)


def test_a_handed_over_row_that_is_busy_is_tried_again(tq: TomQueue) -> None:
    """It stays on the board until it is claimed."""
    board = Board.create()
    ran: list[int] = []

    @tq.job
    def note(number: int) -> None:
        ran.append(number)

    jobs = [note.enqueue(number) for number in range(3)]
    assert board.hand(jobs[2].id)
    tools = tq.tools()
    run_here(make_worker(replace(tools, store=cast("Any", BusyOnce(tools.store))), board=board))
    assert ran == [2, 0, 1]
    assert (board.handed(), board.claims()) == ([], [])
    board.close()


def test_counters_are_written(tq: TomQueue) -> None:
    """What was done is in the table of the minute, by queue."""

    @tq.job(max_attempts=2)
    def job(ok: bool) -> None:
        if not ok:
            raise OSError

    for queue in ("a", "b"):
        job.using(queue=queue).enqueue(ok=True)
    job.using(queue="b").enqueue(ok=False)
    job.using(queue="b", max_attempts=1).enqueue(ok=False)
    since = store_of(tq).now().replace(second=0, microsecond=0)
    work(tq)
    rows = tq.tools().catalog.stats.since(since)
    numbers = {queue: [0, 0, 0] for queue in ("a", "b")}
    for one in rows:
        for place, value in enumerate((one.finished, one.retried, one.failed)):
            numbers[one.queue][place] += value
    assert numbers == {"a": [1, 0, 0], "b": [1, 1, 1]}


def test_a_drain_gives_back_what_it_cuts_short(tq: TomQueue) -> None:
    """Once the board says by when to end, a job that still runs is interrupted, uncharged, and others do not start."""
    board = Board.create()
    began = threading.Event()

    @tq.job
    def endless() -> None:
        began.set()
        while True:
            pass

    jobs = [endless.enqueue() for _ in range(2)]
    events = record_events(tq)
    with working(tq.tools(), board=board):
        assert began.wait(PATIENCE)
        board.drain_by = 1.0
        assert happens(lambda: "worker.stopped" in events)
    assert events.count("job.interrupted") == 1
    assert all((row(tq, job.id).attempts, row(tq, job.id).locked_by) == (0, None) for job in jobs)
    board.close()
