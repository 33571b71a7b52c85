"""The test session's own servers: they answer, and every test gets an empty database."""

import pytest
from sqlalchemy import NullPool, create_engine, inspect, text

from tests.servers import fresh_database


@pytest.fixture(params=["postgres_server", "mariadb_server"])
def server(request: pytest.FixtureRequest) -> str:
    """Give one server after the other, so that each test holds for both."""
    return str(request.getfixturevalue(request.param))


@pytest.mark.parametrize(
    ("server", "name"),
    [("postgres_server", "PostgreSQL"), ("mariadb_server", "MariaDB")],
    indirect=["server"],
)
def test_server_answers(server: str, name: str) -> None:
    """A test reaches the server through SQLAlchemy, and it is the one it asked for."""
    with create_engine(server, poolclass=NullPool).connect() as connection:
        assert name in str(connection.scalar(text("SELECT version()")))


def test_fresh_databases_do_not_see_each_other(server: str) -> None:
    """What one test writes, another one never meets."""
    with fresh_database(server) as one, fresh_database(server) as other:
        with create_engine(one, poolclass=NullPool).begin() as connection:
            connection.execute(text("CREATE TABLE job (id INT PRIMARY KEY)"))
        assert _tables(one) == ["job"]
        assert _tables(other) == []


def test_a_database_is_dropped_though_a_transaction_is_open_in_it(server: str) -> None:
    """A failed test that left a transaction open cannot hang the ones after it."""
    with fresh_database(server) as url:
        left_open = create_engine(url, poolclass=NullPool).connect()
        left_open.execute(text("CREATE TABLE job (id INT PRIMARY KEY)"))
        left_open.execute(text("SELECT * FROM job"))
    left_open.invalidate()
    left_open.close()
    assert url.partition("?")[0].rpartition("/")[2] not in _databases(server)


def _tables(url: str) -> list[str]:
    with create_engine(url, poolclass=NullPool).connect() as connection:
        return inspect(connection).get_table_names()


def _databases(server: str) -> list[str]:
    with create_engine(server, poolclass=NullPool).connect() as connection:
        catalog = "SELECT datname FROM pg_database" if connection.dialect.name == "postgresql" else "SHOW DATABASES"
        return list(connection.scalars(text(catalog)))
