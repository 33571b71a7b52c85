"""A job is announced once its caller's transaction has committed, and is not there if it rolled back."""

import logging
from contextlib import suppress

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from tests.integration.transactional_enqueue.application import SERVERS, Application, Order
from tomqueue.job import Job


def test_a_commit_announces_what_a_session_enqueued(app: Application, session: Session) -> None:
    """Nothing is announced before COMMIT, all of it after; data and job commit together."""
    session.add(Order(number=1))
    job = app.send.using(session=session).enqueue(1)
    assert (app.announced, app.rows()) == ([], [])
    session.commit()
    assert (app.announced, app.rows()) == ([1], [1])
    assert app.tq.jobs.get(job.id).announced_at == job.announced_at
    assert session.get(Order, 1) is not None


def test_a_rollback_drops_what_a_session_enqueued(app: Application, session: Session) -> None:
    """After a rollback there is neither the row nor the news, also when the session commits something later."""
    app.send.using(session=session).enqueue(1)
    session.rollback()
    session.add(Order(number=1))
    session.commit()
    assert (app.announced, app.rows()) == ([], [])


def test_closing_a_session_without_commit_rolls_back(app: Application) -> None:
    """A session that is closed or left by an exception announces nothing, then or later."""
    with Session(app.engine) as session:
        app.send.using(session=session).enqueue(1)
    with suppress(ZeroDivisionError), Session(app.engine) as session, session.begin():
        app.send.using(session=session).enqueue(2)
        raise ZeroDivisionError
    with Session(app.engine) as session, session.begin():
        session.add(Order(number=1))
    assert (app.announced, app.rows()) == ([], [])


def test_a_connection_is_a_transaction_as_well(app: Application) -> None:
    """The same with a Core Connection: one transaction rolls back, the next commits."""
    with app.engine.connect() as connection:
        app.send.using(connection=connection).enqueue(1)
        connection.rollback()
        app.send.using(connection=connection).enqueue(2)
        assert app.announced == []
        connection.commit()
    with app.engine.begin() as connection:
        app.send.using(connection=connection).enqueue(3)
    assert (app.announced, app.rows()) == ([2, 3], [2, 3])


@pytest.mark.parametrize("commits", [True, False])
def test_many_are_one_transaction_with_the_caller(app: Application, session: Session, commits: bool) -> None:
    """``enqueue_many(session=)`` announces in the order of the calls, after the commit or never."""
    app.tq.enqueue_many([app.send.prepare(number) for number in range(20)], session=session)
    assert app.announced == []
    session.commit() if commits else session.rollback()
    expected = list(range(20)) if commits else []
    assert (app.announced, app.rows()) == (expected, expected)


def test_a_scoped_session_enqueues_in_its_threads_session(app: Application) -> None:
    """A scoped_session stands for the session behind it."""
    scoped = scoped_session(sessionmaker(app.engine))
    app.send.using(session=scoped).enqueue(1)
    scoped.rollback()
    app.send.using(session=scoped).enqueue(2)
    assert app.announced == []
    scoped.commit()
    scoped.remove()
    assert (app.announced, app.rows()) == ([2], [2])


def test_a_pooled_connection_carries_nothing_into_the_next_transaction(app: Application) -> None:
    """Its next user finds nothing left to announce, also after an error and an invalidation."""
    with Session(app.engine) as session:
        app.send.using(session=session).enqueue(1)
        session.commit()
    with Session(app.engine) as session:
        app.send.using(session=session).enqueue(2)
        with pytest.raises(DBAPIError):
            session.execute(text("SELECT * FROM no_such_table"))
    with Session(app.engine) as session:
        app.send.using(session=session).enqueue(3)
        session.invalidate()
    with Session(app.engine) as session, session.begin():
        session.add(Order(number=1))
    assert (app.announced, app.rows()) == ([1], [1])


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_an_open_transaction_keeps_nobody_from_a_new_queue(app: Application) -> None:
    """The first job of a queue in a long transaction does not make others wait who enqueue there."""
    with Session(app.engine) as first, Session(app.engine) as second:
        app.send.using(session=first, queue="new").enqueue(1)
        app.send.using(session=second, queue="new").enqueue(2)
        second.commit()
        assert (app.announced, app.rows()) == ([2], [2])
        first.commit()
    assert (app.announced, app.rows()) == ([2, 1], [1, 2])


def test_what_a_subscriber_raises_does_not_reach_the_caller(
    app: Application, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    """A commit succeeds whatever its observers do; later subscribers and jobs are told all the same."""
    seen: list[int] = []

    def fail(job: Job) -> None:
        seen.append(job.id)
        raise ZeroDivisionError

    app.tq.on("job.enqueued", fail)
    jobs = [app.send.using(session=session).enqueue(number) for number in (1, 2)]
    with caplog.at_level(logging.CRITICAL, logger="tomqueue"):
        session.commit()
    assert seen == [job.id for job in jobs]
    assert (app.announced, app.rows()) == ([1, 2], [1, 2])
