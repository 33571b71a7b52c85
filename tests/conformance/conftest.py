"""The store of the conformance suite: the same tests on every database and driver."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine

from tomqueue.settings import Settings
from tomqueue.store.catalog import Catalog
from tomqueue.store.leases import Leases
from tomqueue.store.migrate import migrate
from tomqueue.store.mysql import MysqlStore
from tomqueue.store.open import open_store
from tomqueue.store.sql import SqlStore

KINDS = ("sqlite", "postgres", "mariadb", "mariadb-pymysql", "like-mysql")


class LikeMysql(MysqlStore):
    """MariaDB, asked without the RETURNING that MySQL has not."""

    def _connect(self) -> Any:
        link = super()._connect()
        self._returning = self.engine.dialect.insert_returning = False
        return link


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Give one kind of database and driver after the other; a test may choose fewer (``indirect``)."""
    return str(request.param)


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest) -> str:
    """Give the URL of an empty database of this kind."""
    fixture = f"{kind}_url" if kind in {"sqlite", "postgres"} else "mariadb_url"
    given = str(request.getfixturevalue(fixture))
    return given.replace("+mysqldb", "+pymysql") if kind == "mariadb-pymysql" else given


@pytest.fixture
def store(kind: str, url: str) -> Iterator[SqlStore]:
    """Give a store whose tables are there and empty."""
    settings = Settings(database_url=url)
    opened = LikeMysql(create_engine(url), settings) if kind == "like-mysql" else open_store(settings)
    migrate(opened.engine, opened.tables)
    opened.now()
    yield opened
    opened.close()


@pytest.fixture
def catalog(store: SqlStore) -> Catalog:
    """Give what a person asks of the jobs."""
    return Catalog(store)


@pytest.fixture
def leases(store: SqlStore) -> Leases:
    """Give the leases of worker processes."""
    return Leases(store)
