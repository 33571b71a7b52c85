"""``TomQueue(engine=…)``: the application's own Engine, whatever its pool, and a schema for the tables."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import (
    AssertionPool,
    Engine,
    NullPool,
    QueuePool,
    StaticPool,
    create_engine,
    inspect,
    text,
)
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tests.integration.transactional_enqueue.application import SERVERS, Base, Order, install, over
from tomqueue import TomQueue, configure_sqlite


@pytest.fixture
def engine_of(url: str) -> Callable[..., Engine]:
    """Give a maker of Engines of a database with all tables."""
    install(url)

    def make(**options: Any) -> Engine:
        engine = create_engine(url, **options)
        if engine.dialect.name == "sqlite":
            configure_sqlite(engine)
        Base.metadata.create_all(engine)
        return engine

    return make


@pytest.mark.parametrize(
    "options",
    [
        {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0, "pool_timeout": 1},
        {"poolclass": NullPool},
        {"poolclass": StaticPool},
        {"poolclass": AssertionPool},
    ],
    ids=lambda options: options["poolclass"].__name__,
)
def test_a_pool_of_any_kind(url: str, engine_of: Callable[..., Engine], options: dict[str, Any]) -> None:
    """TomQueue connects as the Engine does, and takes no connection from its pool: one that is used up harms nobody."""
    engine = engine_of(**options)
    app = over(url, engine, TomQueue(engine=engine))
    with Session(engine) as session:
        session.get(Order, 1)
        app.send.using(session=session, queue="first").enqueue(1)
        assert app.rows() == []
        session.commit()
        assert (app.announced, app.rows()) == ([1], [1])
        app.send.enqueue(2)
        app.send.using(session=session, queue="second").enqueue(3)
        session.rollback()
    assert (app.announced, app.rows()) == ([1, 2], [1, 2])
    app.tq.close()
    engine.dispose()


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_the_engines_own_way_to_connect(url: str) -> None:
    """An Engine whose URL says nothing, because its ``creator`` connects, is enough: TomQueue connects by it, too."""
    install(url)
    named = create_engine(url)
    _, arguments = named.dialect.create_connect_args(named.url)
    engine = create_engine(f"{named.url.drivername}://", creator=lambda: named.dialect.connect(**arguments))
    app = over(url, engine, TomQueue(engine=engine))
    with Session(engine) as session:
        app.send.using(session=session).enqueue(1)
        session.commit()
    app.send.enqueue(2)
    assert (app.announced, app.rows()) == ([1, 2], [1, 2])
    app.tq.close()
    engine.dispose()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"], indirect=True)
def test_an_engine_and_an_async_engine_at_once(url: str, engine_of: Callable[..., Engine]) -> None:
    """One TomQueue serves both sides of an application."""
    engine = engine_of()
    app = over(url, engine, TomQueue(engine=engine))

    async def asynchronously() -> None:
        driver = url.replace("sqlite://", "sqlite+aiosqlite://")
        other = create_async_engine(driver)
        if engine.dialect.name == "sqlite":
            configure_sqlite(other)
        async with AsyncSession(other) as session:
            await app.send.using(session=session).aenqueue(1)
            await session.commit()
            await app.send.using(session=session).aenqueue(2)
            await session.rollback()
        await other.dispose()

    with Session(engine) as session:
        app.send.using(session=session).enqueue(3)
        session.commit()
        asyncio.run(asynchronously())
        app.send.using(session=session).enqueue(4)
        session.commit()
    assert (app.announced, app.rows()) == ([3, 1, 4], [1, 3, 4])
    app.tq.close()
    engine.dispose()


@pytest.mark.parametrize("kind", ["postgres"], indirect=True)
def test_a_schema_for_the_tables(url: str) -> None:
    """With ``schema=`` every statement goes to the tables in it, and none are elsewhere."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA jobs"))
    install(url, schema="jobs")
    app = over(url, engine, TomQueue(engine=engine, schema="jobs"))
    with Session(engine) as session:
        app.send.using(session=session).enqueue(1)
        session.rollback()
        app.send.using(session=session).enqueue(2)
        session.commit()
    app.send.enqueue(3)
    assert (app.announced, app.rows()) == ([2, 3], [2, 3])
    assert "tomqueue_jobs" in inspect(engine).get_table_names(schema="jobs")
    assert inspect(engine).get_table_names() == []
    app.tq.close()
    engine.dispose()
