"""Slots: threads and coroutines run side by side, each with its own job around it."""

import asyncio
import logging
import threading
from contextvars import ContextVar

import pytest

from tests.harness import PATIENCE, row, work
from tomqueue import JobContext, Priority, TomQueue, current_job

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


def test_threads_run_side_by_side(tq: TomQueue) -> None:
    """Four jobs that wait for each other end in four slots."""
    together = threading.Barrier(4)

    @tq.job
    def meet() -> None:
        together.wait(PATIENCE)

    for _ in range(8):
        meet.enqueue()
    work(tq, threads=4)
    assert tq.jobs.list() == []


def test_coroutines_run_side_by_side(tq: TomQueue) -> None:
    """As many as there are slots share one event loop."""
    arrived: list[asyncio.Event] = []
    threads: set[str] = set()

    @tq.job
    async def meet() -> None:
        threads.add(threading.current_thread().name)
        here = asyncio.Event()
        arrived.append(here)
        if len(arrived) == 5:
            for one in arrived:
                one.set()
        await asyncio.wait_for(here.wait(), PATIENCE)

    for _ in range(5):
        meet.enqueue()
    work(tq, threads=5)
    assert tq.jobs.list() == []
    assert threads == {"tomqueue-async"}


@pytest.mark.usefixtures("hasty_threads")
def test_no_row_is_lost_between_threads(tq: TomQueue) -> None:
    """Each of many quick jobs runs once, whichever thread takes it."""
    ran: list[int] = []

    @tq.job
    def quick(number: int) -> None:
        ran.append(number)

    tq.enqueue_many(quick.prepare(number) for number in range(1000))
    work(tq, threads=8)
    assert sorted(ran) == list(range(1000))
    assert tq.jobs.list() == []


@pytest.mark.parametrize("threads", [1, 3])
def test_every_job_knows_itself(tq: TomQueue, threads: int) -> None:
    """``current_job`` is the job's own in threads and coroutines, and what a job sets is not seen by others."""
    seen: dict[int, tuple[str, int, str]] = {}

    def look(number: int) -> None:
        job = current_job.get()
        assert job is not None
        seen[number] = (job.name, job.id, tenant.get())

    @tq.job(name="sync")
    def sync(number: int) -> None:
        look(number)

    @tq.job(name="async")
    async def coroutine(number: int) -> None:
        tenant.set(f"tenant {number}")
        await asyncio.sleep(0)
        look(number)

    ids = [(sync if number % 2 else coroutine).enqueue(number).id for number in range(20)]
    work(tq, threads=threads)
    for number, job_id in enumerate(ids):
        assert seen[number] == (
            "sync" if number % 2 else "async",
            job_id,
            "nobody" if number % 2 else f"tenant {number}",
        )
    assert current_job.get() is None


def test_the_context_tells_of_the_row(tq: TomQueue) -> None:
    """Id, name, queue, priority, attempt, times and the limit are the row's; also in a hook."""
    seen: list[JobContext] = []

    @tq.job(name="function", max_attempts=7)
    def function(ctx: JobContext) -> None:
        seen.append(ctx)

    @tq.job(name="class")
    class Hooked:
        def process(self) -> None: ...

        def after(self, job: JobContext) -> None:
            seen.append(job)

    first = function.using(queue="mailers", priority="high").enqueue()
    second = tq.enqueue(Hooked(), max_attempts=3)
    work(tq)
    assert [(ctx.id, ctx.name, ctx.queue, ctx.priority, ctx.attempt, ctx.max_attempts) for ctx in seen] == [
        (first.id, "function", "mailers", Priority.HIGH, 1, 7),
        (second.id, "class", "default", Priority.NORMAL, 1, 3),
    ]
    assert (seen[0].run_at, seen[0].created_at) == (first.run_at, first.created_at)


def test_records_of_a_job_carry_it(tq: TomQueue, caplog: pytest.LogCaptureFixture) -> None:
    """``ctx.log``, and what the worker says about the job, have its id, name and attempt."""
    caplog.set_level(logging.DEBUG, "tomqueue")

    @tq.job(name="talks")
    def talks(ctx: JobContext, secret: str) -> None:
        ctx.log.info("half way", extra={"share": 0.5})
        raise OSError

    job = talks.enqueue("hunter2")
    work(tq)
    about = [record for record in caplog.records if hasattr(record, "job_id")]
    assert [record.getMessage().split(":")[0] for record in about] == [
        "half way",
        f"job {job.id} talks (attempt 1) raised OSError",
    ]
    for record in about:
        fields = vars(record)
        assert (fields["job_id"], fields["job_name"], fields["attempt"]) == (job.id, "talks", 1)
    assert vars(about[0])["share"] == 0.5
    assert "hunter2" not in caplog.text


def test_a_worker_ends_after_its_number_of_jobs(tq: TomQueue) -> None:
    """``max_jobs`` ends it between two jobs; what it had claimed ahead is free again."""
    ran: list[int] = []

    @tq.job
    def quick(number: int) -> None:
        ran.append(number)

    ids = [quick.enqueue(number).id for number in range(50)]
    work(tq, max_jobs=20)
    assert ran == list(range(20))
    assert all((row(tq, job).locked_by, row(tq, job).attempts) == (None, 0) for job in ids[20:])
    work(tq)
    assert ran == list(range(50))


def test_a_worker_ends_when_it_has_grown(tq: TomQueue) -> None:
    """``max_memory`` ends it between two jobs."""
    ran: list[int] = []

    @tq.job
    def quick() -> None:
        ran.append(1)

    for _ in range(5):
        quick.enqueue()
    work(tq, max_memory=1)
    assert ran == [1]
