"""A person at a database server, who ends sessions and closes a database."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from tests.servers import administering


class ServerAdmin:
    """What may happen to everybody who uses the database ``url``."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._name = self._url.database
        self._server = self._url.set(database="postgres" if "postgres" in url else "information_schema")

    def end_sessions(self) -> None:
        """End every session in the database."""
        with administering(self._server) as connection:
            if connection.dialect.name == "postgresql":
                sessions = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
                connection.execute(sessions, {"name": self._name})
                return
            sessions = text("SELECT id FROM information_schema.processlist WHERE db = :name")
            for session in connection.execute(sessions, {"name": self._name}).scalars().all():
                with contextlib.suppress(DBAPIError):  # it may have left meanwhile
                    connection.execute(text(f"KILL {session}"))

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Keep everybody out of a PostgreSQL database, as while the server restarts."""
        self._allow(allowed=False)
        self.end_sessions()
        yield
        self._allow(allowed=True)

    def _allow(self, *, allowed: bool) -> None:
        with administering(self._server) as connection:
            connection.execute(text(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS {allowed}"))
