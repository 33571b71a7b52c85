"""Where tests get their databases: real servers, started once a session when a test first asks for one."""

import os
import secrets
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from tests.rabbitmq_server import Broker, delete_names, rabbitmq, rabbitmq_url_of_session
from tests.servers import ServerMissingError, fresh_database, mariadb, postgres

Server = TypeVar("Server")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Give the URL of a PostgreSQL server whose databases the session may create and drop."""
    with _started(partial(postgres, synced=False)) as url:
        yield url


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[str]:
    """Give the URL of a MariaDB server whose databases the session may create and drop."""
    with _started(partial(mariadb, synced=False)) as url:
        yield url


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[str]:
    """Give the URL of a RabbitMQ server that the whole session shares: nobody stops it or sets alarms."""
    with _started(rabbitmq_url_of_session) as url:
        yield url


@pytest.fixture
def rabbitmq_url(rabbitmq_server: str) -> str:
    """Give the URL of the shared RabbitMQ server; ``rabbitmq_prefix`` keeps tests apart."""
    return rabbitmq_server


@pytest.fixture
def rabbitmq_prefix(rabbitmq_server: str) -> Iterator[str]:
    """Give a start of names in RabbitMQ, this test's own; what is usually declared with it is deleted afterwards."""
    prefix = f"test-{secrets.token_hex(6)}"
    yield prefix
    delete_names(rabbitmq_server, prefix)


@pytest.fixture(scope="session")
def node() -> Iterator[Broker]:
    """Give a RabbitMQ node for tests that stop, kill or alarm it."""
    with _started(rabbitmq) as running:
        yield running


@pytest.fixture
def broker(node: Broker) -> Broker:
    """Give that node, running, whatever the test before did to it."""
    node.start()
    return node


@pytest.fixture
def prefix() -> str:
    """Give a start of names for a node of our own, where nothing needs to be deleted."""
    return f"test-{secrets.token_hex(6)}"


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
def _started(server: Callable[[], AbstractContextManager[Server]]) -> Iterator[Server]:
    """Start the server; a missing one fails where all must run and is skipped in a developer's quick run."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(server())
        except ServerMissingError as missing:
            required = os.environ.get("CI") or os.environ.get("TOMQUEUE_TEST_REQUIRE_SERVERS")
            outcome = pytest.fail.Exception if required else pytest.skip.Exception
            raise outcome(str(missing), pytrace=False) from None
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let what a test has logged be sent to the process that shows it, also half a surrogate pair."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report
