"""``tq.delay`` and ``handle_asynchronously`` on objects that SQLAlchemy maps: they travel as their primary key."""

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from sqlalchemy import Engine, String, create_engine, event, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, object_session, registry, sessionmaker

from tests.harness import Reporter, record_events, row, store_of, work
from tomqueue import JobContext, State, TomQueue, configure_sqlite
from tomqueue.errors import DefinitionError, EnqueueError, JobTargetGone
from tomqueue.store.migrate import migrate


class Base(DeclarativeBase):
    """The application's models."""

    type_annotation_map: ClassVar = {str: String(50)}


class User(Base):
    """A row with methods."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(default="ann")
    devices: Mapped[str] = mapped_column(default="")

    def activate(self, device: str) -> None:
        session = object_session(self)
        assert session is not None
        in_transaction.append(session.in_transaction())
        self.devices += device

    def fail(self) -> None:
        self.devices = "half"
        raise OSError("its own error")

    def broken(self, ctx: JobContext) -> None:
        session = object_session(self)
        assert session is not None
        session.add(User(id=self.id, name=ctx.name))
        session.expunge(self)

    async def fetch(self) -> None: ...


class Key(Base):
    """A row whose key is of two typed columns."""

    __tablename__ = "keys_of_two"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)

    def use(self) -> None:
        used.append((self.id, self.place))


in_transaction: list[bool] = []
used: list[tuple[uuid.UUID, int]] = []


@dataclass
class Application:
    """Its jobs, its own Engine, and who is told of errors."""

    tq: TomQueue
    engine: Engine
    reporter: Reporter

    def user(self, **values: Any) -> User:
        """Return a user that is committed."""
        with Session(self.engine, expire_on_commit=False) as session:
            user = User(**values)
            session.add(user)
            session.commit()
            return user

    def devices(self) -> list[str]:
        """Read what the methods wrote."""
        with Session(self.engine) as session:
            return list(session.execute(select(User.devices)).scalars())


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def url(request: pytest.FixtureRequest) -> str:
    """Give the URL of an empty database, of one kind after the other."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def app(url: str) -> Iterator[Application]:
    """Give an application with its tables and its targets."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        configure_sqlite(engine)
    tq = TomQueue(url)
    tq.exception_reporter = reporter = Reporter()
    store = tq.bare_store()
    migrate(store.engine, store.tables)
    store.close()
    Base.metadata.create_all(engine)
    for target in (User, Key):
        tq.target(name=target.__name__)(target)
    in_transaction.clear()
    used.clear()
    yield Application(tq, engine, reporter)
    tq.close()
    engine.dispose()


def test_it_is_loaded_again_and_its_changes_are_committed(app: Application) -> None:
    """The row holds the key; the method begins outside of a transaction, in a session that is committed after it."""
    user = app.user()
    job = app.tq.delay(user).activate("phone")
    assert job.arguments == {"target": {"id": user.id}, "arguments": {"device": "phone"}}
    app.tq.delay(user, queue="other").activate("pad")
    work(app.tq)
    assert app.devices() in (["phonepad"], ["padphone"])
    assert in_transaction == [False, False]
    assert app.tq.jobs.count() == 0


def test_a_key_of_two_typed_columns(app: Application) -> None:
    """Comes back with its types."""
    key = uuid.uuid4()
    with Session(app.engine) as session:
        made = Key(id=key, place=3)
        session.add(made)
        session.commit()
        app.tq.delay(made).use()
    work(app.tq)
    assert used == [(key, 3)]


def test_an_error_rolls_its_changes_back(app: Application) -> None:
    """It is the job's own, and is tried again."""
    job = app.tq.delay(app.user()).fail()
    work(app.tq)
    assert app.devices() == [""]
    assert (row(app.tq, job.id).attempts, [type(error) for error in app.reporter.errors]) == (1, [OSError])


def test_what_the_database_says_to_its_changes_is_the_jobs_error(app: Application) -> None:
    """A commit that fails after the method is a failed attempt."""
    job = app.tq.delay(app.user()).broken()
    work(app.tq)
    assert "IntegrityError" in row(app.tq, job.id).last_error
    assert app.devices() == [""]


def test_a_row_that_is_gone_fails_the_job_for_good(app: Application) -> None:
    """With JobTargetGone, at the first attempt; the job is kept, and its message has no key in it."""
    user = app.user()
    job = app.tq.delay(user).activate("x")
    with Session(app.engine) as session:
        session.delete(session.merge(user))
        session.commit()
    events = record_events(app.tq)
    work(app.tq)
    left = app.tq.jobs.get(job.id)
    assert (left.state, left.attempts, "job.failed" in events) == (State.FAILED, 1, True)
    assert "is not in the database any more: the arguments have its key" in str(left.last_error)
    assert isinstance(app.reporter.errors[0], JobTargetGone)


def test_the_transaction_that_inserts_it_can_enqueue_it(app: Application) -> None:
    """With ``session=`` the object and its job commit together, or neither does."""
    app.tq.jobs.count()  # the tables are known
    with Session(app.engine) as session:
        user = User()
        session.add(user)
        session.flush()
        app.tq.delay(user, session=session).activate("x")
        session.rollback()
        assert app.tq.jobs.count() == 0
        session.add(user := User())
        session.flush()
        app.tq.delay(user, session=session).activate("y")
        prepared = app.tq.delay(user).activate.prepare("z")
        app.tq.enqueue_many([prepared], session=session)
        session.commit()
    work(app.tq)
    assert sorted(app.devices()[0]) == ["y", "z"]


def test_what_no_worker_could_find_is_refused(app: Application) -> None:
    """Without a key, deleted, or inserted by a transaction that is still open, also in a savepoint."""
    with Session(app.engine) as session:
        user = User()
        with pytest.raises(EnqueueError, match=r"this User is not saved and has no primary key yet"):
            app.tq.delay(user).activate("x")
        session.add(user)
        with pytest.raises(EnqueueError, match=r"add it to a session and flush\(\) first"):
            app.tq.delay(user, session=session).activate("x")
        session.flush()
        with pytest.raises(EnqueueError, match=r"the INSERT of this User is not committed.*session=session"):
            app.tq.delay(user).activate("x")
        with session.begin_nested(), pytest.raises(EnqueueError, match="not committed"):
            app.tq.delay(user).activate("x")
        session.commit()
        with session.begin_nested():
            session.add(inner := User())
            session.flush()
        with pytest.raises(EnqueueError, match="not committed"):
            app.tq.delay(inner).activate("x")
        session.delete(user)
        session.flush()
        with pytest.raises(EnqueueError, match="this User is deleted"):
            app.tq.delay(user).activate("x")
        session.commit()
        with pytest.raises(EnqueueError, match=r"not saved|deleted"):
            app.tq.delay(user).activate("x")
    assert app.tq.jobs.count() == 0


def test_an_asynchronous_method_is_refused(app: Application) -> None:
    """Its object would be loaded by a session of another thread."""
    with pytest.raises(EnqueueError, match=r"User\.fetch is async def, and its object is loaded by a synchronous"):
        app.tq.delay(app.user()).fetch()


def test_an_atomic_method_commits_with_its_finish(app: Application) -> None:
    """Its object is of the job's own session; what it writes and its finish are one transaction."""

    class Account(DeclarativeBase):
        pass

    class Order(Account):
        __tablename__ = "orders"
        id: Mapped[int] = mapped_column(primary_key=True)
        paid: Mapped[int] = mapped_column(default=0)

        @app.tq.handle_asynchronously(atomic=True, session=object_session)
        def pay(self, ctx: JobContext, amount: int) -> None:
            self.paid += amount
            assert object_session(self) is ctx.session()
            with Session(app.engine, expire_on_commit=False) as other:
                seen.append(other.execute(select(Order.paid)).scalar() if concurrent else 0)

    concurrent = app.engine.dialect.name != "sqlite"  # there a reader would wait for the writer
    seen: list[int | None] = []
    app.tq.target(name="Order")(Order)
    Account.metadata.create_all(app.engine)
    with Session(app.engine) as session:
        session.add(order := Order())
        session.flush()
        order.pay(5)  # in the transaction of its own session
        session.commit()
        assert order.paid == 0
    work(app.tq)
    with Session(app.engine) as session:
        assert session.execute(select(Order.paid)).scalar() == 5
    assert (seen, app.tq.jobs.count()) == ([0], 0)


def test_sessions_of_another_database(app: Application, tmp_path_factory: pytest.TempPathFactory) -> None:
    """``@tq.target(session=…)`` says where its objects are; atomic=True cannot be there."""
    elsewhere = create_engine(f"sqlite:///{tmp_path_factory.mktemp('elsewhere') / 'x.db'}")
    mapped = registry()

    @app.tq.target(name="Note", session=sessionmaker(elsewhere))
    @mapped.mapped
    class Note:
        __tablename__ = "notes"
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str] = mapped_column(String(50), default="")

        def write(self, text: str) -> None:
            self.text = text

    mapped.metadata.create_all(elsewhere)
    with Session(elsewhere) as session:
        session.add(note := Note())
        session.commit()
        app.tq.delay(note).write("there")
    work(app.tq)
    with Session(elsewhere) as session:
        assert session.execute(select(Note.text)).scalar() == "there"
    elsewhere.dispose()

    class Both(Note):
        @app.tq.handle_asynchronously(atomic=True)
        def pay(self) -> None: ...

    with pytest.raises(DefinitionError, match=r"Both\.pay: atomic=True loads the object by the job's own session"):
        app.tq.target(name="Both", session=sessionmaker(elsewhere))(Both)


def test_a_database_that_gives_way_is_not_the_jobs_fault(app: Application) -> None:
    """When the object could not be looked for, the job runs again, uncharged."""
    job = app.tq.delay(app.user()).activate("x")
    engine = store_of(app.tq).own_engine()

    @event.listens_for(engine, "before_cursor_execute")
    def away(_connection: Any, cursor: Any, statement: str, *_rest: Any) -> None:
        if "users" in statement:
            raise gone_of(engine)

    work(app.tq)
    event.remove(engine, "before_cursor_execute", away)
    left = row(app.tq, job.id)
    assert (left.attempts, left.failed_at, app.devices()) == (0, None, [""])


def gone_of(engine: Engine) -> OperationalError:
    """Return what SQLAlchemy raises when the database cannot do it now."""
    driver: Any = engine.dialect.loaded_dbapi
    causes = {
        "sqlite": lambda: driver.OperationalError("database is locked"),
        "postgresql": lambda: driver.errors.AdminShutdown("terminating connection"),
        "mysql": lambda: driver.OperationalError(2006, "server has gone away"),
    }
    name = "mysql" if engine.dialect.name == "mariadb" else engine.dialect.name
    cause = causes[name]()
    if name == "sqlite":
        cause.sqlite_errorcode = 5
    return OperationalError("SELECT", {}, cause)


def test_inline(app: Application) -> None:
    """``delay_jobs=False`` runs the method at once, on an object that is loaded anew."""
    app.tq.delay_jobs = False
    user = app.user()
    app.tq.delay(user).activate("now")
    assert (app.devices(), user.devices) == (["now"], "")


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_class_that_is_mapped_later(app: Application) -> None:
    """How it travels is looked up when an object first does."""

    class Late:
        id: int

        def use(self) -> None:
            used.append((uuid.UUID(int=0), self.id))

    app.tq.target(name="Late")(Late)
    mapped = registry()
    mapped.map_imperatively(Late, Base.metadata.tables["users"])
    late = app.user()
    with Session(app.engine) as session:
        found = session.get_one(Late, late.id)
    app.tq.delay(found).use()
    work(app.tq)
    assert used == [(uuid.UUID(int=0), late.id)]


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_in_an_asynchronous_transaction(app: Application) -> None:
    """An object of an AsyncSession, enqueued with it."""
    app.tq.jobs.count()  # the tables are known

    async def main() -> None:
        engine = create_async_engine(str(app.engine.url).replace("sqlite:", "sqlite+aiosqlite:"))
        configure_sqlite(engine)
        async with AsyncSession(engine) as session:
            session.add(user := User())
            await session.flush()
            with pytest.raises(EnqueueError, match="not committed"):
                await app.tq.delay(user).activate.aenqueue("x")
            await app.tq.delay(user, session=session).activate.aenqueue("x")
            await session.commit()
        await engine.dispose()

    asyncio.run(main())
    work(app.tq)
    assert app.devices() == ["x"]
