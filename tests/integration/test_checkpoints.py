"""Checkpoints and progress: what a job says of itself, for its next attempt and for people."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from tests.harness import Reporter, happens, make_due, record_events, row, store_of, work, working
from tomqueue import JobContext, State, TomQueue
from tomqueue.errors import CheckpointError, ClaimLost, DefinitionError
from tomqueue.store.checkpoints import CheckpointTable
from tomqueue.testing import in_transaction, on_own_database


def test_the_next_attempt_sees_the_last_checkpoint(tq: TomQueue) -> None:
    """Also of the attempt before the last; nothing is left of it once the job has succeeded."""
    seen: list[Any] = []

    @tq.job
    def count(ctx: JobContext) -> None:
        seen.append(ctx.checkpointed)
        if ctx.attempt == 1:
            ctx.checkpoint(1)
            ctx.checkpoint({"rows": [1, 2], "at": "a"})
            seen.append(ctx.checkpointed)
        if ctx.attempt < 3:
            raise OSError("no route")

    job = count.enqueue()
    for _ in range(3):
        make_due(tq, job.id)
        work(tq)
    found = {"rows": [1, 2], "at": "a"}
    assert seen == [None, found, found, found]
    assert tq.tools().catalog.checkpoint(job.id) is None


def test_it_survives_a_process_that_dies(tq: TomQueue) -> None:
    """As by kill -9, right after the work: the next attempt goes on where the last one was."""
    kit = on_own_database(tq)
    seen: list[Any] = []

    @tq.job(name="count", result_ttl=60)
    def count(ctx: JobContext) -> int:
        seen.append(ctx.checkpointed)
        reached: int = (ctx.checkpointed or 0) + 10
        ctx.checkpoint(reached)
        return reached

    job = count.enqueue()
    kit.crash_at("worker.after_job")
    assert tq.tools().catalog.checkpoint(job.id) == "10"
    kit.drain()
    assert seen == [10]
    assert job.result(timeout=0) == 20


def test_it_survives_a_drain(tq: TomQueue) -> None:
    """What is cut short is given back uncharged, with its checkpoint."""
    begun = threading.Event()
    seen: list[Any] = []

    @tq.job(name="long")
    def long(ctx: JobContext) -> None:
        seen.append((ctx.attempt, ctx.checkpointed))
        if ctx.checkpointed is None:
            ctx.checkpoint("half")
            begun.set()
            while True:  # until it is interrupted, which a thread is between two calls only
                time.sleep(0.01)

    job = long.enqueue()
    with tq.elsewhere(database_url=tq.settings.database_url, grace=2.1):
        with working(tq.tools()) as worker:
            assert begun.wait(20)
            worker.stop()
        assert tq.jobs.get(job.id).state is State.READY
        work(tq)
    assert seen == [(1, None), (1, "half")]


def test_a_job_that_lost_its_claim_learns_of_it(tq: TomQueue) -> None:
    """Its checkpoint changes nothing, and it ends as one that lost its claim does."""
    caught: list[BaseException] = []
    events = record_events(tq)

    @tq.job(name="lose")
    def lose(ctx: JobContext) -> None:
        jobs = store_of(tq).tables.jobs
        with store_of(tq).writing() as connection:
            connection.execute(jobs.update().values(claim_token=1))
        try:
            ctx.checkpoint(1)
        except ClaimLost as error:
            caught.append(error)
            raise

    job = lose.enqueue()
    work(tq)
    assert "belongs to another claim: its checkpoint is not written" in str(caught[0])
    assert "job.claim_lost" in events
    assert row(tq, job.id).claim_token == 1
    assert tq.tools().catalog.checkpoint(job.id) is None


def holds_itself() -> list[Any]:
    """Return a list that holds itself."""
    made: list[Any] = []
    made.append(made)
    return made


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "an object": (object, "object cannot travel as JSON"),
    "a set": (lambda: {1}, "a value of type set would come back as list"),
    "a circle": (holds_itself, "contains itself"),
    "too large": (
        lambda: "x" * 64_000, "64,002 bytes of JSON and the setting max_checkpoint_bytes allows 64,000: store it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_what_cannot_be_a_checkpoint_is_refused_where_it_is_written(tq: TomQueue, bad: str) -> None:
    """The error names the job and the reason; the checkpoint before stays."""
    make, why = BAD[bad]
    caught: list[str] = []

    @tq.job(name="count")
    def count(ctx: JobContext) -> None:
        ctx.checkpoint("good")
        try:
            ctx.checkpoint(make())
        except CheckpointError as error:
            caught.append(str(error))
        assert ctx.checkpointed == "good"

    job = count.enqueue()
    work(tq)
    assert caught[0].startswith(f"job {job.id} count: this cannot be a checkpoint: ")
    assert why in caught[0]
    assert row(tq, job.id) is None


def test_asynchronous_jobs_await_theirs(tq: TomQueue) -> None:
    """What would hold up the loop is a TypeError that names the right call."""
    seen: list[Any] = []

    @tq.job
    async def count(ctx: JobContext) -> None:
        await ctx.acheckpoint([1])
        seen.append(await ctx.acheckpointed())
        ctx.progress(1, 2)
        with pytest.raises(TypeError, match=r"write await ctx.acheckpoint\(value\)"):
            ctx.checkpoint(1)
        with pytest.raises(TypeError, match=r"write await ctx.acheckpointed\(\)"):
            ctx.checkpointed  # noqa: B018 - the look is what is refused

    job = count.enqueue()
    work(tq)
    assert (seen, row(tq, job.id)) == ([[1]], None)


def test_an_atomic_job_has_no_checkpoint(tq: TomQueue) -> None:
    """It would outlive what the rollback undoes. Its progress does no harm, and does not wait for its transaction."""
    caught: list[BaseException] = []

    @tq.job(name="write", atomic=True)
    def write(ctx: JobContext) -> None:
        ctx.progress(1, 2)
        ctx.connection.exec_driver_sql("CREATE TABLE written (number INTEGER)")
        ctx.progress(2, 2)
        with pytest.raises(DefinitionError) as told:
            ctx.checkpoint(1)
        caught.append(told.value)

    job = write.enqueue()
    work(tq)
    assert row(tq, job.id) is None
    assert "write: an atomic job writes all or nothing, and a checkpoint would outlive" in str(caught[0])


# Progress -----------------------------------------------------------------------------------------------


def test_progress_is_seen_while_the_job_runs(tq: TomQueue) -> None:
    """The last that was said is written, without another call; it is gone with the job."""
    go = threading.Event()

    @tq.job
    def count(ctx: JobContext) -> None:
        for done in range(1000):
            ctx.progress(done, 1000)
        assert go.wait(20)

    job = count.enqueue()
    with working(tq.tools()):
        assert happens(lambda: (found := tq.jobs.progress(job.id)) is not None and found.done == 999)
        go.set()
        assert happens(lambda: row(tq, job.id) is None)
    assert tq.jobs.progress(job.id) is None


@pytest.mark.parametrize("atomic", [False, True])
def test_a_job_that_ends_before_its_progress_is_written_has_ended(tq: TomQueue, *, atomic: bool) -> None:
    """It runs once, and has finished."""
    ran: list[int] = []

    @tq.job(name="count", atomic=atomic)
    def count(ctx: JobContext) -> None:
        ctx.progress(1, 1)
        ran.append(ctx.attempt)

    job = count.enqueue()
    events = record_events(tq)
    work(tq)
    assert (ran, row(tq, job.id)) == ([1], None)
    assert "job.finished" in events
    assert "job.claim_lost" not in events


def test_progress_never_fails_the_job(tq: TomQueue, reporter: Reporter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that does not take it is the housekeeper's trouble: reported, and tried again."""
    go = threading.Event()
    refused = threading.Event()
    note = CheckpointTable.note

    def refuse_once(table: CheckpointTable, notes: Any) -> None:
        if not refused.is_set():
            refused.set()
            raise OSError("the disk is full")
        note(table, notes)

    monkeypatch.setattr(CheckpointTable, "note", refuse_once)

    @tq.job
    def count(ctx: JobContext) -> None:
        ctx.progress(3)
        assert go.wait(20)

    job = count.enqueue()
    with working(tq.tools()):
        assert happens(
            lambda: (found := tq.jobs.progress(job.id)) is not None and (found.done, found.total) == (3, None)
        )
        go.set()
        assert happens(lambda: row(tq, job.id) is None)
    assert [str(error) for error in reporter.errors] == ["the disk is full"]


@pytest.mark.parametrize(
    ("done", "total", "error", "why"),
    [
        ("1", 2, TypeError, "done='1' must be a number"),
        (1, True, TypeError, "total=True must be a number"),
        (-1, 2, ValueError, "done=-1 must be a number that is not negative"),
        (1, float("inf"), ValueError, "total=inf must be a number that is not negative"),
    ],
)
def test_what_is_no_progress_is_refused(tq: TomQueue, done: Any, total: Any, error: type[Exception], why: str) -> None:
    """Where it is said."""
    caught: list[str] = []

    @tq.job
    def count(ctx: JobContext) -> None:
        with pytest.raises(error) as told:
            ctx.progress(done, total)
        caught.append(str(told.value))

    count.enqueue()
    work(tq)
    assert caught == [f"ctx.progress: {why}"]


# Without a worker ---------------------------------------------------------------------------------------


def test_inline_a_job_sees_its_own_checkpoint(tq: TomQueue) -> None:
    """There is no next attempt; what cannot be a checkpoint is refused all the same."""
    tq.delay_jobs = False
    seen: list[Any] = []

    @tq.job
    def count(ctx: JobContext) -> None:
        seen.append(ctx.checkpointed)
        ctx.checkpoint([1])
        ctx.progress(1, 2)
        seen.append(ctx.checkpointed)
        with pytest.raises(CheckpointError):
            ctx.checkpoint(object())

    count.enqueue()
    assert seen == [None, [1]]


def test_in_the_transaction_of_a_test(tq: TomQueue, tmp_path: Path) -> None:
    """The kit writes them on the test's connection, and the next attempt reads them there."""
    seen: list[Any] = []

    @tq.job(name="count", backoff=1.0)
    def count(ctx: JobContext) -> None:
        seen.append(ctx.checkpointed)
        ctx.progress(1, 2)
        ctx.checkpoint([1])
        if ctx.attempt == 1:
            raise OSError("no route")

    tq.tools()
    engine = create_engine(f"sqlite:///{tmp_path / 'jobs.db'}")
    with engine.connect() as connection, connection.begin() as outer, in_transaction(tq, connection) as kit:
        count.enqueue()
        assert [one.outcome for one in kit.run_due(10)] == ["retried", "finished"]
        outer.rollback()
    engine.dispose()
    assert seen == [None, [1]]


def test_many_at_once_lose_nothing(tq: TomQueue) -> None:
    """Jobs in threads and in the loop checkpoint at the same time."""

    @tq.job(name="sync", result_ttl=60)
    def sync(ctx: JobContext, number: int) -> Any:
        ctx.progress(number)
        ctx.checkpoint(number)
        return ctx.checkpointed

    @tq.job(name="loop", result_ttl=60)
    async def loop(ctx: JobContext, number: int) -> Any:
        await asyncio.gather(*(ctx.acheckpoint(number) for _ in range(2)))
        return await ctx.acheckpointed()

    jobs = [job.enqueue(number) for number in range(10) for job in (sync, loop)]
    work(tq, threads=4)
    assert [job.result(timeout=0) for job in jobs] == [number for number in range(10) for _ in range(2)]
