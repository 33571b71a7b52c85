"""Savepoints: what is rolled back to is dropped, what is released waits for the outermost commit."""

from contextlib import suppress

import pytest
from sqlalchemy.orm import Session

from tests.integration.transactional_enqueue.application import Application, Order


def test_a_release_announces_nothing_yet(app: Application, session: Session) -> None:
    """The end of a savepoint is no commit: the news waits for the outermost one."""
    with session.begin_nested():
        app.send.using(session=session).enqueue(1)
    assert app.announced == []
    session.commit()
    assert (app.announced, app.rows()) == ([1], [1])


def test_a_release_and_then_a_rollback_leave_nothing(app: Application, session: Session) -> None:
    """A released savepoint is lost with its transaction."""
    session.add(Order(number=1))
    session.flush()
    with session.begin_nested():
        app.send.using(session=session).enqueue(1)
    session.rollback()
    session.commit()
    assert (app.announced, app.rows()) == ([], [])


def test_a_rollback_to_a_savepoint_drops_what_came_after_it(app: Application, session: Session) -> None:
    """Jobs before and after the savepoint commit, those inside do not."""
    app.send.using(session=session).enqueue(1)
    savepoint = session.begin_nested()
    app.send.using(session=session).enqueue(2)
    savepoint.rollback()
    app.send.using(session=session).enqueue(3)
    session.commit()
    assert (app.announced, app.rows()) == ([1, 3], [1, 3])


def test_a_savepoint_older_than_the_first_job_takes_it_back(app: Application, session: Session) -> None:
    """A savepoint that was open when TomQueue first saw the transaction counts like any other."""
    outer = session.begin_nested()
    inner = session.begin_nested()
    app.send.using(session=session).enqueue(1)
    inner.commit()
    app.send.using(session=session).enqueue(2)
    outer.rollback()
    app.send.using(session=session).enqueue(3)
    session.commit()
    assert (app.announced, app.rows()) == ([3], [3])


@pytest.mark.parametrize(
    ("inner_commits", "outer_commits", "left"),
    [(True, True, [1, 2, 3, 4]), (False, True, [1, 2, 4]), (True, False, [1, 4]), (False, False, [1, 4])],
)
def test_nested_savepoints(
    app: Application, session: Session, inner_commits: bool, outer_commits: bool, left: list[int]
) -> None:
    """An inner savepoint is lost with itself or with the one around it."""
    app.send.using(session=session).enqueue(1)
    outer = session.begin_nested()
    app.send.using(session=session).enqueue(2)
    inner = session.begin_nested()
    app.send.using(session=session).enqueue(3)
    inner.commit() if inner_commits else inner.rollback()
    outer.commit() if outer_commits else outer.rollback()
    app.send.using(session=session).enqueue(4)
    assert app.announced == []
    session.commit()
    assert (app.announced, app.rows()) == (left, left)


def test_savepoints_one_after_the_other(app: Application, session: Session) -> None:
    """Released and rolled-back savepoints of one transaction do not get in each other's way."""
    for number in range(8):
        savepoint = session.begin_nested()
        app.send.using(session=session).enqueue(number)
        savepoint.rollback() if number % 3 == 0 else savepoint.commit()
    session.commit()
    assert (app.announced, app.rows()) == ([1, 2, 4, 5, 7], [1, 2, 4, 5, 7])


def test_savepoints_of_a_connection(app: Application) -> None:
    """The same with a Core Connection."""
    with app.engine.begin() as connection:
        with connection.begin_nested():
            app.send.using(connection=connection).enqueue(1)
        with suppress(ZeroDivisionError), connection.begin_nested():
            app.send.using(connection=connection).enqueue(2)
            raise ZeroDivisionError
    assert (app.announced, app.rows()) == ([1], [1])
