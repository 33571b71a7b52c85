"""Unique jobs in the caller's transaction: what meets a held key goes on, and is told of after the commit."""

import asyncio

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tests.harness import record_events, work
from tests.integration.transactional_enqueue.application import SERVERS, Application, Order
from tomqueue import State, configure_sqlite


def test_a_session_goes_on(app: Application, session: Session) -> None:
    """Its own rows are committed with it; events come after the commit."""
    events = record_events(app.tq)
    send = app.send.using(session=session, unique="k")
    session.add(Order(number=1))
    first = send.enqueue(1)
    session.add(Order(number=2))
    second = send.enqueue(2)
    session.add(Order(number=3))
    assert (second.id, second.is_existing) == (first.id, True)
    assert events == []
    session.commit()
    assert events == ["job.enqueued", "job.deduplicated"]
    assert session.query(Order).count() == 3
    assert app.rows() == [1]


def test_a_savepoint_that_is_taken_back_frees_its_key(app: Application, session: Session) -> None:
    """So that the next one makes the job."""
    send = app.send.using(session=session, unique="k")
    with session.begin_nested() as savepoint:
        send.enqueue(1)
        savepoint.rollback()
    assert not send.enqueue(2).is_existing
    session.commit()
    assert app.rows() == [2]


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ"])
def test_the_job_that_is_there_starts_after_the_commit(app: Application, level: str) -> None:
    """It may be needed to see what the transaction writes: until then a worker passes over it."""
    first = app.send.using(unique="k").enqueue(1)
    with app.engine.connect().execution_options(isolation_level=level) as connection:
        assert app.send.using(connection=connection, unique="k").enqueue(2).id == first.id
        work(app.tq)
        assert app.tq.jobs.get(first.id).state is State.READY
        connection.commit()
    work(app.tq)
    assert app.rows() == []


@pytest.mark.parametrize("kind", ["sqlite", "postgres"], indirect=True)
def test_an_async_session_goes_on(app: Application) -> None:
    """``aenqueue`` and ``aenqueue_many`` in it."""
    url = make_url(app.url)
    driver = "sqlite+aiosqlite" if url.get_backend_name() == "sqlite" else url.drivername

    async def scenario() -> None:
        engine = create_async_engine(url.set(drivername=driver))
        if url.get_backend_name() == "sqlite":
            configure_sqlite(engine)
        async with AsyncSession(engine) as session:
            send = app.send.using(session=session, unique="k")
            first = await send.aenqueue(1)
            assert (await send.aenqueue(2)).id == first.id
            many = [app.send.using(unique=key).prepare(3) for key in ("k", "other", "other")]
            jobs = await app.tq.aenqueue_many(many, session=session)
            assert [job.is_existing for job in jobs] == [True, False, True]
            await session.commit()
        await engine.dispose()

    asyncio.run(scenario())
    assert app.rows() == [1, 3]


def test_in_autocommit_each_enqueue_is_committed(app: Application) -> None:
    """There is no transaction that could go on, and none that is aborted."""
    engine = create_engine(app.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        send = app.send.using(connection=connection, unique="k")
        first = send.enqueue(1)
        assert send.enqueue(2).id == first.id
    engine.dispose()
    assert app.rows() == [1]
