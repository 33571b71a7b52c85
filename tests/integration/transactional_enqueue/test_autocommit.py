"""AUTOCOMMIT: every statement commits by itself, so a job is announced as soon as its row is there."""

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from tests.integration.transactional_enqueue.application import Application, Order
from tomqueue import configure_sqlite


@pytest.mark.parametrize("configured", [True, False])
def test_an_engine_in_autocommit(app: Application, kind: str, configured: bool) -> None:
    """An Engine made with the isolation level AUTOCOMMIT announces at once and rolls nothing back."""
    engine = create_engine(app.url, isolation_level="AUTOCOMMIT")
    if configured and kind == "sqlite":
        configure_sqlite(engine)
    with Session(engine) as session:
        app.send.using(session=session).enqueue(1)
        assert (app.announced, app.rows()) == ([1], [1])
        session.rollback()
        app.tq.enqueue_many([app.send.prepare(2), app.send.prepare(3)], session=session)
    assert (app.announced, app.rows()) == ([1, 2, 3], [1, 2, 3])
    engine.dispose()


def test_a_connection_in_autocommit(app: Application) -> None:
    """So does one Connection of an Engine that has transactions otherwise, which it has again afterwards."""
    with app.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        app.send.using(connection=connection).enqueue(1)
        assert (app.announced, app.rows()) == ([1], [1])
        connection.rollback()
    with Session(app.engine) as session:
        app.send.using(session=session).enqueue(2)
        session.rollback()
        app.send.using(session=session).enqueue(3)
        assert app.announced == [1]
        session.commit()
    assert (app.announced, app.rows()) == ([1, 3], [1, 3])


def test_a_session_in_autocommit(app: Application) -> None:
    """A session can choose it for its connection."""
    with Session(app.engine) as session:
        session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        app.send.using(session=session).enqueue(1)
        assert app.announced == [1]
        session.add(Order(number=1))
        session.commit()
    assert (app.announced, app.rows()) == ([1], [1])
