"""What the SQL stores share: the order of a take, of a claim and of a finish. Statements differ by dialect."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine

from tomqueue.crash_points import reached
from tomqueue.definition import Limit
from tomqueue.job import Claimed, NewJob
from tomqueue.settings import Settings
from tomqueue.store import announcing, rows
from tomqueue.store.announcing import AnnouncedRow, Place, Upcoming
from tomqueue.store.attempt_errors import AttemptErrors, has_error
from tomqueue.store.base import NOTHING_LEFT, Announced, Answer, Delete, Ending, Hold, Inserted, Release, Want
from tomqueue.store.callers_rows import CallersRows
from tomqueue.store.commit import after_commit
from tomqueue.store.dialect import Dialect
from tomqueue.store.kept import CheckpointTie, HistoryTie, ResultTie
from tomqueue.store.keys import met_ones, new_ones
from tomqueue.store.limit_terms import declare
from tomqueue.store.limits import Limits
from tomqueue.store.picking import Picked, pairs, until_suspect
from tomqueue.store.schema import Tables, tables
from tomqueue.store.ties import Ties
from tomqueue.store.workflow_tie import WorkflowTie

__all__ = ["SqlStore"]


class SqlStore(Dialect):
    """A Store over SQL. The hot statements go to the driver; SQLAlchemy serves what is cold.

    A dialect says how to connect, how to begin, how its statements read and what its errors mean.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        super().__init__(engine)
        self.settings = settings
        self.tables: Tables = tables(settings.table_prefix, settings.schema, engine.dialect.name)
        preparer = engine.dialect.identifier_preparer
        self.jobs = preparer.format_table(self.tables.jobs)
        self.queues = preparer.format_table(self.tables.queues)
        self.errors = AttemptErrors(self.tables, preparer.format_table)
        window, has_broker = settings.fair_window, bool(settings.broker_url)
        self.limits = Limits(self.tables, self._clock, window=window, has_broker=has_broker)
        self.ties = Ties(self.tables.jobs, [])
        self.ties.add(WorkflowTie(self.tables, self.ties))
        self.ties.add(self.limits)
        for kept in (ResultTie, HistoryTie, CheckpointTie):
            self.ties.add(kept(self.tables))
        self._known_queues: set[str] = set()
        self._known_limits: set[Limit] = set()
        self._callers_rows = CallersRows(self.tables.jobs, self._clock, self._later)

    # The Store ----------------------------------------------------------------------------------------

    def insert(self, jobs: Sequence[NewJob], connection: Connection | None = None) -> list[Inserted]:
        """Write rows in one transaction of our own, or in the caller's."""
        if not jobs:
            return []
        fresh = {job.queue for job in jobs} - self._known_queues
        if connection is not None:
            written = self._insert_in(connection, jobs, fresh)
            if any(job.ties for job in jobs):
                entering = [*new_ones(jobs, written).values(), *met_ones(jobs, written)]
                after_commit(connection, lambda: self._enter_later(entering))
            reached("enqueue.before_commit")
            return written
        if any(job.ties for job in jobs):
            self.know_queues(fresh)
            return self.write(lambda own: self._insert_tied(own, jobs))
        keyed = any(job.unique is not None for job in jobs)
        insert = self._insert_with_keys if keyed else self._insert

        def work(link: Any) -> list[Inserted]:
            if fresh:
                self._know_queues(link, sorted(fresh))
            reached("enqueue.before_commit")
            return insert(link, jobs)

        inserted = self._transact(work) if fresh or (keyed and len(jobs) > 1) else self._at_once(work)
        self._known_queues.update(fresh)
        return inserted

    def take(
        self, want: Want, token: int, record: Callable[[Sequence[int]], None], endings: Sequence[Ending] = ()
    ) -> tuple[list[Claimed], list[Hold]]:
        """Finish and claim in one transaction; see Store.take."""
        seen = replace(want, marks=dict(want.marks), left=NOTHING_LEFT)
        hits = self._read(lambda link: self._hits(link, seen))
        if want.before is not None:
            want.marks.update(
                {pair: (self._as_stamp(want.before[pair]), 0) for pair in pairs(want) if pair not in hits}
            )
        want.left = NOTHING_LEFT
        if not hits and not endings:
            return [], []

        def work(link: Any) -> tuple[list[Claimed], list[Hold], Want]:
            turn = replace(seen, marks=dict(seen.marks))  # what is rolled back and tried again moves no mark
            held = self._end(link, endings)
            picked = self._pick_all(link, turn, hits)
            if not picked:
                return [], held, turn
            record([row_id for row_id, _, _ in picked])
            claimed = self._lock(link, sorted(row_id for row_id, _, _ in picked), want.worker, token)
            order = {row_id: place for place, (row_id, _, _) in enumerate(picked)}
            claimed.sort(key=lambda row: order[row.id])
            return claimed, held, turn

        claimed, held, turn = self._transact(work)
        want.left = turn.left
        if claimed:
            want.marks.update(turn.marks)
        return claimed, held

    def finish(self, endings: Sequence[Ending]) -> list[Hold]:
        """Finish rows in one transaction."""
        if any(ending.tied for ending in endings):
            return self.write(lambda connection: self._finish_tied(connection, endings))
        return self._transact(lambda link: self._end(link, endings)) if endings else []

    def finish_in(self, connection: Any, ending: Ending) -> bool:
        """Finish one row inside the transaction of an atomic job."""
        return bool(self._finish_tied(connection, [ending])[0])

    def claim(self, ids: Sequence[int], worker: int, token: int) -> Mapping[int, Claimed | Answer]:
        """Claim rows by key; every id is answered."""
        return self.finish_and_claim((), ids, worker, token)[0]

    def finish_and_claim(
        self, endings: Sequence[Ending], ids: Sequence[int], worker: int, token: int
    ) -> tuple[Mapping[int, Claimed | Answer], list[Hold]]:
        """Finish, and claim by key, in one transaction."""
        if not ids:
            return {}, self.finish(endings)

        def work(link: Any) -> tuple[Mapping[int, Claimed | Answer], list[Hold]]:
            held = self._end(link, endings) if endings else []
            won = {row.id: row for row in self._lock_free(link, sorted(ids), worker, token)}
            left = sorted(set(ids).difference(won))
            answers = dict(self._lockable(link, left)) if left else {}
            free = [row_id for row_id, answer in answers.items() if answer is None]
            if free:
                won |= {row.id: row for row in self._lock(link, free, worker, token)}
            return {row_id: won.get(row_id) or answers.get(row_id) or Answer.GONE for row_id in ids}, held

        return self._transact(work)

    def undo(self, ids: Sequence[int], token: int) -> int:
        """Give back what a claim in doubt may have taken, to be announced again."""
        jobs = self.tables.jobs
        values = {**rows.FREED, "attempts": jobs.c.attempts - 1, "announced_at": None}
        ours = jobs.c.id.in_(ids) & (jobs.c.claim_token == token)
        changed = self.write(lambda connection: self.let_go(connection, ours, values))
        self.retake_keys(ids)
        return changed

    def let_go(self, connection: Connection, claimed: ColumnElement[bool], values: Mapping[str, Any]) -> int:
        """End the claims of rows in the transaction of ``connection``, as ``values`` say; return how many.

        Those that a person has cancelled fail.
        """
        now = self.now()
        with self.ties.followed(connection, claimed, now) as before:
            return sum(rows.let_go(connection, self.tables.jobs, claimed & self.ties.watched(before), values, now))

    def unannounce(self, ids: Sequence[int], stamp: datetime) -> int:
        """Let unclaimed rows that still have ``stamp`` be announced again; return how many."""
        jobs = self.tables.jobs
        meant = jobs.c.id.in_(ids) & (jobs.c.announced_at == stamp) & jobs.c.locked_by.is_(None)
        statement = jobs.update().where(meant).values(announced_at=None)
        return self.write(lambda connection: connection.execute(statement).rowcount)

    def queue_states(self) -> dict[str, bool]:
        """Read the names of all known queues, and whether each is paused; every worker asks once a second."""

        def work(link: Any) -> dict[str, bool]:
            with closing(link.cursor()) as cursor:
                cursor.execute(f"SELECT name, paused_at IS NOT NULL FROM {self.queues}")
                return {name: bool(paused) for name, paused in cursor.fetchall()}

        return self._read(work)

    def announce(self, limit: int = 500) -> Announced:
        """Stamp due, unannounced rows as ready, most urgent first."""
        ids = [row.id for row in self._read(lambda link: self._due(link, limit))[:limit]]
        announced: list[tuple[datetime, str]] = []
        if ids:
            announced = self._transact(lambda link: self._announce(link, sorted(ids), "queue"))
            self.know_queues(queue for _, queue in announced)
        return Announced(len(announced), self._read(self._next_due))

    def know_limits(self, limits: Collection[Limit], connection: Connection | None = None) -> None:
        """Write what limits say where this process has not yet; in the caller's transaction only where it must be."""
        fresh = sorted(set(limits) - self._known_limits, key=lambda limit: limit.name)
        if fresh:
            self._know_limits_for(connection, fresh)

    def _know_limits_for(self, connection: Connection | None, limits: Sequence[Limit]) -> None:  # noqa: ARG002 - for SQLite
        """Write what limits say, in a transaction of our own; see ``_know_queues_for``."""
        self.write(lambda own: declare(own, self.tables, limits, self.now()))
        self._known_limits.update(limits)

    def know_queues(self, names: Iterable[str]) -> None:
        """Insert queue names that are new to this process, without minding those that are there."""
        if fresh := set(names) - self._known_queues:
            self._transact(lambda link: self._know_queues(link, sorted(fresh)))
            self._known_queues |= fresh

    # The news -----------------------------------------------------------------------------------------

    def restamp(self, ids: Sequence[int], old: datetime) -> tuple[datetime, list[int]]:
        """Give waiting rows that still have the stamp ``old`` a new one; return it and their ids."""
        new = self.now()
        return new, self.write(lambda connection: announcing.restamp(connection, self.tables.jobs, ids, old, new))

    def renew(self, place: Place, limit: int) -> tuple[list[AnnouncedRow], Place | None]:
        """Give the next ready rows of a walk a new stamp; return them, and where it goes on (None: nowhere)."""
        new = self.now()
        return self.write(lambda connection: announcing.renew(connection, self.tables.jobs, place, limit, new))

    def renew_one(self, job_id: int) -> list[AnnouncedRow]:
        """Give one row that is announced and waits a new stamp."""
        new = self.now()
        return self.write(lambda connection: announcing.renew_one(connection, self.tables.jobs, job_id, new))

    def announce_news(self, ids: Sequence[int]) -> list[AnnouncedRow]:
        """Stamp those of ``ids`` that are due and unannounced, with the database's clock.

        Returns them as their notifications need them: most urgent first, then in the order of ``ids``. Raises
        OutcomeUnknown when the connection broke before it was known whether they are stamped.
        """
        found = self._at_once(lambda link: self._announce(link, sorted(ids), announcing.NEWS)) if ids else []
        place = {row_id: number for number, row_id in enumerate(ids)}
        return sorted((AnnouncedRow(*row) for row in found), key=lambda row: (row.priority, place[row.id]))

    def announced_since(self, ids: Sequence[int], since: datetime) -> list[AnnouncedRow]:
        """Read which of ``ids`` wait and were announced at ``since`` or later: after an OutcomeUnknown."""
        return self.read(lambda connection: announcing.announced_since(connection, self.tables.jobs, ids, since))

    def coming(self, within: timedelta, limit: int) -> list[Upcoming]:
        """Read unannounced rows that are due or fall due ``within`` that time, at most ``limit`` of each priority."""
        return self._read(lambda link: self._due(link, limit, within))

    # How the parts fit --------------------------------------------------------------------------------

    def _pick_all(self, link: Any, want: Want, hits: Iterable[tuple[str, int]]) -> list[Picked]:
        picked: list[Picked] = []
        for queue, priority in hits:
            found = self._pick(link, queue, priority, want, want.limit - len(picked))
            taken = until_suspect(found, alone=not picked)
            picked += taken
            if taken:
                want.marks[queue, priority] = (taken[-1][1], taken[-1][0])
            if len(picked) >= want.limit or len(taken) < len(found) or (picked and picked[0][2]):
                want.left = priority
                break
        return picked

    def _end(self, link: Any, endings: Sequence[Ending]) -> list[Hold]:
        if not endings:
            return []
        by_token: defaultdict[int, list[int]] = defaultdict(list)
        retried: list[int] = []
        for ending in endings:
            if isinstance(ending, Delete):
                by_token[ending.token].append(ending.id)
                if ending.retried:
                    retried.append(ending.id)
        deleted: set[int] = set()
        for token, ids in by_token.items():
            deleted |= self._delete(link, token, sorted(ids))
        if gone := sorted(deleted.intersection(retried)):
            self._forget_errors(link, gone)
        return [
            (Hold.OURS if ending.id in deleted else Hold.LOST)
            if isinstance(ending, Delete)
            else self._let_go(link, ending)
            for ending in endings
        ]

    def _finish_tied(self, connection: Connection, endings: Sequence[Ending]) -> list[Hold]:
        """Finish rows, and let follow what they are tied to. Tied ones are locked then: they leave together.

        One whose tie is not written yet (its progress) ends as a row that has none.
        """
        jobs, now = self.tables.jobs, self.now()
        tied = [ending for ending in endings if ending.tied]
        deletes = {ending.id for ending in tied if isinstance(ending, Delete)}
        self.errors.keep_those_of(connection, endings, now)
        with (
            self.ties.followed(connection, rows.all_held_by(jobs, tied), now, endings=tied)
            if tied
            else nullcontext(()) as ours
        ):
            gone = {row.id for row in ours} & deletes
            rows.delete(connection, jobs, gone)
            held = [
                Hold.OURS if ending.id in gone else rows.finish(connection, jobs, ending, now) for ending in endings
            ]
        ended = zip(endings, held, strict=True)
        self.errors.forget_gone(
            connection, [end.id for end, hold in ended if hold and isinstance(end, Delete) and end.retried]
        )
        return held

    def _let_go(self, link: Any, release: Release) -> Hold:
        if has_error(release):
            self._keep_error(link, release)
        # in this order: who cancels a row in between finds one that waits again
        if self._release(link, release):
            return Hold.OURS
        return Hold.CANCELLED if self._fail_cancelled(link, release) else Hold.LOST

    def _insert_in(self, connection: Connection, jobs: Sequence[NewJob], fresh: set[str]) -> list[Inserted]:
        if fresh:
            self._know_queues_for(connection, sorted(fresh))
        with self.translating():
            if any(job.unique is not None for job in jobs):
                return self._insert_with_keys_in(connection, jobs)
            return self._callers_rows.insert(connection, jobs)

    def _insert_tied(self, connection: Connection, jobs: Sequence[NewJob]) -> list[Inserted]:
        written = self._insert_in(connection, jobs, set())
        reached("enqueue.before_commit")
        entering = new_ones(jobs, written)
        stamps = self.ties.enter(connection, list(entering.values()), list(entering)) if entering else {}
        return [replace(one, announced_at=stamps.get(one.id, one.announced_at)) for one in written]

    def _enter_later(self, jobs: Sequence[NewJob]) -> None:
        """Do what ties of a caller's rows ask for, now that they are committed."""
        self.write(lambda connection: self.ties.enter(connection, jobs, ()))

    def _know_queues_for(self, connection: Connection, names: Sequence[str]) -> None:  # noqa: ARG002 - for SQLite
        """Insert queue names that are new, for rows in the caller's transaction.

        In a transaction of our own: a name that the caller has not committed would make everyone wait who
        enqueues there, for as long as the caller's transaction is open.
        """
        self._transact(lambda link: self._know_queues(link, names))
        self._known_queues.update(names)
