"""``delay_jobs=False``: jobs run at once, in the caller's thread, as they would in a worker."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from tests.harness import Reporter, record_events, row, store_of
from tomqueue import JobContext, Priority, TomQueue, current_job


@pytest.fixture
def inline(tq: TomQueue) -> TomQueue:
    """Give an application that delays nothing."""
    tq.delay_jobs = False
    return tq


def test_a_job_runs_at_once(inline: TomQueue) -> None:
    """Its arguments make the same journey through JSON, there is no row, and its id is 0."""
    seen: list[Any] = []

    @inline.job(queue="mailers", priority="low")
    def send(ctx: JobContext, numbers: tuple[int, ...]) -> None:
        seen.append((numbers, ctx.id, ctx.queue, ctx.priority, ctx.attempt, current_job.get() is ctx))

    job = send.enqueue((1, 2))
    assert seen == [((1, 2), 0, "mailers", Priority.LOW, 1, True)]
    assert (job.id, inline.jobs.list(), current_job.get()) == (0, [], None)


def test_an_error_reaches_the_caller(inline: TomQueue, reporter: Reporter) -> None:
    """Nothing is retried."""

    @inline.job
    def fail() -> None:
        raise OSError("no route")

    with pytest.raises(OSError, match="no route"):
        fail.enqueue()
    assert inline.jobs.list() == []


def test_hooks_are_called(inline: TomQueue) -> None:
    """In their order, the enqueue hook first."""
    calls: list[str] = []

    @inline.job(name="chatty")
    class Chatty:
        def enqueue(self, draft: object) -> None:
            calls.append("enqueue")

        def before(self, job: JobContext) -> None:
            calls.append("before")

        def process(self) -> None:
            calls.append("process")

        def success(self, job: JobContext) -> None:
            calls.append("success")

        def after(self, job: JobContext) -> None:
            calls.append("after")

    inline.enqueue(Chatty())
    assert calls == ["enqueue", "before", "process", "success", "after"]


def test_an_atomic_job_commits_or_rolls_back(inline: TomQueue) -> None:
    """It has its transaction as in a worker."""

    @inline.job(atomic=True)
    def note(ctx: JobContext, number: int) -> None:
        ctx.connection.execute(text("INSERT INTO notes VALUES (:number)"), {"number": number})
        if number == 2:
            raise OSError

    store = store_of(inline)
    with store.writing() as connection:
        connection.execute(text("CREATE TABLE notes (number INTEGER)"))
    note.enqueue(1)
    with pytest.raises(OSError):
        note.enqueue(2)
    with store.reading() as connection:
        assert connection.execute(text("SELECT number FROM notes")).scalars().all() == [1]


def test_a_coroutine_runs_at_once(inline: TomQueue) -> None:
    """From synchronous and from asynchronous code."""
    ran: list[int] = []

    @inline.job
    async def note(number: int) -> None:
        await asyncio.sleep(0)
        ran.append(number)

    note.enqueue(1)
    asyncio.run(note.aenqueue(2))
    assert ran == [1, 2]


def test_a_predicate_decides(tq: TomQueue) -> None:
    """It sees each draft; those that are delayed are enqueued, also from a call that mixes both."""
    ran: list[int] = []

    @tq.job
    def note(number: int) -> None:
        ran.append(number)

    tq.delay_jobs = lambda draft: draft.queue != "now"
    events = record_events(tq)
    jobs = tq.enqueue_many(
        [note.using(queue="now").prepare(1), note.prepare(2), note.using(queue="now").prepare(3), note.prepare(4)]
    )
    assert ran == [1, 3]
    assert [bool(job.id) for job in jobs] == [False, True, False, True]
    assert events.count("job.enqueued") == 2
    assert len(tq.jobs.list()) == 2


@pytest.fixture
def ranks(tq: TomQueue) -> Callable[[Any], int]:
    """Give what enqueues at a priority and returns the rank that is stored."""

    @tq.job
    def note() -> None: ...

    return lambda priority: int(row(tq, note.using(priority=priority).enqueue().id).priority)


def test_numbers_go_through_the_map(
    tq: TomQueue, ranks: Callable[[Any], int], caplog: pytest.LogCaptureFixture
) -> None:
    """A mapped number is its priority, whatever stands at that rank."""
    tq.priority_map[1] = Priority.BULK
    tq.priority_map[-10] = Priority.HIGH
    assert [ranks(1), ranks(-10), ranks("low"), ranks(Priority.HIGH)] == [3, 0, 2, 0]
    assert caplog.text == ""


def test_an_unmapped_number_is_normal(ranks: Callable[[Any], int], caplog: pytest.LogCaptureFixture) -> None:
    """A warning names the number."""
    assert ranks(7) == 1
    assert "priority 7 is not in priority_map" in caplog.text
