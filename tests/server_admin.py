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

    def sessions(self) -> set[int]:
        """Return the server's ids of all sessions in the database."""
        with administering(self._server) as connection:
            postgres = connection.dialect.name == "postgresql"
            source = "pid FROM pg_stat_activity WHERE datname" if postgres else "id FROM processlist WHERE db"
            return set(connection.execute(text(f"SELECT {source} = :name"), {"name": self._name}).scalars())

    def end_sessions(self) -> None:
        """End every session in the database."""
        sessions = self.sessions()
        with administering(self._server) as connection:
            end = "SELECT pg_terminate_backend({})" if connection.dialect.name == "postgresql" else "KILL {}"
            for session in sessions:
                with contextlib.suppress(DBAPIError):  # it may have left meanwhile
                    connection.execute(text(end.format(session)))

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
