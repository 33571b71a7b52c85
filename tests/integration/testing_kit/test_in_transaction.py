"""The kit inside a transaction of the test's, which is rolled back."""

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tests.integration.testing_kit.conftest import transaction
from tomqueue import JobContext, TomQueue
from tomqueue.testing import NeedsCommits, in_transaction, on_own_database


def test_the_usual_fixture_of_a_joined_session(tq: TomQueue, engine: Engine) -> None:
    """The application's commits release savepoints; its jobs are seen, run and rolled back with everything."""
    with transaction(engine) as connection:
        session = Session(connection, join_transaction_mode="create_savepoint")

        @tq.job(name="note")
        def note(text: str) -> None:
            note_again.using(session=session).enqueue(text)
            session.commit()

        @tq.job(name="note_again")
        def note_again(text: str) -> None: ...

        with in_transaction(tq, session) as kit:
            note.using(session=session).enqueue("a")
            session.commit()
            kit.assert_enqueued(note, ["a"])
            assert [one.name for one in kit.drain()] == ["note", "note_again"]
        session.close()
    assert tq.jobs.count() == 0


def test_an_atomic_jobs_failure_undoes_its_own_writes_only(tq: TomQueue, engine: Engine) -> None:
    """By a savepoint: the test's transaction goes on."""

    @tq.job(name="write", atomic=True, max_attempts=1)
    def write(ctx: JobContext, text: str) -> None:
        ctx.connection.exec_driver_sql(f"INSERT INTO notes VALUES ('{text}')")
        if text == "bad":
            ctx.session().commit()  # only flushes
            raise ValueError(text)

    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE notes (text VARCHAR(20))")
    with transaction(engine) as connection, in_transaction(tq, connection) as kit:
        write.enqueue("good")
        write.enqueue("bad")
        assert [one.outcome for one in kit.drain(raise_errors=False)] == ["finished", "failed"]
        assert connection.exec_driver_sql("SELECT text FROM notes").scalars().all() == ["good"]
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT text FROM notes").scalars().all() == []


def test_nothing_of_the_block_stays(tq: TomQueue, engine: Engine) -> None:
    """After it, an enqueue is a transaction of its own again."""

    @tq.job(name="note")
    def note() -> None: ...

    with transaction(engine) as connection, in_transaction(tq, connection):
        note.enqueue()
    job = note.enqueue()
    assert [one.id for one in tq.jobs.list()] == [job.id]


def test_lost_news_is_what_a_commit_would_have_sent(tq: TomQueue, engine: Engine) -> None:
    """Of jobs that are ready and were not before; a savepoint that is rolled back takes its news with it."""

    @tq.job(name="note")
    def note(text: str) -> None:
        if text == "first":
            note.enqueue("second")

    with transaction(engine) as connection, in_transaction(tq, connection) as kit:
        note.enqueue("before")
        with kit.lose_news() as lost:
            first = note.enqueue("first")
            note.using(delay=60).enqueue("later")
            savepoint = connection.begin_nested()
            note.enqueue("undone")
            savepoint.rollback()
            assert lost.jobs == [first.id]
            ran = kit.drain()
            last = note.enqueue("last")
        note.enqueue("after")
        assert lost.jobs == [first.id, ran[2].id, last.id]
        assert [one.job_id for one in lost.notifications] == lost.jobs
        assert len(kit.drain()) == 2


def test_a_crash_needs_commits(tq: TomQueue, engine: Engine) -> None:
    """A dead process takes its transaction with it; the error says what to use for such a test."""
    with transaction(engine) as connection, in_transaction(tq, connection) as kit:
        for made in (kit, on_own_database(tq)):
            with pytest.raises(NeedsCommits, match=r"committed.*tomqueue_kit.*on_temporary_database.*on_own_database"):
                made.crash_at("worker.after_job")
