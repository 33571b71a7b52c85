"""A person at a database server, who ends sessions and closes a database."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import DBAPIError

from tests.servers import administering, as_text

APPLICATION = "application"
"""The plain user."""
SEGMENTS = 20
"""More pieces of log than a PostgreSQL server keeps ready on a small disk."""


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
            self._end(connection, sessions)

    def _end(self, connection: Connection, sessions: set[int]) -> None:
        end = "SELECT pg_terminate_backend({})" if self._is_postgres else "KILL {}"
        for session in sessions:
            with suppress(DBAPIError):  # it may have left meanwhile
                connection.execute(text(end.format(session)))

    def plain_user(self) -> str:
        """Make a user that owns the database and has no other right; return its URL of it.

        What a server refuses to others it grants to the user that made it.
        """
        password = secrets.token_hex(8)
        if self._is_postgres:
            self.run(f"CREATE ROLE {APPLICATION} LOGIN PASSWORD '{password}'")
            self.run(f"ALTER DATABASE {self._name} OWNER TO {APPLICATION}")
        else:
            self.run(f"CREATE USER {APPLICATION}@'%' IDENTIFIED BY '{password}'")
            self.run(f"GRANT ALL ON {self._name}.* TO {APPLICATION}@'%'")
        return as_text(self._url.set(username=APPLICATION, password=password))

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Let plain users change nothing, as on a replica."""
        if self._is_postgres:
            on, off = (f"ALTER SYSTEM SET default_transaction_read_only = {value}" for value in ("on", "off"))
            self.run("SET default_transaction_read_only = off", on, "SELECT pg_reload_conf()")
            yield
            self.run("SET default_transaction_read_only = off", off, "SELECT pg_reload_conf()")
        else:
            self.run("SET GLOBAL read_only = 1")
            yield
            self.run("SET GLOBAL read_only = 0")

    @contextmanager
    def no_connections_left(self) -> Iterator[None]:
        """Let the plain user have none beside one that is taken already."""
        if self._is_postgres:
            self.run(f"ALTER ROLE {APPLICATION} CONNECTION LIMIT 0")
            self.end_sessions()
            yield
            self.run(f"ALTER ROLE {APPLICATION} CONNECTION LIMIT -1")
        else:
            with administering(self._server) as connection, ExitStack() as stack:
                sessions = self.sessions()
                connection.execute(text("SET GLOBAL max_connections = 10"))
                self._end(connection, sessions)
                with suppress(DBAPIError):
                    while True:
                        stack.enter_context(administering(self._server))
                yield
                connection.execute(text("SET GLOBAL max_connections = 200"))

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Hold a lock on a table that nobody gets past, as a migration does."""
        with administering(self._url) as connection:
            if self._is_postgres:
                connection.execute(text("BEGIN"))
                connection.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
            else:
                connection.execute(text(f"LOCK TABLES {table} WRITE"))
            yield
            connection.execute(text("COMMIT" if self._is_postgres else "UNLOCK TABLES"))

    def use_up_log(self) -> None:
        """Let a PostgreSQL server want room for its log: it ends itself when there is none."""
        with suppress(DBAPIError):
            for _ in range(SEGMENTS):
                self.run("SELECT pg_logical_emit_message(true, 'tests', 'x')", "SELECT pg_switch_wal()")

    def run(self, *statements: str) -> None:
        """Run statements in one session, each by itself."""
        with administering(self._server) as connection:
            for statement in statements:
                connection.execute(text(statement))

    @property
    def _is_postgres(self) -> bool:
        return self._url.get_backend_name() == "postgresql"

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
