"""Chains and groups with real jobs, on each database, and each way to have the kit."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tomqueue import Discard, JobContext, Prepared, State, TomQueue, WorkflowState, chain, group
from tomqueue.testing import Kit, on_own_database
from tomqueue.testing.crashing import NotReached

Call = Callable[[str], Prepared]


@pytest.fixture
def notes() -> list[str]:
    """Give the list that jobs write to."""
    return []


@pytest.fixture
def call(tq: TomQueue, notes: list[str]) -> Call:
    """Give calls of a job that notes its text; what begins with "bad" fails for good the first time."""

    @tq.job(name="note")
    def note(text: str) -> None:
        notes.append(text)
        if text.startswith("bad") and notes.count(text) == 1:
            raise Discard("no")

    return note.prepare


def test_the_kit_runs_a_workflow(tq: TomQueue, kit: Kit, call: Call, notes: list[str]) -> None:
    """Links in their order, callbacks after their group, and what failed keeps the rest."""
    members = group(call("b"), chain(call("bad"), call("c")), on_success=call("ok"), on_complete=call("over"))
    workflow = tq.enqueue(chain(call("a"), members, call("z")))
    assert [job.state for job in workflow.jobs] == [State.READY, *[State.HELD] * 6]
    kit.drain(raise_errors=False)
    assert (notes[0], sorted(notes)) == ("a", ["a", "b", "bad", "over"])
    assert [job.state for job in kit.enqueued()] == [State.HELD] * 3


def test_a_failed_link_is_retried_and_the_chain_goes_on(tq: TomQueue, call: Call, notes: list[str]) -> None:
    """What a person does with one job moves the workflow."""
    kit = on_own_database(tq)
    workflow = tq.enqueue(
        group(call("a"), chain(call("bad"), call("c")), on_success=call("ok"), on_complete=call("over"))
    )
    kit.drain(raise_errors=False)
    found = tq.workflows.get(workflow.id)
    assert (found.state, found.failed, found.pending, found.done) == (WorkflowState.FAILED, 1, 2, 2)
    (failed, *_) = tq.jobs.list(state="failed")
    tq.jobs.retry(failed.id)
    kit.drain()
    assert sorted(notes) == ["a", "bad", "bad", "c", "ok", "over"]
    assert tq.workflows.get(workflow.id).state is WorkflowState.SUCCEEDED
    assert tq.workflows.jobs(workflow.id) == []


def test_a_callback_knows_its_workflow(tq: TomQueue) -> None:
    """By ``ctx.workflow``; a job that is in none has none."""
    seen: list[tuple[int | None, int]] = []

    @tq.job(name="look")
    def look(ctx: JobContext) -> None:
        seen.append((ctx.workflow, 0 if ctx.workflow is None else tq.workflows.get(ctx.workflow).done))

    kit = on_own_database(tq)
    look.enqueue()
    workflow = tq.enqueue(chain(look.prepare(), look.prepare()))
    kit.drain()
    assert sorted(seen, key=str) == [(workflow.id, 0), (workflow.id, 1), (None, 0)]


def test_an_atomic_link_gives_its_turn_with_its_own_commit(tq: TomQueue, call: Call) -> None:
    """The next link is free in the very transaction of the job's own writes."""

    @tq.job(name="write", atomic=True)
    def write(ctx: JobContext) -> None:
        ctx.session()

    kit = on_own_database(tq)
    tq.enqueue(chain(write.prepare(), write.prepare(), call("a")))
    assert [one.name for one in kit.drain()] == ["write", "write", "note"]


def test_a_workflow_belongs_to_the_callers_transaction(tq: TomQueue, engine: Engine, call: Call) -> None:
    """It is there wholly or not at all."""
    tq.tools()
    with Session(engine) as session:
        tq.enqueue(chain(call("a"), call("b")), session=session)
        session.rollback()
        assert (tq.jobs.count(), tq.workflows.list()) == (0, [])
        kept = tq.enqueue(group(call("a"), call("b"), on_success=call("c")), session=session)
        session.commit()
    assert [one.name for one in on_own_database(tq).drain()] == ["note"] * 3
    assert tq.workflows.get(kept.id).done == 3


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_a_workflow_from_asynchronous_code(tq: TomQueue, engine: Engine, call: Call) -> None:
    """In a transaction of its own, and in that of an AsyncSession."""
    asynchronous = create_async_engine(engine.url.set(drivername="sqlite+aiosqlite"))

    async def enqueue() -> list[int]:
        alone = await tq.aenqueue(chain(call("a"), call("b")))
        async with AsyncSession(asynchronous) as session:
            joined = await tq.aenqueue(chain(call("c"), call("d")), session=session)
            await session.commit()
        await asynchronous.dispose()
        return [alone.id, joined.id]

    assert asyncio.run(enqueue()) == [1, 2]
    assert len(on_own_database(tq).drain()) == 4


def test_inline_its_jobs_run_one_after_another(tq: TomQueue, call: Call, notes: list[str]) -> None:
    """Without rows; an error ends it there and reaches the caller."""
    tq.delay_jobs = False
    workflow = tq.enqueue(chain(call("a"), group(call("b"), call("c"), on_success=call("d"))))
    assert (notes, workflow.id, workflow.state, workflow.done) == (list("abcd"), 0, WorkflowState.SUCCEEDED, 4)
    with pytest.raises(Discard):
        tq.enqueue(chain(call("bad"), call("never")))
    assert notes[4:] == ["bad"]


def test_a_predicate_delays_a_workflow_as_a_whole(tq: TomQueue, call: Call, notes: list[str]) -> None:
    """One link that is to be delayed delays all: none runs before its turn."""
    tq.delay_jobs = lambda draft: "later" in draft.payload
    tq.enqueue(chain(call("later"), call("now")))
    assert notes == []
    assert [one.name for one in on_own_database(tq).drain()] == ["note", "note"]


POINTS = (
    "worker.after_claim",
    "worker.after_job",
    "worker.before_flush",
    "worker.after_finish",
    "store.before_commit",
    "store.after_commit",
)


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_that_is_killed_loses_no_link_and_no_callback(
    tq: TomQueue, kind: str, tmp_path: Path, point: str
) -> None:
    """At every step, the first time, the second …, until it is not reached any more. Each job has an effect, in order.

    A job may run twice (its process died before its end was written), and still its end counts once.
    """
    ran = tmp_path / "ran"

    @tq.job(name="mark")
    def mark(text: str) -> None:
        with ran.open("a") as file:
            file.write(f"{text}\n")

    call, kit = mark.prepare, on_own_database(tq)
    for times in range(1, 40, 1 if kind == "sqlite" else 4):  # a server takes its time over each dead client
        ran.write_text("")
        said = chain(call("a"), group(call("b"), call("c"), on_success=call("ok"), on_complete=call("over")), call("z"))
        workflow = tq.enqueue(said)
        try:
            kit.crash_at(point, times=times)
        except NotReached:
            break
        kit.drain()
        marks = ran.read_text().split()
        assert set(Counter(marks)) == {"a", "b", "c", "ok", "over", "z"}
        assert max(Counter(marks).values()) <= 2
        assert list(dict.fromkeys(one for one in marks if one in ["a", "ok", "z"])) == ["a", "ok", "z"]
        found = tq.workflows.get(workflow.id)
        assert (found.state, found.done) == (WorkflowState.SUCCEEDED, 6)
    else:
        raise AssertionError(f"{point} is reached again and again")
    assert times > 1
