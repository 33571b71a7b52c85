"""What a person wants to know of the database's own state: its version, and who keeps it from cleaning up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Connection, func, not_, select, text

from tomqueue.store.sql import SqlStore

__all__ = ["Behind", "Health", "Holder"]

POSTGRES_HOLDERS = """
SELECT 'session ' || pid || coalesce(' (' || nullif(application_name, '') || ')', '') || ', ' || state AS who,
    extract(epoch FROM now() - xact_start) AS seconds
FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
UNION ALL
SELECT 'prepared transaction ' || gid, extract(epoch FROM now() - prepared) FROM pg_prepared_xacts
    WHERE database = current_database()
"""
POSTGRES_BEHIND = """
SELECT 'replication slot ' || slot_name AS who, age(xmin) AS transactions FROM pg_replication_slots
WHERE xmin IS NOT NULL
UNION ALL
SELECT 'standby ' || coalesce(nullif(application_name, ''), pid::text), age(backend_xmin) FROM pg_stat_replication
WHERE backend_xmin IS NOT NULL
"""
POSTGRES_SEES = "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'usage')"
MYSQL_HOLDERS = """
SELECT CONCAT('session ', trx_mysql_thread_id), TIMESTAMPDIFF(SECOND, trx_started, NOW())
FROM information_schema.innodb_trx WHERE trx_mysql_thread_id <> CONNECTION_ID()
"""


@dataclass(frozen=True, slots=True)
class Holder:
    """A transaction that has been open for so many seconds."""

    who: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Behind:
    """A replica that reads as of so many transactions ago."""

    who: str
    transactions: int


class Health:
    """Asks the database about itself. Raises StoreError, also for a missing right."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    def version(self) -> str:
        """Return the name and version of the server."""
        with self._store.reading() as connection:
            known = connection.dialect.server_version_info or ()
            name = "mariadb" if getattr(connection.dialect, "is_mariadb", False) else connection.dialect.name
            return f"{name} {'.'.join(str(part) for part in known)}".strip()

    def long_transactions(self, older_than: timedelta) -> list[Holder]:
        """Read which transactions have been open for longer: what is deleted since then stays in every index."""
        ask: dict[str, Callable[[Connection], Sequence[Holder]]] = {
            "postgresql": lambda connection: holders(connection, POSTGRES_HOLDERS),
            "mysql": lambda connection: holders(connection, MYSQL_HOLDERS),
            "mariadb": lambda connection: holders(connection, MYSQL_HOLDERS),
        }
        look = ask.get(self._store.engine.dialect.name)
        if look is None:
            return []
        with self._store.reading() as connection:
            return [one for one in look(connection) if one.seconds > older_than.total_seconds()]

    def replicas_behind(self, more_than: int) -> list[Behind]:
        """Read which replicas keep deleted rows of PostgreSQL in place, as transactions of this server do."""
        if self._store.engine.dialect.name != "postgresql":
            return []
        with self._store.reading() as connection:
            found = [Behind(str(who), int(count)) for who, count in connection.execute(text(POSTGRES_BEHIND))]
        return [one for one in found if one.transactions > more_than]

    def sees_all_sessions(self) -> bool:
        """Say whether other users' transactions are visible to this one; PostgreSQL hides them."""
        if self._store.engine.dialect.name != "postgresql":
            return True
        with self._store.reading() as connection:
            return bool(connection.execute(text(POSTGRES_SEES)).scalar_one())

    def wal_bytes(self) -> int:
        """Return the size of SQLite's write-ahead log; 0 elsewhere."""
        if self._store.engine.dialect.name != "sqlite":
            return 0
        log = Path(f"{self._store.engine.url.database}-wal")
        return log.stat().st_size if log.exists() else 0

    def overdue(self) -> tuple[int, float]:
        """Count the jobs that are due and that nobody has announced; return also for how many seconds the oldest is."""
        jobs = self._store.tables.jobs
        now = self._store.now()
        waits = (
            jobs.c.announced_at.is_(None), jobs.c.run_at <= now, jobs.c.failed_at.is_(None), jobs.c.locked_by.is_(None),
            not_(jobs.c.held),
        )  # fmt: skip
        with self._store.reading() as connection:
            count, oldest = connection.execute(select(func.count(), func.min(jobs.c.run_at)).where(*waits)).one()
        return count, 0.0 if oldest is None else (now - oldest).total_seconds()


def holders(connection: Connection, statement: str) -> list[Holder]:
    """Read who holds a transaction open."""
    return [Holder(str(who), float(seconds)) for who, seconds in connection.execute(text(statement))]
