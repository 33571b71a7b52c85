"""The kit that TomQueue gives to its users' tests, on each kind of database and inside a transaction."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, Engine, create_engine

from tomqueue import TomQueue, configure_sqlite
from tomqueue.store.migrate import migrate
from tomqueue.testing import Kit, in_transaction, on_own_database, on_temporary_database

KINDS = ("sqlite", "postgres", "mariadb")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Give one kind of database after the other."""
    return str(request.param)


@pytest.fixture
def engine(kind: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Give the application's own Engine."""
    url = str(request.getfixturevalue(f"{kind}_url")).replace("postgresql://", "postgresql+psycopg://")
    made = create_engine(url)
    if kind == "sqlite":
        configure_sqlite(made)
    yield made
    made.dispose()


@pytest.fixture
def tq(engine: Engine) -> Iterator[TomQueue]:
    """Give an application whose tables are there."""
    made = TomQueue(engine=engine)
    store = made.bare_store()
    migrate(store.engine, store.tables)
    store.close()
    yield made
    made.close()


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Begin a transaction as the usual fixture does, and roll it back."""
    with engine.connect() as connection:
        outer = connection.begin()
        yield connection
        outer.rollback()


@pytest.fixture(params=["own database", "temporary database", "transaction"])
def kit(request: pytest.FixtureRequest, tq: TomQueue, engine: Engine) -> Iterator[Kit]:
    """Give each way to have the kit, for an application on each database."""
    if request.param == "own database":
        yield on_own_database(tq)
        return
    if request.param == "transaction":
        with transaction(engine) as connection, in_transaction(tq, connection) as inside:
            yield inside
    else:
        with on_temporary_database(tq) as made:
            yield made
    assert tq.jobs.count() == 0  # not one row of all this is in the application's database
