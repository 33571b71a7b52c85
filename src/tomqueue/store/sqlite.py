"""SQLite: one file, no server. Writers take turns, so every write is short and begins with BEGIN IMMEDIATE."""

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, FromClause, select
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler

from tomqueue.definition import Limit
from tomqueue.errors import SettingsError, StoreError, StoreUnavailable
from tomqueue.job import Claimed, NewJob
from tomqueue.priority import PRIORITIES
from tomqueue.settings import Settings
from tomqueue.store.announcing import Upcoming
from tomqueue.store.attempt_errors import REPLACE, values_of
from tomqueue.store.base import Answer, Inserted, Release, Want
from tomqueue.store.columns import from_micros, to_micros
from tomqueue.store.commit import after_commit
from tomqueue.store.dialect import NONE
from tomqueue.store.limit_terms import declare
from tomqueue.store.links import detached
from tomqueue.store.liveness import LiveLocks
from tomqueue.store.picking import Picked, end_of, pairs
from tomqueue.store.schema import UNIQUE_HELD
from tomqueue.store.sql import SqlStore
from tomqueue.store.statements import (
    CLAIMED,
    FREE,
    KEYED,
    LET_KEY_GO,
    NEW,
    RUNNABLE,
    STATE,
    WAITING,
    answer,
    claimed,
    delay_of,
    fail_cancelled,
    not_migrated,
)

__all__ = ["SqliteStore", "now_micros"]

UNAVAILABLE = {
    sqlite3.SQLITE_BUSY: (
        "another transaction holds its lock; if it is your own session's, enqueue in it with using(session=session)"
    ),
    sqlite3.SQLITE_LOCKED: "another connection holds its lock",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "reading or writing the file failed",
    sqlite3.SQLITE_CANTOPEN: "the file or its folder cannot be opened",
}


class HintingCompiler(SQLiteCompiler):
    """Writes hints (``INDEXED BY``) behind a table's name, as SQLAlchemy does for other databases."""

    def get_from_hint_text(self, table: FromClause, text: str | None) -> str | None:  # noqa: ARG002 - the text says it
        """Return the hint."""
        return text


def now_micros() -> int:
    """Return the clock of the database: SQLite's is the host's, here with all its microseconds."""
    return time.time_ns() // 1000


def marks(values: Sequence[object]) -> str:
    """Return the placeholders for ``values``."""
    return ",".join("?" * len(values))


class SqliteStore(SqlStore):
    """The rows in an SQLite file in WAL mode."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        if engine.url.database in {None, "", ":memory:"}:
            raise SettingsError(
                f"{engine.url} is a database in memory, which no worker process can see: "
                "name a file, for example sqlite:///jobs.db"
            )
        super().__init__(engine, settings)
        engine.dialect.statement_compiler = HintingCompiler
        self.path = engine.url.database

    # Connections --------------------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        link = detached(self.engine)
        assert isinstance(link, sqlite3.Connection)
        return link

    def _begin(self, link: sqlite3.Connection) -> None:
        link.execute("BEGIN IMMEDIATE")

    def _translated(self, error: Exception) -> StoreError | None:
        if not isinstance(error, sqlite3.Error):
            return None
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in UNAVAILABLE:
            return StoreUnavailable(f"{self.path}: {UNAVAILABLE[code]} ({error}); nothing was changed")
        if str(error).startswith(("no such table", "no such column")):
            return not_migrated(error)
        return StoreError(f"{self.path}: {error}")

    def _is_transient(self, error: Exception) -> bool:  # noqa: ARG002 - the busy timeout has waited already
        return False

    def _is_broken(self, error: Exception) -> bool:
        return isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error)

    def _relieved(self, error: Exception) -> bool:
        """Fold the write-ahead log into the file when the disk is full: SQLite does so only after a commit."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_FULL:
            return False
        try:
            _, frames, folded = self._links.get().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error:  # there is no room for that either
            return False
        return bool(frames == folded)  # else a reader needs some of it still

    def now(self) -> datetime:
        """Return the host's clock, which is SQLite's."""
        return from_micros(now_micros())

    def live_locks(self) -> LiveLocks:
        """Return the locks beside the database's file."""
        files = self._read(lambda link: link.execute("PRAGMA database_list").fetchall())
        return LiveLocks(next(file for _, name, file in files if name == "main"))

    def change_counter(self) -> int | None:
        """Return SQLite's own counter of other connections' commits (``PRAGMA data_version``)."""
        return self._read(lambda link: int(link.execute("PRAGMA data_version").fetchone()[0]))

    # Enqueue ------------------------------------------------------------------------------------------

    def _insert(self, link: sqlite3.Connection, jobs: Sequence[NewJob]) -> list[Inserted]:
        now = now_micros()
        rows = [insert_row(job, now) for job in jobs]
        statement = f"INSERT INTO {self.jobs} ({NEW}) VALUES (?,?,?,?,?,?,?,?,?,?,?)"
        if len(rows) == 1:
            last = link.execute(statement, rows[0]).lastrowid
        else:
            # AUTOINCREMENT and a single writer: the ids of one transaction are consecutive
            link.executemany(statement, rows)
            last = link.execute("SELECT last_insert_rowid()").fetchone()[0]
        assert last is not None
        created = from_micros(now)
        return [inserted(row_id, row, created) for row_id, row in enumerate(rows, last - len(rows) + 1)]

    def _insert_keyed(self, link: sqlite3.Connection, jobs: Sequence[NewJob]) -> list[Inserted | None]:
        now = now_micros()
        statement = (
            f"INSERT INTO {self.jobs} ({KEYED}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
            f" ON CONFLICT (unique_lock) WHERE {UNIQUE_HELD} DO NOTHING"
        )
        made: list[Inserted | None] = []
        for job in jobs:
            row = insert_row(job, now)
            cursor = link.execute(statement, row + key_row(job, now))
            done = cursor.rowcount == 1 and cursor.lastrowid is not None
            made.append(inserted(cursor.lastrowid or 0, row, from_micros(now)) if done else None)
        return made

    def _let_expired_go(self, link: sqlite3.Connection, locks: Sequence[str]) -> None:
        link.execute(
            f"UPDATE {self.jobs} SET unique_lock = NULL WHERE unique_lock IN ({marks(locks)})"
            " AND unique_expires_at <= ?",
            (*locks, now_micros()),
        )

    def _clock(self) -> datetime:
        return self.now()

    def _know_queues(self, link: sqlite3.Connection, names: Iterable[str]) -> None:
        now = now_micros()
        link.executemany(
            f"INSERT OR IGNORE INTO {self.queues} (name, created_at) VALUES (?, ?)",
            [(name, now) for name in names],
        )

    def _know_queues_for(self, connection: Connection, names: Sequence[str]) -> None:
        """Insert the names in the caller's transaction, which may hold the only lock to write that there is."""
        table = self.tables.queues
        with self.translating():
            # read first: a transaction that enqueues into known queues only is to write jobs only
            known = set(connection.execute(select(table.c.name).where(table.c.name.in_(names))).scalars())
            for name in [name for name in names if name not in known]:
                values = {"name": name, "created_at": self.now()}
                connection.execute(sqlite_insert(table).values(values).on_conflict_do_nothing())
        after_commit(connection, lambda: self._known_queues.update(names))

    def _know_limits_for(self, connection: Connection | None, limits: Sequence[Limit]) -> None:
        """Write what limits say, in the caller's transaction if there is one: it may hold the only lock to write."""
        if connection is None:
            super()._know_limits_for(connection, limits)
            return
        with self.translating():
            declare(connection, self.tables, limits, self.now())
        after_commit(connection, lambda: self._known_limits.update(limits))

    # Claim --------------------------------------------------------------------------------------------

    def _hits(self, link: sqlite3.Connection, want: Want) -> list[tuple[str, int]]:
        """Read which pairs have anything: a look that finds nothing takes no write lock."""
        return [pair for pair in pairs(want) if self._pick(link, *pair, want, 1)]

    def _pick(self, link: sqlite3.Connection, queue: str, priority: int, want: Want, limit: int) -> list[Picked]:
        stamp, row_id = want.marks.get((queue, priority), (0, 0))
        return link.execute(
            f"SELECT id, announced_at, suspect FROM {self.jobs}"
            " WHERE queue = ? AND priority = ? AND announced_at IS NOT NULL AND (announced_at, id) > (?, ?)"
            f" AND announced_at < ? AND run_at <= ? AND {RUNNABLE} ORDER BY announced_at, id LIMIT ?",
            (queue, priority, stamp, row_id, to_micros(end_of(want, (queue, priority))), now_micros(), limit),
        ).fetchall()

    def _as_stamp(self, moment: datetime) -> int:
        return to_micros(moment)

    def _lock(self, link: sqlite3.Connection, ids: Sequence[int], worker: int, token: int) -> list[Claimed]:
        found = link.execute(
            f"UPDATE {self.jobs} SET locked_at = ?, locked_by = ?, claim_token = ?, attempts = attempts + 1,"
            f" {LET_KEY_GO} WHERE id IN ({marks(ids)}) RETURNING {CLAIMED}, unique_key",
            (now_micros(), worker, token, *ids),
        ).fetchall()
        return [claimed(row, token, from_micros) for row in found]

    def _lockable(self, link: sqlite3.Connection, ids: Sequence[int]) -> Mapping[int, Answer | None]:
        found = link.execute(
            f"SELECT {STATE}, run_at FROM {self.jobs} WHERE id IN ({marks(ids)})",
            tuple(ids),
        )
        now = now_micros()
        return {
            row_id: answer(failed, locked, held, parked, due=run_at <= now)
            for row_id, failed, locked, held, parked, run_at in found
        }

    # Finish -------------------------------------------------------------------------------------------

    def _delete(self, link: sqlite3.Connection, token: int, ids: Sequence[int]) -> set[int]:
        found = link.execute(
            f"DELETE FROM {self.jobs} WHERE id IN ({marks(ids)}) AND claim_token = ? RETURNING id",
            (*ids, token),
        )
        return {row_id for (row_id,) in found}

    def _release(self, link: sqlite3.Connection, release: Release) -> bool:
        now = now_micros()
        changed = link.execute(
            f"UPDATE {self.jobs} SET {FREE}, attempts = ?, parks = ?, updated_at = ?,"
            " run_at = coalesce(?, run_at), failed_at = ?, parked_at = ?,"
            " announced_at = CASE WHEN ? THEN announced_at END,"
            " crashes = CASE WHEN ? THEN crashes ELSE 0 END, suspect = (suspect AND ?),"
            " unique_lock = CASE WHEN NOT ? THEN unique_lock END,"
            " last_error = coalesce(?, last_error) WHERE id = ? AND claim_token = ? AND cancelled_at IS NULL",
            (
                release.attempts,
                release.parks,
                now,
                None if release.run_at is None else to_micros(release.run_at),
                now if release.failed else None,
                now if release.parked else None,
                release.keep_announced,
                release.keep_crashes,
                release.keep_crashes,
                release.failed,
                release.last_error,
                release.id,
                release.token,
            ),
        )
        return changed.rowcount == 1

    def _keep_error(self, link: sqlite3.Connection, release: Release) -> None:
        statement = self.errors.statement(str(now_micros()), "?", REPLACE)
        link.execute(statement, values_of(release))

    def _forget_errors(self, link: sqlite3.Connection, ids: Sequence[int]) -> None:
        link.execute(f"DELETE FROM {self.errors.name} WHERE job_id IN ({marks(ids)})", tuple(ids))

    def _fail_cancelled(self, link: sqlite3.Connection, release: Release) -> bool:
        statement = fail_cancelled(self.jobs, str(now_micros()), "?")
        return link.execute(statement, (release.attempts, release.id, release.token)).rowcount == 1

    # Announce -----------------------------------------------------------------------------------------

    def _due(self, link: sqlite3.Connection, limit: int, within: timedelta = NONE) -> list[Upcoming]:
        until = now_micros() + within // timedelta(microseconds=1)
        due: list[Upcoming] = []
        for priority in PRIORITIES:
            found = link.execute(
                f"SELECT id, run_at FROM {self.jobs}"
                f" WHERE priority = ? AND run_at <= ? AND {WAITING} ORDER BY run_at LIMIT ?",
                (priority, until, limit),
            )
            due += [Upcoming(row_id, from_micros(run_at), priority) for row_id, run_at in found]
        return due

    def _announce(self, link: sqlite3.Connection, ids: Sequence[int], columns: str) -> list[Any]:
        now = now_micros()
        found = link.execute(
            f"UPDATE {self.jobs} SET announced_at = ?, parked_at = NULL WHERE id IN ({marks(ids)}) AND run_at <= ?"
            f" AND {WAITING} RETURNING {columns}",
            (now, *ids, now),
        )
        return [(from_micros(now), *values) for values in found.fetchall()]

    def _next_due(self, link: sqlite3.Connection) -> datetime | None:
        firsts = [
            link.execute(
                f"SELECT run_at FROM {self.jobs} WHERE priority = ? AND {WAITING} ORDER BY run_at LIMIT 1",
                (priority,),
            ).fetchone()
            for priority in PRIORITIES
        ]
        return min((from_micros(first[0]) for first in firsts if first), default=None)


def inserted(row_id: int, row: Sequence[Any], created: datetime) -> Inserted:
    """Return what the database made of a row, of the values that were given to it."""
    return Inserted(row_id, from_micros(row[6]), created if row[8] is not None else None, created)


def key_row(job: NewJob, now: int) -> tuple[Any, ...]:
    """Return what a unique job's row has beside, in the order of KEYED."""
    assert job.unique is not None
    seconds = job.unique.seconds
    expires_at = None if seconds is None else now + timedelta(seconds=seconds) // timedelta(microseconds=1)
    return job.unique.key, job.unique.until, job.unique.lock(job.name), expires_at


def insert_row(job: NewJob, now: int) -> tuple[Any, ...]:
    """Return the values of an INSERT, in the order of its columns."""
    run_at = now
    announced: int | None = now
    if job.run_at is not None:
        run_at, announced = to_micros(job.run_at), None
    elif delay := delay_of(job):
        run_at, announced = now + delay // timedelta(microseconds=1), None
    expires_at = None if job.expires_at is None else to_micros(job.expires_at)
    return (
        job.queue,
        job.priority,
        job.name,
        job.payload,
        job.meta,
        job.max_attempts,
        run_at,
        expires_at,
        announced,
        now,
        now,
    )
