"""A session joined to a transaction of someone else, which decides: the usual fixture of an application's tests."""

from typing import Literal

import pytest
from sqlalchemy.orm import Session

from tests.integration.transactional_enqueue.application import Application, Order

Mode = Literal["conditional_savepoint", "rollback_only", "control_fully", "create_savepoint"]
JOINING: tuple[Mode, ...] = ("conditional_savepoint", "rollback_only", "create_savepoint")


@pytest.mark.parametrize("mode", JOINING)
def test_the_outer_rollback_drops_what_a_joined_session_committed(app: Application, mode: Mode) -> None:
    """A test's session commits, the test rolls back: nothing was announced and nothing is there."""
    with app.engine.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode=mode) as session:
            session.add(Order(number=1))
            app.send.using(session=session).enqueue(1)
            session.commit()
            assert app.announced == []
        outer.rollback()
    assert (app.announced, app.rows()) == ([], [])


@pytest.mark.parametrize("mode", JOINING)
def test_the_outer_commit_announces_what_a_joined_session_committed(app: Application, mode: Mode) -> None:
    """The session's own commit announces nothing, the outer one all."""
    with app.engine.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode=mode) as session:
            app.send.using(session=session).enqueue(1)
            session.commit()
            app.send.using(session=session).enqueue(2)
            session.commit()
        assert app.announced == []
        outer.commit()
    assert (app.announced, app.rows()) == ([1, 2], [1, 2])


@pytest.mark.parametrize("commits", [True, False])
def test_a_session_in_full_control_decides_itself(app: Application, commits: bool) -> None:
    """With ``control_fully`` the session's commit is the outermost one."""
    with app.engine.connect() as connection:
        connection.begin()
        with Session(connection, join_transaction_mode="control_fully") as session:
            app.send.using(session=session).enqueue(1)
            session.commit() if commits else session.rollback()
            assert app.announced == ([1] if commits else [])
    assert app.rows() == app.announced


def test_a_joined_session_that_rolls_back_loses_its_own_jobs_only(app: Application) -> None:
    """With ``create_savepoint`` the session's rollback reaches back to its savepoint."""
    with app.engine.connect() as connection:
        outer = connection.begin()
        app.send.using(connection=connection).enqueue(1)
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            app.send.using(session=session).enqueue(2)
            session.rollback()
            app.send.using(session=session).enqueue(3)
            session.commit()
        outer.commit()
    assert (app.announced, app.rows()) == ([1, 3], [1, 3])


def test_a_conditional_savepoint_rolls_back_to_the_one_it_found(app: Application) -> None:
    """A session that joins a savepoint is taken back with it, and the outer transaction goes on."""
    with app.engine.connect() as connection:
        outer = connection.begin()
        connection.begin_nested()
        with Session(connection, join_transaction_mode="conditional_savepoint") as session:
            app.send.using(session=session).enqueue(1)
            session.rollback()
        app.send.using(connection=connection).enqueue(2)
        outer.commit()
    assert (app.announced, app.rows()) == ([2], [2])
