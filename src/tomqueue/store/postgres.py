"""PostgreSQL: rows are claimed by FOR UPDATE SKIP LOCKED, at READ COMMITTED.

``statement_timestamp()`` is the clock: it stands still within a statement, so that an index can be asked with it
(``clock_timestamp()`` is volatile: it would be compared with every future row), and it moves on within a
transaction (``now()`` does not).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import psycopg
from sqlalchemy import ColumnElement, Connection, DateTime, Engine, event, func, select, text, true

from tomqueue.errors import OutcomeUnknown, StoreError, StoreUnavailable
from tomqueue.job import Claimed, NewJob
from tomqueue.priority import PRIORITIES
from tomqueue.settings import Settings
from tomqueue.store.announcing import Upcoming
from tomqueue.store.attempt_errors import UPSERT, values_of
from tomqueue.store.base import Answer, Ending, Hold, Inserted, Release, Want
from tomqueue.store.columns import EPOCH
from tomqueue.store.dialect import NONE
from tomqueue.store.links import closed_on_error, detached
from tomqueue.store.picking import Picked, end_of, pairs, patiently
from tomqueue.store.postgres_link import Link, array, has_news, rows, run, watch_over
from tomqueue.store.postgres_text import NOW, keyed_row_of, row_of, rows_of
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
    fail_cancelled,
    not_migrated,
)

__all__ = ["PostgresStore"]

T = TypeVar("T")

# SQLSTATEs, by the manual's appendix "PostgreSQL Error Codes"; two characters name a class
TRANSIENT = ("40001", "40P01")
BROKEN = ("08", "57P01", "57P02", "57P03", "57P05", "25P03")
OWN_DOING = ("55P03", "57014", "25P03")
NOT_MIGRATED = ("42P01", "42703", "3F000")
UNAVAILABLE = {
    "25006": "it is read-only",
    "40": "other transactions were in the way",
    "53": "it has no room left (disk, memory or connections)",
    "55P03": "another transaction holds its lock",
    "57014": "the statement took too long",
    "58": "its host failed",
}


class PostgresStore(SqlStore):
    """The rows in PostgreSQL, by psycopg."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        super().__init__(engine, settings)
        event.listen(engine, "connect", watch_over)

    # Connections --------------------------------------------------------------------------------------

    def _connect(self) -> Link:
        link = detached(self.engine)
        assert isinstance(link, psycopg.Connection)
        with closed_on_error(link):
            link.autocommit = True
            link.execute(
                "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS s(name, value)",
                self._session(),
            )
        return link

    def _session(self) -> tuple[list[str], list[str]]:
        """Return our session's settings: the names and the values."""
        lock_wait = max(1, int(self.settings.database_timeout * 1000))
        settings = {
            "application_name": "tomqueue",
            "TimeZone": "UTC",
            "default_transaction_isolation": "read committed",
            "lock_timeout": f"{lock_wait}ms",
            "statement_timeout": f"{2 * lock_wait}ms",
            # a process that is frozen within a transaction keeps no row locks past its lease
            "idle_in_transaction_session_timeout": f"{int(self.settings.lease * 1000)}ms",
            # every statement here is a few probes of an index: statistics of a table that was empty or full
            # when they were taken must not talk the planner out of it
            "enable_seqscan": "off",
            "enable_bitmapscan": "off",
            "enable_sort": "off",
            "jit": "off",
            "max_parallel_workers_per_gather": "0",
        }
        return list(settings), list(settings.values())

    def _begin(self, link: Link) -> None:
        link.execute("BEGIN")

    def _translated(self, error: Exception) -> StoreError | None:
        if not isinstance(error, psycopg.Error):
            return None
        state = error.sqlstate or ""
        if state in NOT_MIGRATED:
            return not_migrated(error)
        reason = UNAVAILABLE.get(state) or UNAVAILABLE.get(state[:2])
        if reason is None and self._is_broken(error):
            reason = "the connection broke"
        if reason is not None:
            return StoreUnavailable(f"the database cannot do it now: {reason} ({error}); nothing was changed")
        return StoreError(f"the database refused: {error}")

    def _is_transient(self, error: Exception) -> bool:
        return isinstance(error, psycopg.Error) and error.sqlstate in TRANSIENT

    def _is_broken(self, error: Exception) -> bool:
        if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            return False
        return error.sqlstate is None or error.sqlstate.startswith(BROKEN)

    def _is_own_doing(self, error: Exception) -> bool:
        return isinstance(error, psycopg.Error) and error.sqlstate in OWN_DOING

    def now(self) -> datetime:
        """Return the server's clock."""
        instant: datetime = self._read(lambda link: rows(link, f"SELECT {NOW}"))[0][0]
        return instant.astimezone(UTC)

    # Enqueue ------------------------------------------------------------------------------------------

    def _insert(self, link: Link, jobs: Sequence[NewJob]) -> list[Inserted]:
        source, values = row_of(jobs[0]) if len(jobs) == 1 else rows_of(jobs)
        found = rows(
            link,
            f"INSERT INTO {self.jobs} ({NEW}) {source} RETURNING id, run_at, announced_at, created_at",
            values,
        )
        return [Inserted(*row) for row in sorted(found)]

    def _insert_keyed(self, link: Link, jobs: Sequence[NewJob]) -> list[Inserted | None]:
        made: dict[str, Inserted] = {}
        for some in batched(jobs, KEYED_ROWS):
            parts = [keyed_row_of(job) for job in some]
            found = rows(
                link,
                f"INSERT INTO {self.jobs} ({KEYED}) VALUES {','.join(part for part, _ in parts)}"
                f" ON CONFLICT (unique_lock) WHERE {UNIQUE_HELD} DO NOTHING"
                " RETURNING unique_lock, id, run_at, announced_at, created_at",
                [value for _, values in parts for value in values],
            )
            made |= {lock: Inserted(*row) for lock, *row in found}
        return [None if job.unique is None else made.get(job.unique.lock(job.name)) for job in jobs]

    def _let_expired_go(self, link: Link, locks: Sequence[str]) -> None:
        run(
            link,
            f"UPDATE {self.jobs} SET unique_lock = NULL WHERE unique_lock = ANY(%s::text[])"
            f" AND unique_expires_at <= {NOW}",
            (list(locks),),
        )

    def _limit_waits(self, connection: Connection) -> None:
        session = dict(zip(*self._session(), strict=True))
        limits = {name: session[name] for name in ("lock_timeout", "idle_in_transaction_session_timeout")}
        connection.execute(select(*(func.set_config(name, value, true()) for name, value in limits.items())))

    def _be_impatient(self, connection: Connection) -> None:
        connection.execute(text("SET LOCAL lock_timeout = '100ms'"))

    def _clock(self) -> ColumnElement[datetime]:
        return func.statement_timestamp(type_=DateTime(timezone=True))

    def _know_queues(self, link: Link, names: Iterable[str]) -> None:
        run(
            link,
            f"INSERT INTO {self.queues} (name, created_at) SELECT name, {NOW} FROM unnest(%s::text[]) AS n(name)"
            " ON CONFLICT DO NOTHING",
            (list(names),),
        )

    # Claim --------------------------------------------------------------------------------------------

    def finish_and_claim(
        self, endings: Sequence[Ending], ids: Sequence[int], worker: int, token: int
    ) -> tuple[Mapping[int, Claimed | Answer], list[Hold]]:
        """Finish, and claim by key; the claim of an idle worker is one statement, and one round trip."""
        if len(ids) == 1 and not endings:  # of several it could win some, and then fail to ask for the others
            won = self._at_once(lambda link: self._lock_free(link, ids, worker, token))
            if won:
                return {won[0].id: won[0]}, []
        return super().finish_and_claim(endings, ids, worker, token)

    def _hits(self, link: Link, want: Want) -> list[tuple[str, int]]:
        turn = pairs(want)
        marks = [want.marks.get(pair, NO_MARK) for pair in turn]
        found = rows(
            link,
            "SELECT w.place - 1, first.announced_at, first.id"
            " FROM unnest(%s::text[], %s::smallint[], %s::timestamptz[], %s::bigint[], %s::timestamptz[])"
            " WITH ORDINALITY AS w(queue, priority, stamp, id, before, place)"
            f" CROSS JOIN LATERAL (SELECT announced_at, j.id FROM {self.jobs} AS j"
            " WHERE j.queue = w.queue AND j.priority = w.priority AND announced_at IS NOT NULL"
            " AND (announced_at, j.id) > (w.stamp, w.id) AND announced_at < w.before"
            f" AND run_at <= {NOW} AND {RUNNABLE}"
            " ORDER BY announced_at, j.id LIMIT 1) AS first",
            (
                [queue for queue, _ in turn],
                [priority for _, priority in turn],
                [stamp for stamp, _ in marks],
                [row_id for _, row_id in marks],
                [end_of(want, pair) for pair in turn],
            ),
        )
        for place, stamp, row_id in found:
            want.marks[turn[place]] = (stamp, row_id - 1)
        return [turn[place] for place, _, _ in sorted(found)]

    def _pick(self, link: Link, queue: str, priority: int, want: Want, limit: int) -> list[Picked]:
        stamp, row_id = want.marks.get((queue, priority), NO_MARK)
        return rows(
            link,
            f"SELECT id, announced_at, suspect FROM {self.jobs} WHERE queue = %s AND priority = %s"
            " AND announced_at IS NOT NULL AND (announced_at, id) > (%s::timestamptz, %s::bigint)"
            f" AND announced_at < %s::timestamptz AND run_at <= {NOW} AND {RUNNABLE}"
            " ORDER BY announced_at, id LIMIT %s FOR UPDATE SKIP LOCKED",
            (queue, priority, stamp, row_id, end_of(want, (queue, priority)), limit),
        )

    def _lock(self, link: Link, ids: Sequence[int], worker: int, token: int) -> list[Claimed]:
        return self._claim(link, "", "WHERE id = ANY(%s::bigint[])", (worker, token, array(ids)))

    def _lock_free(self, link: Link, ids: Sequence[int], worker: int, token: int) -> list[Claimed]:
        free = (
            f"WITH free AS MATERIALIZED (SELECT id AS free_id FROM {self.jobs} WHERE id = ANY(%s::bigint[])"
            f" AND run_at <= {NOW} AND {RUNNABLE} ORDER BY id FOR UPDATE SKIP LOCKED)"
        )
        return self._claim(link, free, "FROM free WHERE id = free_id", (array(ids), worker, token))

    def _claim(self, link: Link, before: str, which: str, parameters: Sequence[Any]) -> list[Claimed]:
        found = rows(
            link,
            f"{before} UPDATE {self.jobs} SET locked_at = {NOW}, locked_by = %s, claim_token = %s,"
            f" attempts = attempts + 1, {LET_KEY_GO} {which} RETURNING {CLAIMED}, claim_token, unique_key",
            parameters,
        )
        return [Claimed(*row) for row in found]  # psycopg reads a column as what it is, and a time in UTC

    def _lockable(self, link: Link, ids: Sequence[int]) -> Mapping[int, Answer | None]:
        def lock(some: Sequence[int]) -> dict[int, Answer | None]:
            found = rows(
                link,
                f"SELECT {STATE}, run_at <= {NOW} FROM {self.jobs} WHERE id = ANY(%s::bigint[])"
                " ORDER BY id FOR UPDATE SKIP LOCKED",
                (array(some),),
            )
            return {row_id: answer(*state, due=due) for row_id, *state, due in found}

        def present(some: Sequence[int]) -> Collection[int]:
            found = rows(link, f"SELECT id FROM {self.jobs} WHERE id = ANY(%s::bigint[])", (array(some),))
            return [row_id for (row_id,) in found]

        return patiently(lock, present, ids)

    # Finish -------------------------------------------------------------------------------------------

    def _delete(self, link: Link, token: int, ids: Sequence[int]) -> set[int]:
        found = rows(
            link,
            f"DELETE FROM {self.jobs} WHERE id = ANY(%s::bigint[]) AND claim_token = %s RETURNING id",
            (array(ids), token),
        )
        return {row_id for (row_id,) in found}

    def _release(self, link: Link, release: Release) -> bool:
        changed = run(
            link,
            f"UPDATE {self.jobs} SET {FREE}, attempts = %s, parks = %s, updated_at = {NOW},"
            f" run_at = coalesce(%s::timestamptz, run_at), failed_at = CASE WHEN %s THEN {NOW} END,"
            f" parked_at = CASE WHEN %s THEN {NOW} END, announced_at = CASE WHEN %s THEN announced_at END,"
            " crashes = CASE WHEN %s THEN crashes ELSE 0 END, suspect = (suspect AND %s),"
            " unique_lock = CASE WHEN NOT %s THEN unique_lock END,"
            " last_error = coalesce(%s::text, last_error) WHERE id = %s AND claim_token = %s AND cancelled_at IS NULL",
            (
                release.attempts,
                release.parks,
                release.run_at,
                release.failed,
                release.parked,
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

    def _keep_error(self, link: Link, release: Release) -> None:
        run(link, self.errors.statement(NOW, "%s", UPSERT), values_of(release))

    def _forget_errors(self, link: Link, ids: Sequence[int]) -> None:
        run(link, f"DELETE FROM {self.errors.name} WHERE job_id = ANY(%s::bigint[])", (array(ids),))

    def _fail_cancelled(self, link: Link, release: Release) -> bool:
        statement = fail_cancelled(self.jobs, NOW, "%s")
        return run(link, statement, (release.attempts, release.id, release.token)).rowcount == 1

    # Announce -----------------------------------------------------------------------------------------

    def _due(self, link: Link, limit: int, within: timedelta = NONE) -> list[Upcoming]:
        found = rows(
            link,
            "SELECT p.priority, due.run_at, due.id FROM unnest(%s::smallint[]) AS p(priority) CROSS JOIN LATERAL"
            f" (SELECT id, run_at FROM {self.jobs} AS j WHERE j.priority = p.priority AND run_at <= {NOW} + %s"
            f" AND {WAITING} ORDER BY run_at LIMIT %s) AS due",
            (list(PRIORITIES), within, limit),
        )
        return [Upcoming(row_id, run_at, priority) for priority, run_at, row_id in sorted(found)]

    def _announce(self, link: Link, ids: Sequence[int], columns: str) -> list[Any]:
        # Its COMMIT need not wait for the disk: what a crash of the server takes back is unannounced again, so it is
        # announced once more; and a claim that was made on the strength of it stands later in the log and waits for
        # the disk, with all that is before it.
        return rows(
            link,
            f"WITH due AS MATERIALIZED (SELECT id AS due_id FROM {self.jobs} WHERE id = ANY(%s::bigint[])"
            f" AND run_at <= {NOW} AND {WAITING} ORDER BY id FOR UPDATE SKIP LOCKED),"
            " quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))"
            f" UPDATE {self.jobs} SET announced_at = {NOW}, parked_at = NULL FROM due, quick WHERE id = due_id"
            f" RETURNING announced_at, {columns}",
            (array(ids),),
        )

    def _at_once(self, work: Callable[[Link], T]) -> T:
        """Run one statement, which is a transaction of its own: one round trip."""
        return self._repeated(lambda: self._alone(work))

    def _alone(self, work: Callable[[Link], T]) -> T:
        link = self._links.get()
        if link.closed or has_news(link):  # its session has ended, for example: noticed while nothing was sent yet
            self._links.drop()
            link = self._links.get()
        try:
            return work(link)
        except Exception as error:
            if not self._is_broken(error):
                raise
            self._links.drop()
            if is_refusal(error):
                raise
            raise OutcomeUnknown(f"the connection broke before the answer came: {error}") from error

    def _next_due(self, link: Link) -> datetime | None:
        found = rows(
            link,
            "SELECT next.run_at FROM unnest(%s::smallint[]) AS p(priority) CROSS JOIN LATERAL"
            f" (SELECT run_at FROM {self.jobs} AS j WHERE j.priority = p.priority AND {WAITING}"
            " ORDER BY run_at LIMIT 1) AS next",
            (list(PRIORITIES),),
        )
        return min((run_at for (run_at,) in found), default=None)


NO_MARK = (EPOCH, 0)
KEYED_ROWS = 500
"""Unique jobs of one INSERT: a statement has at most 65,535 values."""


def batched(jobs: Sequence[NewJob], size: int) -> Iterator[Sequence[NewJob]]:
    """Cut ``jobs`` into pieces."""
    for begin in range(0, len(jobs), size):
        yield jobs[begin : begin + size]


def is_refusal(error: Exception) -> bool:
    """Say whether the server itself ended the session instead of carrying out what it was sent.

    It says so by a SQLSTATE, and ends no session between a COMMIT and its answer but without one: by a warning where
    it gives up to wait for a synchronous standby (its manual, "Synchronous Replication"), or by a closed connection.
    """
    return isinstance(error, psycopg.Error) and error.sqlstate is not None
