"""Two-phase transactions: a job is announced by the second phase."""

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.integration.transactional_enqueue.application import SERVERS, Application, Order

pytestmark = pytest.mark.parametrize("kind", SERVERS, indirect=True)


@pytest.fixture(autouse=True)
def _prepared_transactions(app: Application, kind: str) -> None:
    """Skip on a server of the developer's own that forbids them."""
    if kind == "postgres":
        with app.engine.connect() as connection:
            if connection.execute(text("SHOW max_prepared_transactions")).scalar_one() == "0":
                pytest.skip("this PostgreSQL has max_prepared_transactions = 0")


@pytest.mark.parametrize("commits", [True, False])
def test_a_session_of_two_phases(app: Application, commits: bool) -> None:
    """PREPARE announces nothing; COMMIT PREPARED does, and ROLLBACK PREPARED never."""
    with Session(app.engine, twophase=True) as session:
        session.add(Order(number=1))
        app.send.using(session=session).enqueue(1)
        session.prepare()
        assert app.announced == []
        session.commit() if commits else session.rollback()
        assert app.announced == ([1] if commits else [])
        session.add(Order(number=2))
        session.commit()
    assert app.rows() == app.announced == ([1] if commits else [])


@pytest.mark.parametrize("prepares", [True, False])
@pytest.mark.parametrize("commits", [True, False])
def test_a_connection_of_two_phases(app: Application, prepares: bool, commits: bool) -> None:
    """The same with a Core Connection, prepared or not, with a savepoint that was taken back."""
    with app.engine.connect() as connection:
        transaction = connection.begin_twophase()
        app.send.using(connection=connection).enqueue(1)
        savepoint = connection.begin_nested()
        app.send.using(connection=connection).enqueue(2)
        savepoint.rollback()
        if prepares:
            transaction.prepare()
        transaction.commit() if commits else transaction.rollback()
    assert app.rows() == app.announced == ([1] if commits else [])
