"""Everything a person asks of the jobs: look, count, retry, cancel, edit, delete. The same on each database."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Table,
    Update,
    and_,
    bindparam,
    case,
    delete,
    false,
    func,
    not_,
    null,
    or_,
    select,
    update,
)

from tomqueue.errors import JobNotFound, JobStateError
from tomqueue.job import Job, State
from tomqueue.store.announcing import by_key
from tomqueue.store.attempt_errors import AttemptError
from tomqueue.store.checkpoints import CheckpointTable, Progress
from tomqueue.store.editing import Edit
from tomqueue.store.keyed_retries import KeyedRetries
from tomqueue.store.limit_table import LimitRow, LimitTable
from tomqueue.store.limits import waits_for_limit
from tomqueue.store.queues import QueueTable
from tomqueue.store.rows import job_of
from tomqueue.store.sql import SqlStore
from tomqueue.store.states import in_state
from tomqueue.store.stats import StatsTable
from tomqueue.store.workflows import WorkflowTable

__all__ = ["Catalog", "Filter"]

PIECE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which jobs are meant; every condition that is given must hold."""

    state: State | None = None
    queue: str | None = None
    name: str | None = None
    unique_key: str | None = None
    older_than: timedelta | None = None
    """Created longer ago than this."""


class Catalog:
    """The jobs, queues and counters for people and programs."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self.workflows = WorkflowTable(store)
        self.queues = QueueTable(store)
        self.stats = StatsTable(store, store.tables)
        self._jobs: Table = store.tables.jobs
        self._keyed = KeyedRetries(store)

    def get(self, job_id: int) -> Job:
        """Read one job. Raises JobNotFound."""
        now = self._store.now()
        with self._store.reading() as connection:
            row = connection.execute(select(self._jobs).where(self._jobs.c.id == job_id)).one_or_none()
        if row is None:
            raise JobNotFound(f"no job has id {job_id}: it finished, was deleted, or never existed")
        return job_of(row, now)

    def errors(self, job_id: int) -> list[AttemptError]:
        """Read the errors of a job's attempts, oldest first: the latest 25, also of a job whose history is kept."""
        return self._store.read(lambda connection: self._store.errors.of(connection, job_id))

    def progress(self, ids: Collection[int]) -> dict[int, Progress]:
        """Read how far jobs have come by their own words; only of those that said so."""
        return CheckpointTable(self._store).progress(ids)

    def checkpoint(self, job_id: int) -> str | None:
        """Read the checkpoint of a job as JSON; None when it has none."""
        return CheckpointTable(self._store).value(job_id)

    def find(self, which: Filter, *, limit: int | None = None, after: int = 0) -> Iterator[Job]:
        """Read jobs in the order of their ids, in pieces, beginning after the id ``after``."""
        found = 0
        while limit is None or found < limit:
            wanted = PIECE if limit is None else min(PIECE, limit - found)
            piece = self._piece(which, wanted, after)
            yield from piece
            found += len(piece)
            if len(piece) < wanted:
                return
            after = piece[-1].id

    def count(self, which: Filter) -> int:
        """Count jobs."""
        with self._store.reading() as connection:
            statement = select(func.count()).select_from(self._jobs).where(*self._conditions(which))
            return connection.execute(statement).scalar_one()

    def retry(self, job_id: int) -> Job:
        """Make a failed, parked or scheduled job ready now, with all its attempts.

        One that counts in a limit is due now, and waits for its turn there; a unique one holds its key again. Raises
        JobStateError if it runs, or has failed and another one holds the key.
        """
        job, values = self.get(job_id), self._retried()
        meant = and_(self._jobs.c.id == job_id, self._retryable())
        if job.unique_key is None or job.unique_held:
            retried = self._update(meant, values) == 1
        else:
            retried = self._keyed.retry(job, job.unique_key, lambda more: self._update(meant, {**values, **more}) == 1)
        if not retried:
            self._refuse(job_id, "retried")
        return self.get(job_id)

    def key_holder(self, job: Job) -> int | None:
        """Read which other job holds the unique key of ``job``; None when none does, or it has no key."""
        return self._keyed.holder(job)

    def cancel(self, job_id: int, reason: str = "cancelled") -> Job:
        """Take a waiting job out of its queue: it is kept as failed, with the reason, and can be retried.

        One that runs is marked: its worker interrupts it, and however its claim ends it is not run again.
        """
        self._change(job_id, self._jobs.c.failed_at.is_(None), self._cancelled(reason), "cancelled")
        return self.get(job_id)

    def limit_of(self, job: Job) -> LimitRow | None:
        """Read how the limit stands that a job counts in; None for a job of none."""
        return None if job.limit_key is None else LimitTable(self._store).of(job.limit_key)

    def cancelled(self, claims: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        """Read which of the rows that are claimed, ids and tokens, somebody has cancelled since."""
        jobs = self._jobs
        wanted = select(jobs.c.id, jobs.c.claim_token).where(jobs.c.id.in_([job_id for job_id, _ in claims]))
        marked = by_key(wanted.where(jobs.c.cancelled_at.is_not(None)), jobs)
        found = self._store.read(lambda connection: connection.execute(marked).all())
        return {(job_id, token) for job_id, token in found if (job_id, token) in claims}

    def edit(self, job_id: int, edit: Edit) -> Job:
        """Change what an Edit says of a job that does not run; it is announced anew. Raises JobStateError."""
        self._know_queue_of(edit)
        self._change(job_id, edit.allowed(self._jobs), edit.values(self._store.now()), edit.done)
        return self.get(job_id)

    def delete(self, job_id: int) -> None:
        """Delete a job that does not run."""
        if not self._delete([job_id], (self._jobs.c.id == job_id) & self._unlocked()):
            self._refuse(job_id, "deleted")

    def retry_all(self, ids: Sequence[int], which: Filter | None = None) -> int:
        """Retry those of ``ids`` that neither run nor wait for another job, and that ``which`` means; say how many.

        Of those that have failed and are unique, only those whose key is free.
        """
        keyed = and_(self._jobs.c.unique_key.is_not(None), self._jobs.c.failed_at.is_not(None))
        retried = self._change_all(ids, which, and_(self._retryable(), not_(keyed)), self._retried())
        wanted = select(self._jobs.c.id).where(self._jobs.c.id.in_(ids), keyed, *self._conditions(which))
        for job_id in self._store.read(lambda connection: connection.execute(wanted).scalars().all()):
            try:
                self.retry(job_id)
            except (JobStateError, JobNotFound):
                continue
            retried += 1
        return retried

    def cancel_all(self, ids: Sequence[int], reason: str = "cancelled", which: Filter | None = None) -> int:
        """Cancel those of ``ids`` that have not failed and that ``which`` still means; return how many."""
        return self._change_all(ids, which, self._jobs.c.failed_at.is_(None), self._cancelled(reason))

    def edit_all(self, ids: Sequence[int], edit: Edit, which: Filter | None = None) -> int:
        """Change those of ``ids`` that do not run and that ``which`` still means; return how many."""
        self._know_queue_of(edit)
        return self._change_all(ids, which, edit.allowed(self._jobs), edit.values(self._store.now()))

    def _know_queue_of(self, edit: Edit) -> None:
        self._store.know_queues([] if edit.queue is None else [edit.queue])

    def delete_all(self, ids: Sequence[int], which: Filter | None = None) -> int:
        """Delete those of ``ids`` that do not run and that ``which`` still means; return how many."""
        return self._delete(ids, and_(self._jobs.c.id.in_(ids), self._unlocked(), *self._conditions(which)))

    def pieces(self, which: Filter) -> Iterator[list[int]]:
        """Read the ids of the jobs that are there now, in pieces to change or delete."""
        key = self._jobs.c.id
        conditions = self._conditions(which)
        with self._store.reading() as connection:
            last = connection.execute(select(func.max(key))).scalar() or 0
        after = 0
        while after < last:
            with self._store.reading() as connection:
                piece = select(key).where(key.between(after + 1, last), *conditions).order_by(key).limit(PIECE)
                ids = list(connection.execute(piece).scalars())
            if not ids:
                return
            yield ids
            after = ids[-1]

    def ahead(self, job: Job) -> int:
        """Count the ready jobs of a ready job's queue that are taken before it."""
        jobs = self._jobs
        earlier: ColumnElement[bool] = jobs.c.announced_at.is_not(None)
        if job.announced_at is not None:
            same_stamp = (jobs.c.announced_at == job.announced_at) & (jobs.c.id < job.id)
            earlier = (jobs.c.announced_at < job.announced_at) | same_stamp
        rank = job.priority.rank
        first = (jobs.c.priority < rank) | ((jobs.c.priority == rank) & earlier)
        ready = in_state(jobs, State.READY, self._store.now())
        statement = select(func.count()).where(ready, jobs.c.queue == job.queue, first)
        with self._store.reading() as connection:
            return connection.execute(statement).scalar_one()

    def rest(self) -> None:
        """Close connections that nobody uses now."""
        self._store.rest()

    def _piece(self, which: Filter, limit: int, after: int) -> list[Job]:
        now = self._store.now()
        conditions = [self._jobs.c.id > after, *self._conditions(which)]
        statement = select(self._jobs).where(*conditions).order_by(self._jobs.c.id).limit(limit)
        with self._store.reading() as connection:
            return [job_of(row, now) for row in connection.execute(statement)]

    def _conditions(self, which: Filter | None) -> list[ColumnElement[bool]]:
        which = which or Filter()
        jobs = self._jobs
        conditions: list[ColumnElement[bool]] = []
        if which.state is not None:
            conditions.append(in_state(jobs, which.state, self._store.now()))
        if which.queue is not None:
            conditions.append(jobs.c.queue == which.queue)
        if which.name is not None:
            conditions.append(jobs.c.name == which.name)
        if which.unique_key is not None:
            conditions.append(jobs.c.unique_key == which.unique_key)
        if which.older_than is not None:
            conditions.append(jobs.c.created_at < self._store.now() - which.older_than)
        return conditions

    def _unlocked(self) -> ColumnElement[bool]:
        return self._jobs.c.locked_by.is_(None)

    def _retryable(self) -> ColumnElement[bool]:
        return and_(self._unlocked(), or_(not_(self._jobs.c.held), waits_for_limit(self._jobs)))

    def _retried(self) -> dict[str, Any]:
        now = self._store.now()
        fresh = {"attempts": 0, "crashes": 0, "suspect": false(), "parks": 0}
        return {**fresh, **WAITING, "cancelled_at": None, "run_at": now, "expires_at": None, "updated_at": now}

    def _cancelled(self, reason: str) -> dict[str, Any]:
        """Fail what waits, and mark what runs: in one statement, so that no claim can come in between."""
        jobs, now = self._jobs.c, self._store.now()
        waits = self._unlocked()
        return {
            "failed_at": case((waits, bindparam(None, now, type_=jobs.failed_at.type))),
            "announced_at": case((waits, null()), else_=jobs.announced_at),
            "parked_at": case((waits, null()), else_=jobs.parked_at),
            "unique_lock": case((waits, null()), else_=jobs.unique_lock),
            "last_error": reason,
            "cancelled_at": now,
            "updated_at": now,
        }

    def _change(self, job_id: int, allowed: ColumnElement[bool], values: Mapping[str, Any], done: str) -> None:
        if not self._update((self._jobs.c.id == job_id) & allowed, values):
            self._refuse(job_id, done)

    def _change_all(
        self, ids: Sequence[int], which: Filter | None, allowed: ColumnElement[bool], values: Mapping[str, Any]
    ) -> int:
        return self._update(and_(self._jobs.c.id.in_(ids), allowed, *self._conditions(which)), values)

    def _update(self, meant: ColumnElement[bool], values: Mapping[str, Any]) -> int:
        return self._execute(meant, update(self._jobs).where(meant).values(values))

    def _delete(self, ids: Sequence[int], meant: ColumnElement[bool]) -> int:
        """Delete those of ``ids`` that are meant, with the errors of their attempts; return how many."""

        def work(connection: Connection) -> int:
            deleted = self._execute_in(connection, meant, delete(self._jobs).where(meant))
            self._store.errors.forget_gone(connection, ids)
            return deleted

        return self._store.write(work)

    def _execute(self, meant: ColumnElement[bool], statement: Update | Delete) -> int:
        """Change the rows that are meant, and let follow what they are tied to; return how many."""
        return self._store.write(lambda connection: self._execute_in(connection, meant, statement))

    def _execute_in(self, connection: Connection, meant: ColumnElement[bool], statement: Update | Delete) -> int:
        ties = self._store.ties
        with ties.followed(connection, meant, self._store.now()) as before:
            return connection.execute(statement.where(ties.watched(before))).rowcount

    def _refuse(self, job_id: int, done: str) -> None:
        state = self.get(job_id).state
        raise JobStateError(f"job {job_id} is {state} and cannot be {done}: {CURES.get(state, 'look again')}")


CURES = {
    State.RUNNING: "wait until it has ended, or cancel it first",
    State.FAILED: "it will not run unless it is retried",
    State.HELD: "it is released by what it waits for",
}
WAITING: dict[str, None] = {"announced_at": None, "failed_at": None, "parked_at": None}
"""What a row's columns become when a person changes it: it is announced again once due."""
