"""What ``session=`` and ``connection=`` take, and what they say to anything else."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Insert, NullPool, create_engine
from sqlalchemy.ext.asyncio import async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from tests.integration.transactional_enqueue.application import Application, Base, Order
from tomqueue.errors import EnqueueError, SchemaError, WrongColour

sqlite = pytest.mark.parametrize("kind", ["sqlite"], indirect=True)


@sqlite
@pytest.mark.parametrize("name", ["AsyncSession", "async_scoped_session", "AsyncConnection"])
def test_a_synchronous_call_refuses_an_asynchronous_caller(app: Application, name: str) -> None:
    """The wrong colour is a TypeError that names the right call; nothing is enqueued."""
    maker = async_sessionmaker(create_async_engine("sqlite+aiosqlite://"))
    callers = {
        "AsyncSession": maker(),
        "async_scoped_session": async_scoped_session(maker, scopefunc=lambda: 1),
        "AsyncConnection": maker.kw["bind"].connect(),
    }
    with pytest.raises(TypeError, match=rf"{name}: use `await ….aenqueue\(…\)`") as error:
        app.send.using(session=callers[name]).enqueue(1)
    assert isinstance(error.value, WrongColour)
    with pytest.raises(WrongColour, match=r"await tq.aenqueue_many"):
        app.tq.enqueue_many([app.send.prepare(1)], session=callers[name])
    assert (app.announced, app.rows()) == ([], [])


@sqlite
def test_an_asynchronous_call_refuses_a_synchronous_caller(app: Application, session: Session) -> None:
    """The other way round as well."""
    with app.engine.connect() as connection:
        for caller in (session, scoped_session(sessionmaker(app.engine)), connection):
            with pytest.raises(TypeError, match=rf"{type(caller).__name__}: use `….enqueue\(…\)`"):
                run(app.send.using(session=caller).aenqueue(1))
            with pytest.raises(WrongColour, match=r"tq.enqueue_many"):
                run(app.tq.aenqueue_many([app.send.prepare(1)], session=caller))
    assert (app.announced, app.rows()) == ([], [])


@sqlite
def test_something_else_is_no_transaction(app: Application) -> None:
    """Engines, session makers and other objects are refused by both colours, in words that say what is taken."""
    engine = create_async_engine("sqlite+aiosqlite://")
    for thing in (app.engine, engine, sessionmaker(app.engine), async_sessionmaker(engine), "session", 7):
        message = f"takes a SQLAlchemy Session, AsyncSession, .*not {type(thing).__name__}"
        with pytest.raises(EnqueueError, match=message):
            app.send.using(session=thing).enqueue(1)
        with pytest.raises(EnqueueError, match=message):
            run(app.send.using(session=thing).aenqueue(1))
    assert (app.announced, app.rows()) == ([], [])


@sqlite
def test_two_callers_are_one_too_many(app: Application, session: Session) -> None:
    """A session and a connection at once are refused, for one job and for many."""
    with app.engine.connect() as connection:
        with pytest.raises(EnqueueError, match="session and connection are both given"):
            app.send.using(session=session, connection=connection).enqueue(1)
        with pytest.raises(EnqueueError, match="session and connection are both given"):
            app.tq.enqueue_many([app.send.prepare(1)], session=session, connection=connection)


@sqlite
def test_a_session_with_engines_for_some_models_only(app: Application) -> None:
    """Such a session does not know where jobs belong: the error says how to tell it, and that works."""
    with Session(binds={Order: app.engine}) as session:
        with pytest.raises(EnqueueError, match=r"connection=session\.connection\(bind_arguments="):
            app.send.using(session=session).enqueue(1)
        app.send.using(connection=session.connection(bind_arguments={"mapper": Order})).enqueue(2)
        session.commit()
    assert (app.announced, app.rows()) == ([2], [2])


def test_a_session_with_an_engine_beside_those_for_some_models(app: Application, elsewhere: Engine) -> None:
    """Jobs go where everything goes that has no engine of its own; both commit, and the job is announced once."""
    with Session(app.engine, binds={Order: elsewhere}) as session:
        session.add(Order(number=1))
        app.send.using(session=session).enqueue(1)
        session.commit()
        app.send.using(session=session).enqueue(2)
        session.rollback()
    assert (app.announced, app.rows()) == ([1], [1])


@sqlite
def test_a_session_that_routes_its_writes(app: Application, elsewhere: Engine) -> None:
    """A session that sends INSERTs to one engine and reads to another sends jobs to the first."""

    class Routing(Session):
        def get_bind(self, mapper: Any = None, *, clause: Any = None, **more: Any) -> Engine | Connection:
            return app.engine if self._flushing or isinstance(clause, Insert) else elsewhere

    with Routing() as session:
        app.send.using(session=session).enqueue(1)
        session.commit()
    assert (app.announced, app.rows()) == ([1], [1])


def test_a_session_of_another_kind_of_database(app: Application, kind: str, elsewhere: Engine) -> None:
    """Rows cannot be written by a transaction of another database, and the error names both."""
    expected = "the jobs are in .*only a transaction of the same file" if kind == "sqlite" else "is one of sqlite and"
    with Session(elsewhere) as session:
        with pytest.raises(EnqueueError, match=expected):
            app.send.using(session=session).enqueue(1)
        session.commit()
    with Session(create_engine("sqlite://")) as session, pytest.raises(EnqueueError, match="is one of"):
        app.send.using(session=session).enqueue(1)
    assert (app.announced, app.rows()) == ([], [])


@sqlite
def test_a_session_that_attached_the_file_of_the_jobs(app: Application, elsewhere: Engine) -> None:
    """SQLite finds the jobs in an attached file, so that a session of another main file can write them."""
    with Session(elsewhere) as session:
        session.connection().exec_driver_sql(f"ATTACH '{app.engine.url.database}' AS jobs")
        app.send.using(session=session).enqueue(1)
        session.commit()
    assert (app.announced, app.rows()) == ([1], [1])


@pytest.mark.parametrize("kind", ["postgres"], indirect=True)
def test_a_session_of_another_database_of_the_server(app: Application) -> None:
    """There are no tables of TomQueue there: the error says so, and the caller's transaction can only roll back."""
    engine = create_engine(app.engine.url.set(database="postgres"), poolclass=NullPool)
    with Session(engine) as session:
        with pytest.raises(SchemaError, match="tomqueue migrate"):
            app.send.using(session=session).enqueue(1)
        session.rollback()
    assert (app.announced, app.rows()) == ([], [])


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Engine]:
    """Give an Engine of another database, which has the application's tables and none of TomQueue."""
    engine = create_engine(f"sqlite:///{tmp_path / 'elsewhere.db'}")
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def run(awaitable: Any) -> Any:
    """Run a coroutine to its end."""
    return asyncio.run(awaitable)
