"""The servers that runs outside of pytest need."""

import platform
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pika
from sqlalchemy import create_engine, text

from tests.rabbitmq_server import rabbitmq, rabbitmq_url_of_session
from tests.servers import mariadb, postgres

__all__ = ["Ground"]

SERVERS: Mapping[str, Callable[[], AbstractContextManager[Any]]] = {
    "postgres_server": postgres,
    "mariadb_server": mariadb,
    "rabbitmq_server": rabbitmq_url_of_session,
    "node": rabbitmq,
}
"""By the names of their fixtures in tests/conftest.py."""


class Ground:
    """Servers that start when they are first asked for, and end with the block."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._running: dict[str, Any] = {}

    def __call__(self, name: str) -> Any:
        """Return a server by its name, running."""
        if name not in self._running:
            self._running[name] = self._stack.enter_context(SERVERS[name]())
        return self._running[name]

    def versions(self) -> dict[str, str]:
        """Return the versions of what ran, by what it is called."""
        found = {"Python": platform.python_version(), "SQLite": sqlite3.sqlite_version}
        for name, title, query in (
            ("postgres_server", "PostgreSQL", "SHOW server_version"),
            ("mariadb_server", "MariaDB", "SELECT version()"),
        ):
            if name in self._running:
                with create_engine(self._running[name]).connect() as connection:
                    found[title] = str(connection.execute(text(query)).scalar()).split()[0]
        if "rabbitmq_server" in self._running:
            with pika.BlockingConnection(pika.URLParameters(self._running["rabbitmq_server"])) as connection:
                version = connection._impl.server_properties["version"]
                found["RabbitMQ"] = version.decode() if isinstance(version, bytes) else version
        return found
