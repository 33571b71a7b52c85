"""A worker that gets its news pushed: the news is only a hint, and the row decides."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from tests.harness import PATIENCE, change, happens, make_worker, pushing, row, run_here, working
from tomqueue import JobContext, TomQueue
from tomqueue.errors import StoreUnavailable
from tomqueue.job import Job
from tomqueue.store.base import Release
from tomqueue.transport.base import Delivery, Notification
from tomqueue.transport.memory import MemoryTransport
from tomqueue.worker.board import Board
from tomqueue.worker.worker import Worker


def news_of(*jobs: Job) -> list[Notification]:
    """Return what is published about jobs."""
    return [Notification(job.id, job.queue, job.priority.rank, job.announced_at or job.run_at) for job in jobs]


def left(transport: MemoryTransport) -> list[int]:
    """Return the ids whose news waits."""
    return [notification.job_id for line in transport.lines.values() for notification in line]


@pytest.fixture
def transport() -> MemoryTransport:
    """Give a transport without news."""
    return MemoryTransport()


@pytest.fixture
def deliver(tq: TomQueue, transport: MemoryTransport) -> Callable[..., None]:
    """Give what publishes news of jobs and lets a worker run until it has none."""

    def act(*jobs: Job, **options: Any) -> None:
        transport.publisher().publish(news_of(*jobs))
        run_here(make_worker(pushing(tq, transport), **options))

    return act


def test_a_delivered_job_runs(tq: TomQueue, transport: MemoryTransport) -> None:
    """Its row is claimed by key; jobs without news are left alone, however ready."""
    ran: list[int] = []

    @tq.job
    def note(number: int) -> None:
        ran.append(number)

    jobs = [note.enqueue(number) for number in range(10)]
    transport.publisher().publish(news_of(jobs[7], jobs[2]))
    with working(pushing(tq, transport)):
        assert happens(lambda: len(ran) == 2)
    assert ran == [7, 2]
    assert left(transport) == []
    assert len(tq.jobs.list()) == 8


def test_working_off_makes_sure_that_nothing_is_ready(
    tq: TomQueue, transport: MemoryTransport, deliver: Callable[..., None]
) -> None:
    """It has no news of jobs that are ready all the same: it asks the database before it ends."""
    ran: list[int] = []

    @tq.job
    def note(number: int) -> None:
        ran.append(number)

    jobs = [note.enqueue(number) for number in range(5)]
    deliver(jobs[3])
    assert sorted(ran) == [0, 1, 2, 3, 4]


def test_the_same_news_twice_runs_a_job_once(
    tq: TomQueue, transport: MemoryTransport, deliver: Callable[..., None]
) -> None:
    """Doubled together, or told again while it runs: what is too much is acked."""
    ran: list[int] = []
    board = Board.create()

    @tq.job
    def note(ctx: JobContext) -> None:
        ran.append(ctx.id)
        if len(ran) == 1:
            transport.publisher().publish(news_of(*jobs))

    jobs = [note.enqueue() for _ in range(2)]
    deliver(*jobs, *jobs, board=board)
    assert sorted(ran) == [job.id for job in jobs]
    assert (left(transport), board.claims()) == ([], [])


def test_news_about_what_runs_keeps_its_claim_on_the_board(tq: TomQueue, transport: MemoryTransport) -> None:
    """A neighbour's slot that hears of it again must not make the shared memory forget it."""
    board = Board.create()
    heard, go_on = threading.Event(), threading.Event()

    @tq.job
    def slow() -> None:
        heard.set()
        go_on.wait(PATIENCE)

    job = slow.enqueue()
    publisher = transport.publisher()
    publisher.publish(news_of(job))
    with working(pushing(tq, transport), threads=2, board=board):
        assert heard.wait(PATIENCE)
        publisher.publish(news_of(job))
        assert happens(lambda: not left(transport))
        other = slow.enqueue()
        publisher.publish(news_of(other))
        assert happens(lambda: other.id in board.claims())
        assert job.id in board.claims()
        go_on.set()
        assert happens(lambda: not tq.jobs.list())


@pytest.mark.parametrize("why", ["gone", "failed", "held", "taken"])
def test_news_about_nothing_to_run_is_acked(
    tq: TomQueue, transport: MemoryTransport, deliver: Callable[..., None], why: str
) -> None:
    """Deleted, failed, held or taken by another: the row stays as it is."""

    @tq.job
    def note() -> None:
        raise AssertionError

    job = note.enqueue()
    now = job.run_at
    if why == "gone":
        tq.jobs.delete(job.id)
    else:
        changes: dict[str, dict[str, Any]] = {
            "failed": {"failed_at": now},
            "held": {"held": True},
            "taken": {"locked_by": 999, "claim_token": 5, "locked_at": now},
        }
        change(tq, job.id, **changes[why])
    before = row(tq, job.id)
    deliver(job)
    assert row(tq, job.id) == before
    assert left(transport) == []


@pytest.mark.parametrize("changed", [{"queue": "elsewhere"}, {"priority": 3}])
def test_news_of_a_job_that_was_moved_runs_nothing(
    tq: TomQueue, transport: MemoryTransport, deliver: Callable[..., None], changed: dict[str, Any]
) -> None:
    """Its row has another queue or priority by now: fresh news of it is due, and no attempt is charged."""

    @tq.job
    def note() -> None:
        raise AssertionError

    job = note.enqueue()
    change(tq, job.id, **changed)
    publisher = transport.publisher()
    publisher.publish(news_of(job))
    with working(pushing(tq, transport), queues=("default",)):
        assert happens(lambda: not left(transport) and row(tq, job.id).announced_at is None)
    after = row(tq, job.id)
    assert (after.attempts, after.locked_by) == (0, None)


def test_news_of_a_job_put_off_is_acked(tq: TomQueue, transport: MemoryTransport, deliver: Callable[..., None]) -> None:
    """Plain SQL gave it another time and left its stamp: without that it would never be told of again."""

    @tq.job
    def note() -> None:
        raise AssertionError

    job = note.enqueue()
    change(tq, job.id, run_at=job.run_at + timedelta(hours=1))
    deliver(job)
    assert left(transport) == []
    assert (row(tq, job.id).announced_at, row(tq, job.id).attempts) == (None, 0)


@pytest.mark.parametrize(("told", "heard"), [("v1:0000000000000000", 1), ("v9:another", 0), ("", 0)])
def test_another_checksum_is_told_and_the_job_runs(
    tq: TomQueue, transport: MemoryTransport, deliver: Callable[..., None], told: str, heard: int
) -> None:
    """The row decides; a checksum of another version is no opinion."""
    ran: list[int] = []
    differed: list[int] = []
    tq.on("news.differed", lambda job: differed.append(job.id))

    @tq.job
    def note() -> None:
        ran.append(1)

    job = note.enqueue()
    transport.publisher().publish([one._replace(checksum=told) for one in news_of(job)])
    run_here(make_worker(pushing(tq, transport)))
    assert (ran, len(differed)) == ([1], heard)


def test_what_is_given_back_keeps_its_place(
    tq: TomQueue, transport: MemoryTransport, deliver: Callable[..., None]
) -> None:
    """A worker that ends early puts the news back at the head, in its order; the rows are free and announced."""
    ran: list[int] = []
    ahead: list[int] = []

    @tq.job
    def note(number: int) -> None:
        ran.append(number)

    jobs = tq.enqueue_many(note.prepare(number) for number in range(2000))
    board = Board.create()

    def stop_when_ahead(**_details: object) -> None:
        if len(worker._claims._waiting) > 5:
            ahead.extend(board.claims())
            worker.stop()

    tq.on("job.started", stop_when_ahead)
    transport.publisher().publish(news_of(*jobs))
    worker = make_worker(pushing(tq, transport), board=board)
    run_here(worker)
    assert ahead
    assert ran == list(range(len(ran)))
    assert left(transport) == [job.id for job in jobs[len(ran) :]]
    free = row(tq, jobs[len(ran)].id)
    assert (free.attempts, free.locked_by) == (0, None)
    assert free.announced_at is not None


class Away:
    """A store whose claims fail for a while."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.times = 3

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def claim(self, *arguments: Any) -> Any:
        if self.times:
            self.times -= 1
            raise StoreUnavailable("away")
        return self._store.claim(*arguments)


class RefusesToRelease:
    """A store that lets no row go while it is told so."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.away = threading.Event()
        self.refused = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def finish(self, endings: Any) -> Any:
        if self.away.is_set() and any(isinstance(ending, Release) for ending in endings):
            self.refused.set()
            raise StoreUnavailable("away")
        return self._store.finish(endings)


def test_news_goes_back_once_the_rows_are_free(
    tq: TomQueue, transport: MemoryTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue is paused while the database takes no rows back: once it does, the news is at its place again."""
    monkeypatch.setattr("tomqueue.worker.housekeeper.HOARD", PATIENCE)  # not because the job is slow
    began, go_on, workers = threading.Event(), threading.Event(), list[Worker]()
    board, tools = Board.create(), pushing(tq, transport)
    store = RefusesToRelease(tools.store)

    @tq.job
    def note() -> None:
        if not began.is_set() and len(workers[0]._claims._waiting) > 5:
            store.away.set()
            tools.catalog.queues.pause("default")
            began.set()
            go_on.wait(PATIENCE)

    jobs = tq.enqueue_many(note.prepare() for _ in range(2000))
    with working(replace(tools, store=cast("Any", store)), board=board) as worker:
        workers.append(worker)
        transport.publisher().publish(news_of(*jobs))
        assert began.wait(PATIENCE)
        (slot,) = board.running()
        assert store.refused.wait(PATIENCE)
        store.away.clear()
        assert happens(lambda: left(transport) == [job.id for job in jobs if job.id > slot.job])
        assert happens(lambda: board.claims() == [slot.job])
        tools.catalog.queues.resume("default")
        go_on.set()
        assert happens(lambda: not tq.jobs.list())


def test_a_database_that_is_away_loses_no_news(tq: TomQueue, transport: MemoryTransport) -> None:
    """Deliveries go back in their order and are taken again."""
    ran: list[int] = []

    @tq.job
    def note(number: int) -> None:
        ran.append(number)

    transport.publisher().publish(news_of(*(note.enqueue(number) for number in range(5))))
    tools = pushing(tq, transport)
    run_here(make_worker(replace(tools, store=cast("Any", Away(tools.store)))))
    assert ran == list(range(5))


def test_an_idle_worker_waits(tq: TomQueue, transport: MemoryTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without news it sleeps, also while news of a queue that it does not serve is waiting."""
    looks: list[int] = []
    consumer = transport.consumer(lambda: ["mailers"])
    receive = type(consumer).receive

    def counted(self: Any, limit: int) -> list[Delivery]:
        looks.append(1)
        return receive(self, limit)

    monkeypatch.setattr(type(consumer), "receive", counted)

    @tq.job(queue="other")
    def note() -> None: ...

    transport.publisher().publish(news_of(note.enqueue()))
    done = threading.Event()
    tq.on("worker.started", lambda: threading.Timer(0.5, done.set).start())
    with working(pushing(tq, transport), queues=("mailers",)):
        assert done.wait(PATIENCE)
    assert len(looks) < 10
