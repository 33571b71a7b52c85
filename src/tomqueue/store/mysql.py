"""MariaDB (10.6 or newer) and MySQL 8, by mysqlclient or PyMySQL: READ COMMITTED, sorted keys, SKIP LOCKED.

The clock is UTC_TIMESTAMP(6): it stands still within a statement, moves on within a transaction, and no session's
time zone changes it. Index hints are needed where the optimizer would rather read all rows of a table that was
small when it last counted them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Engine, event, func, literal_column

from tomqueue.errors import StoreError, StoreUnavailable
from tomqueue.job import Claimed, NewJob
from tomqueue.priority import PRIORITIES
from tomqueue.settings import Settings
from tomqueue.store.announcing import Upcoming
from tomqueue.store.attempt_errors import REPLACE, values_of
from tomqueue.store.base import Answer, Inserted, Release, Want
from tomqueue.store.dialect import NONE
from tomqueue.store.forks import leave_to_parent
from tomqueue.store.links import closed_on_error, detached, keep_alive
from tomqueue.store.mysql_keys import MysqlKeys
from tomqueue.store.mysql_link import rows, run
from tomqueue.store.mysql_text import (
    MICROSECOND,
    NOW,
    as_text,
    code_of,
    in_utc,
    insert_row,
    listed,
    packets,
)
from tomqueue.store.picking import Picked, pairs, patiently
from tomqueue.store.sql import SqlStore
from tomqueue.store.statements import (
    CLAIMED,
    FREE,
    LET_KEY_GO,
    NEW,
    RUNNABLE,
    STATE,
    WAITING,
    answer,
    claimed,
    fail_cancelled,
    not_migrated,
)
from tomqueue.store.transactions import TRANSIENT_RETRIES

__all__ = ["MysqlStore"]

T = TypeVar("T")

# numbers by MySQL's "Server Error Message Reference"; 1020 is MariaDB's innodb_snapshot_isolation
LOCK_WAIT_TIMEOUT = 1205
TRANSIENT = {1020, LOCK_WAIT_TIMEOUT, 1213}
BROKEN = {0, 1053, 1927, 2002, 2003, 2006, 2013, 2055, 4031}
NOT_MIGRATED = {1054, 1146}
UNAVAILABLE = {
    1020: "other transactions were in the way",
    1021: "its disk is full",
    1040: "it has too many connections",
    1114: "its disk is full",
    1203: "this user has too many connections",
    1205: "another transaction holds its lock",
    1213: "other transactions were in the way",
    1226: "this user has too many connections",
    1290: "it is read-only",
    1792: "it is read-only",
    1836: "it is read-only",
}


class MysqlStore(SqlStore):
    """The rows in MariaDB or MySQL."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        super().__init__(engine, settings)
        self._driver = engine.dialect.loaded_dbapi
        self._returning = False
        self._due_index = f"{self.tables.jobs.name}_due"
        self._ready_index = f"{self.tables.jobs.name}_ready"
        self._keys = MysqlKeys(self.jobs, f"{self.tables.jobs.name}_unique", self._insert_made, settings)
        event.listen(engine, "connect", self._prepare)

    # Connections --------------------------------------------------------------------------------------

    def _connect(self) -> Any:
        link = detached(self.engine)
        with closed_on_error(link):
            link.autocommit(True)
            self._returning = "MariaDB" in link.get_server_info()
        return link

    def _prepare(self, link: Any, _record: object) -> None:
        """Make every connection of our engine the same, whatever the server's defaults are."""
        # a server that is gone without a word is noticed, also by what renews leases
        keep_alive(link.fileno() if hasattr(link, "fileno") else link._sock.fileno())  # noqa: SLF001 - PyMySQL's only way
        if hasattr(link, "fileno"):  # mysqlclient; PyMySQL says no goodbye by itself
            leave_to_parent(link)
        # whole seconds; then the transaction is tried again, as after a deadlock
        lock_wait = max(1, int(self.settings.database_timeout / TRANSIENT_RETRIES))
        run(
            link,
            "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION',"
            # the second is for a table that somebody has locked as a whole; the server's default is a day
            f" time_zone = '+00:00', innodb_lock_wait_timeout = {lock_wait}, lock_wait_timeout = {lock_wait}",
        )
        run(link, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")

    def _begin(self, link: Any) -> None:
        run(link, "START TRANSACTION")

    def _translated(self, error: Exception) -> StoreError | None:
        if not isinstance(error, self._driver.Error):
            return None
        code = code_of(error)
        if code in NOT_MIGRATED:
            return not_migrated(error)
        reason = "the connection broke" if self._is_broken(error) else UNAVAILABLE.get(code)
        if reason is not None:
            return StoreUnavailable(f"the database cannot do it now: {reason} ({error}); nothing was changed")
        return StoreError(f"the database refused: {error}")

    def _is_transient(self, error: Exception) -> bool:
        return isinstance(error, self._driver.Error) and code_of(error) in TRANSIENT

    def _is_broken(self, error: Exception) -> bool:
        return isinstance(error, self._driver.InterfaceError) or (
            isinstance(error, self._driver.Error) and code_of(error) in BROKEN
        )

    def _is_own_doing(self, error: Exception) -> bool:
        return isinstance(error, self._driver.Error) and code_of(error) == LOCK_WAIT_TIMEOUT

    def now(self) -> datetime:
        """Return the server's clock."""
        return in_utc(self._read(lambda link: rows(link, f"SELECT {NOW}"))[0][0])

    # Enqueue ------------------------------------------------------------------------------------------

    def _insert(self, link: Any, jobs: Sequence[NewJob]) -> list[Inserted]:
        inserted: list[Inserted] = []
        for some in packets(jobs):
            inserted += self._insert_made(link, NEW, [insert_row(job) for job in some])
        return inserted

    def _insert_made(self, link: Any, columns: str, made: Sequence[tuple[str, list[Any]]]) -> list[Inserted]:
        """Insert rows of these columns, each of a text and its values; answer in their order."""
        statement = f"INSERT INTO {self.jobs} ({columns}) VALUES {','.join(text for text, _ in made)}"
        values = [value for _, row in made for value in row]
        wanted = "id, run_at, announced_at, created_at"
        if self._returning:
            found = rows(link, f"{statement} RETURNING {wanted}", values)
        else:
            run(link, statement, values)
            found = self._just_inserted(link, wanted, len(made))
        return [
            Inserted(row_id, in_utc(run_at), None if announced is None else in_utc(announced), in_utc(created))
            for row_id, run_at, announced, created in sorted(found)
        ]

    def _insert_keyed(self, link: Any, jobs: Sequence[NewJob]) -> list[Inserted | None]:
        return self._keys.insert(link, jobs)

    def _let_expired_go(self, link: Any, locks: Sequence[str]) -> None:
        self._keys.let_expired_go(link, locks)

    def with_key(self, lock: str, work: Callable[[bool], T]) -> T:
        """Call ``work`` with whether a committed row holds a key; no other enqueue takes it meanwhile."""
        self._read(lambda link: self._keys.take_turn(link, lock))
        try:
            return work(self._repeated(lambda: self._read_once(lambda link: self._keys.is_held(link, lock))))
        finally:
            with suppress(Exception):  # a session that is gone has no turn any more
                self._keys.end_turn(self._links.get(), lock)

    def _just_inserted(self, link: Any, wanted: str, count: int) -> list[Any]:
        """Read back what MySQL, which has no RETURNING, has just inserted.

        "If the only statements executing are simple inserts [VALUES of a known number of rows], there are no gaps in
        the numbers generated for a single statement" (MySQL's manual, in every innodb_autoinc_lock_mode), and
        LAST_INSERT_ID() is the first of them. A gap, by someone's INSERT … SELECT at the same time, is noticed.
        """
        found = rows(
            link,
            f"SELECT {wanted} FROM {self.jobs} FORCE INDEX (PRIMARY) WHERE id BETWEEN LAST_INSERT_ID()"
            " AND LAST_INSERT_ID() + %s * @@auto_increment_increment"
            " AND (id - LAST_INSERT_ID()) MOD @@auto_increment_increment = 0",
            (count - 1,),
        )
        if len(found) != count:
            raise StoreError(f"{count} rows were inserted and {len(found)} found: nothing was changed, try again")
        return found

    def _clock(self) -> ColumnElement[datetime]:
        return literal_column(NOW, type_=self.tables.jobs.c.created_at.type)

    def _later(self, clock: ColumnElement[datetime], delay: timedelta) -> ColumnElement[datetime]:
        return func.timestampadd(literal_column("MICROSECOND"), delay // MICROSECOND, clock)

    def _know_queues(self, link: Any, names: Iterable[str]) -> None:
        known = list(names)
        values = ",".join([f"(%s, {NOW})"] * len(known))
        run(
            link,
            f"INSERT INTO {self.queues} (name, created_at) VALUES {values} ON DUPLICATE KEY UPDATE name = name",
            known,
        )

    # Claim --------------------------------------------------------------------------------------------

    def _hits(self, link: Any, want: Want) -> list[tuple[str, int]]:
        turn = pairs(want)
        if not turn:
            return []
        probes = [self._ready(queue, priority, want) for queue, priority in turn]
        branches = [
            f"(SELECT {place} AS place, announced_at, id {text} LIMIT 1)" for place, (text, _) in enumerate(probes)
        ]
        found = rows(link, " UNION ALL ".join(branches), [value for _, values in probes for value in values])
        for place, stamp, row_id in found:
            want.marks[turn[place]] = (stamp, row_id - 1)
        return [turn[place] for place, _, _ in sorted(found)]

    def _pick(self, link: Any, queue: str, priority: int, want: Want, limit: int) -> list[Picked]:
        text, values = self._ready(queue, priority, want)
        return rows(link, f"SELECT id, announced_at, suspect {text} LIMIT %s FOR UPDATE SKIP LOCKED", [*values, limit])

    def _ready(self, queue: str, priority: int, want: Want) -> tuple[str, list[Any]]:
        """Return what stands between SELECT and LIMIT to read ready rows past the mark in the order of the index."""
        past, values = "announced_at IS NOT NULL", []
        if mark := want.marks.get((queue, priority)):
            # not (announced_at, id) > (…, …): a row comparison is no range of an index here
            past = "(announced_at > %s OR (announced_at = %s AND id > %s))"
            values = [as_text(mark[0]), as_text(mark[0]), mark[1]]
        if want.before is not None:
            past, values = f"{past} AND announced_at < %s", [*values, as_text(want.before[queue, priority])]
        text = (
            f"FROM {self.jobs} FORCE INDEX ({self._ready_index}) WHERE queue = %s AND priority = %s AND {past}"
            f" AND run_at <= {NOW} AND {RUNNABLE} ORDER BY announced_at, id"
        )
        return text, [queue, priority, *values]

    def _lock(self, link: Any, ids: Sequence[int], worker: int, token: int) -> list[Claimed]:
        # "locked_by IS NULL" and the token: with innodb_rollback_on_timeout the row locks may be gone by now
        keys = listed(ids)
        run(
            link,
            f"UPDATE {self.jobs} FORCE INDEX (PRIMARY) SET locked_at = {NOW}, locked_by = %s, claim_token = %s,"
            f" attempts = attempts + 1, {LET_KEY_GO} WHERE id IN ({keys}) AND locked_by IS NULL",
            (worker, token),
        )
        found = rows(
            link,
            f"SELECT {CLAIMED}, unique_key FROM {self.jobs} FORCE INDEX (PRIMARY)"
            f" WHERE id IN ({keys}) AND claim_token = %s",
            (token,),
        )
        return [claimed(row, token, in_utc) for row in found]

    def _lockable(self, link: Any, ids: Sequence[int]) -> Mapping[int, Answer | None]:
        def lock(some: Sequence[int]) -> dict[int, Answer | None]:
            found = rows(
                link,
                f"SELECT {STATE}, run_at <= {NOW} FROM {self.jobs} FORCE INDEX (PRIMARY)"
                f" WHERE id IN ({listed(some)}) FOR UPDATE SKIP LOCKED",
            )
            return {row_id: answer(*state, due=due) for row_id, *state, due in found}

        def present(some: Sequence[int]) -> Collection[int]:
            found = rows(link, f"SELECT id FROM {self.jobs} FORCE INDEX (PRIMARY) WHERE id IN ({listed(some)})")
            return [row_id for (row_id,) in found]

        return patiently(lock, present, ids)

    # Finish -------------------------------------------------------------------------------------------

    def _delete(self, link: Any, token: int, ids: Sequence[int]) -> set[int]:
        ours = f"WHERE id IN ({listed(ids)}) AND claim_token = %s"
        if self._returning:
            return {row_id for (row_id,) in rows(link, f"DELETE FROM {self.jobs} {ours} RETURNING id", (token,))}
        held = set(ids)
        if len(held) > 1:  # a count of the deleted would not say which
            found = rows(link, f"SELECT id FROM {self.jobs} FORCE INDEX (PRIMARY) {ours} FOR UPDATE", (token,))
            held = {row_id for (row_id,) in found}
        return held if run(link, f"DELETE FROM {self.jobs} {ours}", (token,)) == len(held) else set()

    def _release(self, link: Any, release: Release) -> bool:
        changed = run(
            link,
            f"UPDATE {self.jobs} SET {FREE}, attempts = %s, parks = %s, updated_at = {NOW},"
            f" run_at = coalesce(%s, run_at), failed_at = CASE WHEN %s THEN {NOW} END,"
            f" parked_at = CASE WHEN %s THEN {NOW} END, announced_at = CASE WHEN %s THEN announced_at END,"
            " crashes = CASE WHEN %s THEN crashes ELSE 0 END, suspect = (suspect AND %s),"
            " unique_lock = CASE WHEN NOT %s THEN unique_lock END,"
            " last_error = coalesce(%s, last_error) WHERE id = %s AND claim_token = %s AND cancelled_at IS NULL",
            (
                release.attempts,
                release.parks,
                None if release.run_at is None else as_text(release.run_at),
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
        return changed == 1

    def _keep_error(self, link: Any, release: Release) -> None:
        run(link, self.errors.statement(NOW, "%s", REPLACE), values_of(release))

    def _forget_errors(self, link: Any, ids: Sequence[int]) -> None:
        run(link, f"DELETE FROM {self.errors.name} WHERE job_id IN ({listed(ids)})")

    def _fail_cancelled(self, link: Any, release: Release) -> bool:
        return run(link, fail_cancelled(self.jobs, NOW, "%s"), (release.attempts, release.id, release.token)) == 1

    # Announce -----------------------------------------------------------------------------------------

    def _due(self, link: Any, limit: int, within: timedelta = NONE) -> list[Upcoming]:
        until = f"{NOW} + INTERVAL {within // MICROSECOND:d} MICROSECOND"
        found = rows(link, self._waiting(f"due_at <= {until}", limit))
        return [Upcoming(row_id, in_utc(due_at), priority) for priority, due_at, row_id in sorted(found)]

    def _announce(self, link: Any, ids: Sequence[int], columns: str) -> list[Any]:
        found = rows(
            link,
            f"SELECT id, {NOW}, {columns} FROM {self.jobs} FORCE INDEX (PRIMARY) WHERE id IN ({listed(ids)})"
            f" AND run_at <= {NOW} AND {WAITING} FOR UPDATE SKIP LOCKED",
        )
        if not found:
            return []
        stamp = in_utc(found[0][1])
        run(
            link,
            f"UPDATE {self.jobs} FORCE INDEX (PRIMARY) SET announced_at = %s, parked_at = NULL"
            f" WHERE id IN ({listed(row[0] for row in found)})",
            (as_text(stamp),),
        )
        return [(stamp, *values) for _, _, *values in found]

    def _next_due(self, link: Any) -> datetime | None:
        found = rows(link, self._waiting("due_at IS NOT NULL", 1))
        return min((in_utc(due_at) for _, due_at, _ in found), default=None)

    def _waiting(self, when: str, limit: int) -> str:
        """Return a statement that reads waiting rows of each priority, earliest first: priority, time, id."""
        return " UNION ALL ".join(
            f"(SELECT priority, due_at, id FROM {self.jobs} FORCE INDEX ({self._due_index})"
            f" WHERE priority = {priority} AND {when} AND locked_by IS NULL ORDER BY due_at LIMIT {limit:d})"
            for priority in PRIORITIES
        )
