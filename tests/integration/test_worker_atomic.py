"""``atomic=True``: what a job writes, what it enqueues and its finish commit together, or not at all."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.harness import Reporter, record_events, row, store_of, work
from tomqueue import JobContext, Retry, TomQueue
from tomqueue.errors import DefinitionError


class Base(DeclarativeBase):
    """The application's models."""


class Note(Base):
    """A row of the application's own."""

    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(unique=True)


NOTES = Table(
    "notes", MetaData(), Column("id", Integer, primary_key=True), Column("text", String, unique=True)
)  # same table, for Core


@pytest.fixture
def notes(tq: TomQueue) -> Iterator[Callable[[], list[str]]]:
    """Make the application's table beside the jobs; give what reads it."""
    engine = create_engine(store_of(tq).engine.url)
    Base.metadata.create_all(engine)

    def read() -> list[str]:
        with engine.connect() as connection:
            return list(connection.execute(select(NOTES.c.text).order_by(NOTES.c.id)).scalars())

    yield read
    engine.dispose()


def path_of(tq: TomQueue) -> Path:
    """Return the database's file."""
    return Path(str(store_of(tq).engine.url.database))


def by_connection(ctx: JobContext, text: str) -> None:
    """Write by Core."""
    ctx.connection.execute(NOTES.insert().values(text=text))


def by_session(ctx: JobContext, text: str) -> None:
    """Write by the ORM; nobody flushes."""
    ctx.session().add(Note(text=text))


def by_committed_session(ctx: JobContext, text: str) -> None:
    """Write by the ORM; commit as one is used to."""
    with ctx.session() as session:
        session.add(Note(text=text))
        session.commit()


Write = Callable[[JobContext, str], None]
WRITES = pytest.mark.parametrize("write", [by_connection, by_session, by_committed_session])


@WRITES
def test_writes_commit_with_the_finish(tq: TomQueue, notes: Callable[[], list[str]], write: Write) -> None:
    """After a success the write is there and the row is gone; before, nobody else sees the write."""
    seen: list[list[str]] = []

    @tq.job(atomic=True)
    def note(ctx: JobContext) -> None:
        write(ctx, "done")
        seen.append(notes())

    job = note.enqueue()
    events = record_events(tq)
    work(tq)
    assert (seen, notes(), row(tq, job.id)) == ([[]], ["done"], None)
    assert events.count("job.finished") == 1


@WRITES
def test_an_error_rolls_the_writes_back(tq: TomQueue, notes: Callable[[], list[str]], write: Write) -> None:
    """The attempt is charged, and nothing that it wrote or enqueued is left."""

    @tq.job
    def other() -> None: ...

    @tq.job(atomic=True)
    def note(ctx: JobContext) -> None:
        write(ctx, "half")
        other.enqueue()
        raise Retry(delay=60)

    job = note.enqueue()
    work(tq)
    assert notes() == []
    assert [left.id for left in tq.jobs.list()] == [job.id]
    assert row(tq, job.id).attempts == 1


def test_what_it_enqueues_joins_it(tq: TomQueue, notes: Callable[[], list[str]]) -> None:
    """A job enqueued inside is there when the transaction commits, runs, and is told of only then."""
    order: list[str] = []
    tq.on("job.enqueued", lambda job: order.append("enqueued"))

    @tq.job
    def other() -> None:
        order.append("ran")

    @tq.job(atomic=True)
    def note(ctx: JobContext) -> None:
        by_connection(ctx, "x")
        other.enqueue()
        assert len(tq.jobs.list(name=other.name)) == 0
        order.append("body")

    note.enqueue()
    work(tq)
    assert order == ["enqueued", "body", "enqueued", "ran"]
    assert notes() == ["x"]


def test_a_job_that_writes_nothing_is_finished(tq: TomQueue) -> None:
    """The transaction is opened for the finish alone."""

    @tq.job(atomic=True)
    def idle() -> None: ...

    job = idle.enqueue()
    work(tq)
    assert row(tq, job.id) is None


@pytest.mark.parametrize("column", ["claim_token", "gone"])
def test_a_lost_claim_rolls_back(tq: TomQueue, notes: Callable[[], list[str]], column: str) -> None:
    """A row that changed hands, or was deleted, while the job ran: nothing is written, and an event says so."""

    @tq.job(atomic=True)
    def note(ctx: JobContext) -> None:
        with sqlite3.connect(path_of(tq)) as thief:
            if column == "gone":
                thief.execute("DELETE FROM tomqueue_jobs WHERE id = ?", (ctx.id,))
            else:
                thief.execute("UPDATE tomqueue_jobs SET claim_token = 5, locked_by = 99 WHERE id = ?", (ctx.id,))
        thief.close()
        by_connection(ctx, "stolen")

    job = note.enqueue()
    events = record_events(tq)
    work(tq)
    assert notes() == []
    assert events.count("job.claim_lost") == 1
    assert "job.finished" not in events
    found = row(tq, job.id)
    assert found is None if column == "gone" else (found.claim_token, found.attempts) == (5, 1)


@pytest.mark.parametrize("write", [by_connection, by_session])
def test_a_violated_constraint_is_the_jobs_failure(
    tq: TomQueue, notes: Callable[[], list[str]], reporter: Reporter, write: Write
) -> None:
    """What the database says to the job's own writes is its error, also when they are flushed at the end."""

    @tq.job(atomic=True, max_attempts=1)
    def note(ctx: JobContext) -> None:
        write(ctx, "same")

    good, bad = note.enqueue(), note.enqueue()
    work(tq)
    assert row(tq, good.id) is None
    assert "UNIQUE constraint failed" in row(tq, bad.id).last_error
    assert row(tq, bad.id).failed_at is not None
    assert [type(error) for error in reporter.errors] == [IntegrityError]
    assert notes() == ["same"]


def test_a_hook_that_hangs_after_the_commit_does_not_undo_it(
    tq: TomQueue, notes: Callable[[], list[str]], reporter: Reporter
) -> None:
    """A time-out after the commit is reported; the job has finished."""

    @tq.job(name="hangs", atomic=True, max_run_time=0.05)
    class Hangs:
        def process(self, ctx: JobContext) -> None:
            by_connection(ctx, "done")

        def success(self, ctx: JobContext) -> None:
            while True:
                pass

    job = tq.enqueue(Hangs())
    events = record_events(tq)
    work(tq)
    assert (row(tq, job.id), notes()) == (None, ["done"])
    assert [type(error).__name__ for error in reporter.errors] == ["JobTimeout"]
    assert events.count("job.finished") == 1
    assert "job.claim_lost" not in events


def test_a_plain_job_has_no_transaction(tq: TomQueue) -> None:
    """The error says what to declare."""
    raised: list[DefinitionError] = []

    @tq.job
    def plain(ctx: JobContext) -> None:
        for use in (lambda: ctx.connection, ctx.session):
            with pytest.raises(DefinitionError, match="atomic=True") as info:
                use()
            raised.append(info.value)

    job = plain.enqueue()
    work(tq)
    assert len(raised) == 2
    assert row(tq, job.id) is None
