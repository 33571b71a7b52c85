"""What the SQL stores share: transactions, retries, and the order of a take. Statements differ by dialect."""

import random
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DBAPIError

from tomqueue.errors import OutcomeUnknown, StoreError, StoreUnavailable
from tomqueue.job import Claimed, NewJob
from tomqueue.settings import Settings
from tomqueue.store import rows
from tomqueue.store.base import Announced, Answer, Delete, Ending, Inserted, Release, Want
from tomqueue.store.commit import after_commit
from tomqueue.store.links import Links
from tomqueue.store.schema import Tables, tables

__all__ = ["PRIORITIES", "Picked", "SqlStore"]

T = TypeVar("T")
PRIORITIES = range(4)
TRANSIENT_RETRIES = 8

Picked = tuple[int, Any, bool]
"""A row that a take chose: id, stamp as the driver gives it, whether it is suspect."""


class SqlStore(ABC):
    """A Store over SQL. The hot statements go to the driver; SQLAlchemy serves what is cold.

    A dialect says how to connect, how to begin, how its statements read and what its errors mean.
    """

    returns_rows = True
    """Whether INSERT, UPDATE and DELETE can RETURN rows."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine = engine
        self.settings = settings
        self.tables: Tables = tables(settings.prefix, settings.schema, engine.dialect.name)
        preparer = engine.dialect.identifier_preparer
        self.jobs = preparer.format_table(self.tables.jobs)
        self.queues = preparer.format_table(self.tables.queues)
        self._links = Links(self._connect)
        self._known_queues: set[str] = set()

    # What a dialect must say -------------------------------------------------------------------------

    @abstractmethod
    def _connect(self) -> Any:
        """Open a driver connection that is ours alone, in autocommit mode, with our session settings."""

    @abstractmethod
    def _begin(self, link: Any) -> None:
        """Begin a transaction that may write."""

    @abstractmethod
    def _translated(self, error: Exception) -> StoreError | None:
        """Return what a driver's error means to the caller; None when it is no error of the database."""

    @abstractmethod
    def _is_transient(self, error: Exception) -> bool:
        """Say whether the whole transaction can simply be tried again (deadlock, serialization)."""

    @abstractmethod
    def _is_broken(self, error: Exception) -> bool:
        """Say whether the connection is gone."""

    @abstractmethod
    def _insert(self, link: Any, jobs: Sequence[NewJob]) -> list[Inserted]:
        """Insert rows by the driver; answer in the order of ``jobs``."""

    @abstractmethod
    def _know_queues(self, link: Any, names: Iterable[str]) -> None:
        """Insert queue names that are new, without minding those that are not."""

    @abstractmethod
    def _pick(self, link: Any, queue: str, priority: int, want: Want, limit: int) -> list[Picked]:
        """Choose ready rows past the mark, oldest stamp first, and lock them where others can claim meanwhile."""

    @abstractmethod
    def _lock(self, link: Any, ids: Sequence[int], worker: int, token: int) -> list[Claimed]:
        """Claim rows that ``_pick`` chose or that are known to be runnable."""

    @abstractmethod
    def _lockable(self, link: Any, ids: Sequence[int]) -> Mapping[int, Answer | None]:
        """Lock rows by key where possible and answer for each that is there; None means it can be claimed."""

    @abstractmethod
    def _delete(self, link: Any, token: int, ids: Sequence[int]) -> set[int]:
        """Delete rows that this token holds; return the ids that it held."""

    @abstractmethod
    def _release(self, link: Any, release: Release) -> bool:
        """Let one row go; say whether the token held it."""

    @abstractmethod
    def _due(self, link: Any, limit: int) -> list[int]:
        """Read the ids of due, unannounced, unlocked rows, most urgent first."""

    @abstractmethod
    def _announce(self, link: Any, ids: Sequence[int]) -> list[str]:
        """Stamp those of ``ids`` that still are due and unannounced; return their queues."""

    @abstractmethod
    def _next_due(self, link: Any) -> datetime | None:
        """Read when the next unannounced row falls due."""

    @abstractmethod
    def now(self) -> datetime:
        """Return the database's clock, aware and in UTC."""

    def _hits(self, link: Any, want: Want) -> Iterable[tuple[str, int]]:  # noqa: ARG002 - for the dialects
        """Return the (queue, priority) pairs worth a pick, most urgent first, queues in the order of the turn."""
        return ((queue, priority) for priority in PRIORITIES[: want.below] for queue in want.queues)

    def change_counter(self) -> int | None:
        """Return a number that changes when another connection committed; None where there is no cheap one."""
        return None

    # The Store ----------------------------------------------------------------------------------------

    def insert(self, jobs: Sequence[NewJob], connection: Connection | None = None) -> list[Inserted]:
        """Write rows in one transaction of our own, or in the caller's."""
        fresh = {job.queue for job in jobs} - self._known_queues
        if connection is not None:
            inserted = self._insert_in(connection, jobs, fresh)
            after_commit(connection, lambda: self._known_queues.update(fresh))
            return inserted

        def work(link: Any) -> list[Inserted]:
            if fresh:
                self._know_queues(link, sorted(fresh))
            return self._insert(link, jobs)

        inserted = self._transact(work)
        self._known_queues.update(fresh)
        return inserted

    def take(
        self, want: Want, token: int, record: Callable[[Sequence[int]], None], endings: Sequence[Ending] = ()
    ) -> tuple[list[Claimed], list[bool]]:
        """Finish and claim in one transaction; see Store.take."""

        def work(link: Any) -> tuple[list[Claimed], list[bool]]:
            held = self._end(link, endings)
            picked = self._pick_all(link, want)
            if not picked:
                return [], held
            record([row_id for row_id, _, _ in picked])
            claimed = self._lock(link, sorted(row_id for row_id, _, _ in picked), want.worker, token)
            order = {row_id: place for place, (row_id, _, _) in enumerate(picked)}
            claimed.sort(key=lambda row: order[row.id])
            return claimed, held

        return self._transact(work)

    def finish(self, endings: Sequence[Ending]) -> list[bool]:
        """Finish rows in one transaction."""
        return self._transact(lambda link: self._end(link, endings))

    def finish_in(self, connection: Any, ending: Ending) -> bool:
        """Finish one row inside the transaction of an atomic job."""
        return rows.finish(connection, self.tables.jobs, ending, self.now())

    def claim(self, ids: Sequence[int], worker: int, token: int) -> Mapping[int, Claimed | Answer]:
        """Claim rows by key; every id is answered."""

        def work(link: Any) -> Mapping[int, Claimed | Answer]:
            answers = dict(self._lockable(link, sorted(ids)))
            free = [row_id for row_id, answer in answers.items() if answer is None]
            claimed = self._lock(link, free, worker, token) if free else []
            won: dict[int, Claimed | Answer] = {row.id: row for row in claimed}
            return {row_id: won.get(row_id) or answers.get(row_id) or Answer.GONE for row_id in ids}

        return self._transact(work)

    def announce(self, limit: int = 500) -> Announced:
        """Stamp due, unannounced rows as ready, most urgent first."""
        ids = self._read(lambda link: self._due(link, limit))
        announced: list[str] = []
        if ids:
            announced = self._transact(lambda link: self._announce(link, sorted(ids)))
            if fresh := set(announced) - self._known_queues:
                self._transact(lambda link: self._know_queues(link, sorted(fresh)))
                self._known_queues |= fresh
        return Announced(len(announced), self._read(self._next_due))

    def waiting(self, queues: Sequence[str]) -> bool:
        """Say whether any row of ``queues`` is ready now, announced or due."""
        want = Want(queues, 1, worker=0)
        return self._transact(lambda link: bool(self._pick_all(link, want)) or bool(self._due(link, 1)))

    def close(self) -> None:
        """Close the connections of every thread."""
        self._links.close()
        self.engine.dispose()

    # For what is cold: SQLAlchemy ---------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a short transaction that only reads."""
        with self.translating(), self.engine.connect() as connection:
            with connection.execution_options(tomqueue_write=False).begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a short transaction that may write."""
        with self.translating(), self.engine.connect() as connection:
            with connection.execution_options(tomqueue_write=True).begin():
                yield connection

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Turn SQLAlchemy's errors of the database into StoreErrors."""
        try:
            yield
        except DBAPIError as error:
            original = error.orig if isinstance(error.orig, Exception) else error
            raise self._translated(original) or StoreError(str(original)) from error

    # How the parts fit --------------------------------------------------------------------------------

    def _transact(self, work: Callable[[Any], T]) -> T:
        for attempt in range(TRANSIENT_RETRIES):
            try:
                return self._transact_once(work)
            except Exception as error:
                if not self._is_transient(error) or attempt == TRANSIENT_RETRIES - 1:
                    raise self._raised(error) from error
            time.sleep(random.uniform(0, 0.005 * 2**attempt))  # noqa: S311 - jitter, no secret
        raise AssertionError("unreachable")

    def _transact_once(self, work: Callable[[Any], T]) -> T:
        link = self._links.get()
        committing = False
        try:
            self._begin(link)
            result = work(link)
            committing = True
            link.commit()
        except BaseException as error:
            if isinstance(error, Exception) and self._is_broken(error):
                self._links.drop()
                if committing:
                    raise OutcomeUnknown(f"the connection broke while committing: {error}") from error
            else:
                self._roll_back(link)
            raise
        return result

    def _read(self, work: Callable[[Any], T]) -> T:
        """Run one reading statement by the driver, outside of any transaction."""
        try:
            return work(self._links.get())
        except Exception as error:
            if self._is_broken(error):
                self._links.drop()
            raise self._raised(error) from error

    def _roll_back(self, link: Any) -> None:
        try:
            link.rollback()
        except Exception:  # noqa: BLE001 - a connection that cannot even roll back is of no use
            self._links.drop()

    def _raised(self, error: Exception) -> Exception:
        if isinstance(error, StoreError):
            return error
        if self._is_broken(error):
            return StoreUnavailable(f"the database connection broke: {error}")
        return self._translated(error) or error

    def _pick_all(self, link: Any, want: Want) -> list[Picked]:
        picked: list[Picked] = []
        for queue, priority in self._hits(link, want):
            found = self._pick(link, queue, priority, want, want.limit - len(picked))
            taken = until_suspect(found, alone=not picked)
            picked += taken
            if taken:
                want.marks[queue, priority] = (taken[-1][1], taken[-1][0])
            if len(picked) >= want.limit or len(taken) < len(found) or (picked and picked[0][2]):
                break
        return picked

    def _end(self, link: Any, endings: Sequence[Ending]) -> list[bool]:
        if not endings:
            return []
        by_token: defaultdict[int, list[int]] = defaultdict(list)
        for ending in endings:
            if isinstance(ending, Delete):
                by_token[ending.token].append(ending.id)
        deleted: set[int] = set()
        for token, ids in by_token.items():
            deleted |= self._delete(link, token, sorted(ids))
        return [
            ending.id in deleted if isinstance(ending, Delete) else self._release(link, ending) for ending in endings
        ]

    def _insert_in(self, connection: Connection, jobs: Sequence[NewJob], fresh: set[str]) -> list[Inserted]:
        with self.translating():
            for name in sorted(fresh):
                self._know_queue_in(connection, name)
            return [self._insert_one_in(connection, job) for job in jobs]

    @abstractmethod
    def _know_queue_in(self, connection: Connection, name: str) -> None:
        """Insert a queue's name in the caller's transaction, without minding that it is there."""

    @abstractmethod
    def _insert_values(self, job: NewJob) -> dict[str, Any]:
        """Return the row of ``job`` as SQLAlchemy values; times by the database's clock."""

    def _insert_one_in(self, connection: Connection, job: NewJob) -> Inserted:
        table = self.tables.jobs
        statement = table.insert().values(self._insert_values(job))
        wanted = (table.c.id, table.c.run_at, table.c.announced_at, table.c.created_at)
        if self.returns_rows:
            return Inserted(*connection.execute(statement.returning(*wanted)).one())
        key = connection.execute(statement).inserted_primary_key
        assert key is not None
        return Inserted(*connection.execute(select(*wanted).where(table.c.id == key[0])).one())


def until_suspect(found: list[Picked], *, alone: bool) -> list[Picked]:
    """Return the rows before the first suspect one; that one by itself, when nothing stands before it."""
    for place, (_, _, suspect) in enumerate(found):
        if suspect:
            return found[: place or int(alone)]
    return found


def delay_of(job: NewJob) -> timedelta | None:
    """Return how long after now ``job`` is due; None when it is due at once or at a given time."""
    if job.run_at is None and job.delay is not None and job.delay > 0:
        return timedelta(seconds=job.delay)
    return None
