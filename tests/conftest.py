"""Where tests get their databases: real servers, started once a session when a test first asks for one."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.servers import ServerMissingError, fresh_database, mariadb, postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Give the URL of a PostgreSQL server whose databases the session may create and drop."""
    with _started(postgres) as url:
        yield url


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[str]:
    """Give the URL of a MariaDB server whose databases the session may create and drop."""
    with _started(mariadb) as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """Give the URL of an empty PostgreSQL database, this test's own."""
    with fresh_database(postgres_server) as url:
        yield url


@pytest.fixture
def mariadb_url(mariadb_server: str) -> Iterator[str]:
    """Give the URL of an empty MariaDB database, this test's own."""
    with fresh_database(mariadb_server) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Give the URL of an SQLite file, this test's own, not created yet."""
    return f"sqlite:///{tmp_path / 'tomqueue.db'}"


@contextmanager
def _started(server: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """Start the server; a missing one fails where all must run and is skipped in a developer's quick run."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(server())
        except ServerMissingError as missing:
            required = os.environ.get("CI") or os.environ.get("TOMQUEUE_TEST_REQUIRE_SERVERS")
            outcome = pytest.fail.Exception if required else pytest.skip.Exception
            raise outcome(str(missing), pytrace=False) from None
        yield url
