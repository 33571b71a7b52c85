"""The kit inside a transaction of the test's, which is rolled back."""

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tests.integration.testing_kit.conftest import transaction
from tomqueue import JobContext, TomQueue
from tomqueue.testing import in_transaction


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
