"""``aenqueue`` in an AsyncSession, an async_scoped_session and an AsyncConnection, with an asynchronous driver."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)

from tests.integration.transactional_enqueue.application import Application, Order, application, over
from tomqueue import TomQueue, configure_sqlite
from tomqueue.job import Job

pytestmark = pytest.mark.parametrize("kind", ["sqlite", "postgres"], indirect=True)

Scenario = Callable[[AsyncEngine], Awaitable[None]]


@pytest.fixture
def async_app(url: str) -> Iterator[Application]:
    """Give an application without connections of its own yet."""
    engine = create_engine(url)
    made = application(url, engine)
    engine.dispose()
    yield made
    made.tq.close()


@asynccontextmanager
async def engine_of(app: Application, *, isolation_level: str | None = None) -> AsyncIterator[AsyncEngine]:
    """Give an AsyncEngine, which belongs to one event loop."""
    url = make_url(app.url)
    driver = "sqlite+aiosqlite" if url.get_backend_name() == "sqlite" else url.drivername
    options = {} if isolation_level is None else {"isolation_level": isolation_level}
    engine = create_async_engine(url.set(drivername=driver), **options)
    if url.get_backend_name() == "sqlite":
        configure_sqlite(engine)
    try:
        yield engine
    finally:
        await engine.dispose()


def run(app: Application, scenario: Scenario) -> None:
    """Run ``scenario`` with an AsyncEngine."""

    async def main() -> None:
        async with engine_of(app) as engine:
            await scenario(engine)

    asyncio.run(main())


def test_a_session_commits_or_rolls_back(async_app: Application) -> None:
    """As in synchronous code: after COMMIT, or never."""
    app = async_app

    async def scenario(engine: AsyncEngine) -> None:
        async with AsyncSession(engine) as session:
            session.add(Order(number=1))
            await app.send.using(session=session).aenqueue(1)
            assert app.announced == []
            await session.commit()
            assert app.announced == [1]
            await app.send.using(session=session).aenqueue(2)
            await session.rollback()
            await app.tq.aenqueue_many([app.send.prepare(3), app.send.prepare(4)], session=session)
            await session.commit()
        async with AsyncSession(engine) as session:
            await app.send.using(session=session).aenqueue(5)

    run(app, scenario)
    assert (app.announced, app.rows()) == ([1, 3, 4], [1, 3, 4])


def test_savepoints(async_app: Application) -> None:
    """A savepoint that is taken back drops its jobs, also one that is older than the first job."""
    app = async_app

    async def scenario(engine: AsyncEngine) -> None:
        async with AsyncSession(engine) as session:
            savepoint = await session.begin_nested()
            await app.send.using(session=session).aenqueue(1)
            await savepoint.rollback()
            async with session.begin_nested():
                await app.send.using(session=session).aenqueue(2)
            assert app.announced == []
            await session.commit()

    run(app, scenario)
    assert (app.announced, app.rows()) == ([2], [2])


def test_a_connection_and_a_session_that_joined_it(async_app: Application) -> None:
    """An AsyncConnection is a transaction; a session inside it leaves the decision to it."""
    app = async_app

    async def scenario(engine: AsyncEngine) -> None:
        async with engine.connect() as connection:
            for number, ends in ((1, connection.rollback), (2, connection.commit)):
                await app.send.using(connection=connection).aenqueue(number)
                async with AsyncSession(connection, join_transaction_mode="create_savepoint") as session:
                    await app.send.using(session=session).aenqueue(number * 10)
                    await session.commit()
                assert app.announced == []
                await ends()

    run(app, scenario)
    assert (app.announced, app.rows()) == ([2, 20], [2, 20])


def test_a_scoped_session(async_app: Application) -> None:
    """An async_scoped_session stands for the session of the running task."""
    app = async_app

    async def scenario(engine: AsyncEngine) -> None:
        scoped = async_scoped_session(async_sessionmaker(engine), scopefunc=asyncio.current_task)
        await app.send.using(session=scoped).aenqueue(1)
        await scoped.rollback()
        await app.send.using(session=scoped).aenqueue(2)
        await scoped.commit()
        await scoped.remove()

    run(app, scenario)
    assert (app.announced, app.rows()) == ([2], [2])


def test_many_tasks(async_app: Application) -> None:
    """Of 16 tasks with sessions of their own, half of which roll back, exactly the committed jobs are announced."""
    app = async_app

    async def scenario(engine: AsyncEngine) -> None:
        async def work(number: int) -> None:
            async with AsyncSession(engine) as session:
                await app.send.using(session=session).aenqueue(number)
                await asyncio.sleep(0)
                await (session.commit() if number % 2 else session.rollback())

        await app.send.aenqueue(99)  # in a transaction of its own
        await asyncio.gather(*(work(number) for number in range(16)))

    run(app, scenario)
    expected = [*range(1, 16, 2), 99]
    assert (sorted(app.announced), app.rows()) == (expected, expected)


def test_a_cancelled_task_announces_nothing(async_app: Application) -> None:
    """A task that is cancelled inside its transaction rolls back, and its connection carries nothing on."""
    app = async_app

    async def scenario(engine: AsyncEngine) -> None:
        enqueued = asyncio.Event()

        async def work() -> None:
            async with AsyncSession(engine) as session:
                await app.send.using(session=session).aenqueue(1)
                enqueued.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await enqueued.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with AsyncSession(engine) as session, session.begin():
            session.add(Order(number=1))

    run(app, scenario)
    assert (app.announced, app.rows()) == ([], [])


def test_autocommit(async_app: Application) -> None:
    """An AsyncEngine in AUTOCOMMIT announces at once."""
    app = async_app

    async def main() -> None:
        async with engine_of(app, isolation_level="AUTOCOMMIT") as engine, AsyncSession(engine) as session:
            await app.send.using(session=session).aenqueue(1)
            assert app.announced == [1]
            await session.rollback()

    asyncio.run(main())
    assert (app.announced, app.rows()) == ([1], [1])


def test_what_a_subscriber_raises_does_not_reach_the_caller(async_app: Application) -> None:
    """A commit succeeds whatever its observers do."""
    app = async_app

    def fail(job: Job) -> None:
        raise ZeroDivisionError

    app.tq.on("job.enqueued", fail)

    async def scenario(engine: AsyncEngine) -> None:
        async with AsyncSession(engine) as session:
            await app.send.using(session=session).aenqueue(1)
            await session.commit()

    run(app, scenario)
    assert (app.announced, app.rows()) == ([1], [1])


def test_an_async_engine_is_enough(async_app: Application) -> None:
    """``TomQueue(engine=…)`` takes the AsyncEngine itself, and opens its own synchronous connections beside it."""

    async def main() -> None:
        async with engine_of(async_app) as engine:
            app = over(async_app.url, async_app.engine, TomQueue(engine=engine))
            async with AsyncSession(engine) as session:
                await app.send.using(session=session).aenqueue(1)
                await session.commit()
            await app.send.aenqueue(2)
            assert (app.announced, app.rows()) == ([1, 2], [1, 2])
            app.tq.close()

    asyncio.run(main())
