"""A COMMIT that fails announces nothing, and leaves nothing behind for the next one."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from tests.integration.transactional_enqueue.application import (
    SERVERS,
    Application,
    Base,
    Order,
    application,
    over,
)
from tomqueue import TomQueue, configure_sqlite
from tomqueue.errors import StoreUnavailable


def with_foreign_keys(engine: Engine) -> None:
    """Make a table whose rows are checked against ``orders`` by COMMIT."""
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE lines (number INTEGER REFERENCES orders DEFERRABLE INITIALLY DEFERRED)"))


def insert_line(connection: Connection, number: int) -> None:
    """Insert a row for an order."""
    connection.execute(text("INSERT INTO lines (number) VALUES (:number)"), {"number": number})


@pytest.mark.parametrize("kind", ["sqlite", "postgres"], indirect=True)
def test_a_violated_deferred_constraint(app: Application, kind: str) -> None:
    """A COMMIT that a constraint refuses is none; the same connection then commits without news of the lost job."""
    with_foreign_keys(app.engine)
    with app.engine.connect() as connection:
        if kind == "sqlite":
            connection.connection.cursor().execute("PRAGMA foreign_keys = ON")
        app.send.using(connection=connection).enqueue(1)
        insert_line(connection, 404)
        with pytest.raises(IntegrityError):
            connection.commit()
        assert app.announced == []
        connection.rollback()  # on SQLite the failed COMMIT left the transaction open
        connection.execute(text("INSERT INTO orders (number) VALUES (404)"))
        app.send.using(connection=connection).enqueue(2)
        connection.commit()
    assert (app.announced, app.rows()) == ([2], [2])


@pytest.fixture
def plain(sqlite_url: str) -> Iterator[Application]:
    """Give an application on SQLite whose Engine is as SQLAlchemy makes it, and does not wait for locks."""
    engine = create_engine(sqlite_url, connect_args={"timeout": 0})
    made = application(sqlite_url, engine)
    yield made
    made.tq.close()
    engine.dispose()


def test_sqlite_is_locked(plain: Application) -> None:
    """An enqueue that finds the file locked says so, announces nothing, and can be tried again."""
    with plain.engine.connect() as other, Session(plain.engine) as session:
        other.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="another transaction holds its lock"):
            plain.send.using(session=session).enqueue(1)
        session.rollback()
        other.rollback()
        plain.send.using(session=session).enqueue(2)
        session.commit()
    assert (plain.announced, plain.rows()) == ([2], [2])


def test_sqlite_is_locked_by_the_very_transaction_that_enqueues(sqlite_url: str) -> None:
    """A new file whose only lock the caller holds already: no long wait, and an error that says what to do."""
    engine = create_engine(sqlite_url)
    configure_sqlite(engine)
    Base.metadata.create_all(engine)
    app = over(sqlite_url, engine, TomQueue(sqlite_url, database_timeout=0.1))
    with Session(engine) as session, session.begin():
        session.add(Order(number=1))
        session.flush()
        with pytest.raises(StoreUnavailable, match=r"transaction that enqueues .* run `tomqueue migrate` first"):
            app.send.using(session=session).enqueue(1)
    with Session(engine) as session, session.begin():
        app.send.using(session=session).enqueue(2)
    assert (app.announced, app.rows()) == ([2], [2])
    app.tq.close()
    engine.dispose()


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_the_server_goes_away_before_the_commit(app: Application, kind: str) -> None:
    """A connection that was cut off announces nothing, and the one that replaces it neither."""
    with Session(app.engine) as session:
        app.send.using(session=session).enqueue(1)
        cut(app.engine, session.connection(), kind)
        with pytest.raises(DBAPIError):
            session.commit()
        session.rollback()
        session.add(Order(number=1))
        session.commit()
        assert (app.announced, app.rows()) == ([], [])
        app.send.using(session=session).enqueue(2)
        session.commit()
    assert (app.announced, app.rows()) == ([2], [2])


def cut(engine: Engine, connection: Connection, kind: str) -> None:
    """End the server's side of a connection."""
    own, kill = {
        "postgres": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({}, 10000)"),
        "mariadb": ("SELECT CONNECTION_ID()", "KILL {}"),
    }[kind]
    number = connection.exec_driver_sql(own).scalar_one()
    with engine.connect() as other:
        other.exec_driver_sql(kill.format(number))
