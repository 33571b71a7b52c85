"""Workflows: written with their jobs in one transaction, and what people and programs ask of them."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, delete, func, not_, select, update

from tomqueue.definition import Plan, Post, Step, within
from tomqueue.errors import EnqueueError, JobNotFound, JobStateError
from tomqueue.job import Job, NewJob
from tomqueue.store.base import Inserted
from tomqueue.store.rows import job_of
from tomqueue.store.sql import SqlStore

__all__ = ["Awaited", "Workflow", "WorkflowState", "WorkflowTable"]

PIECE = 1000
NAMED = 5
"""So many of the jobs that another one waits for are named."""


class WorkflowState(StrEnum):
    """What a workflow is doing."""

    RUNNING = "running"
    """Something of it can run, or runs."""
    FAILED = "failed"
    """It goes on when a person retries what has failed."""
    CANCELLED = "cancelled"
    """A person has cancelled it; as when it failed, what is retried goes on."""
    SUCCEEDED = "succeeded"
    INCOMPLETE = "incomplete"
    """It has ended, and jobs of it were deleted in place of succeeding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A workflow, as it was when it was read, or enqueued. ``pending``, ``failed``, ``done``, ``deleted``: jobs."""

    id: int
    state: WorkflowState
    total: int
    pending: int
    """Those that have not ended: they wait, or run."""
    failed: int
    done: int
    deleted: int
    """Those that were deleted before they had succeeded."""
    created_at: datetime
    cancelled_at: datetime | None = None
    finished_at: datetime | None = None
    jobs: Sequence[Job] = field(default=(), repr=False)
    """The jobs as they were enqueued; of a workflow that is read later see ``tq.workflows.jobs``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """What a job waits for: some of the jobs before it, and how many there are that have not ended, or have failed."""

    jobs: Sequence[Job]
    pending: int
    failed: int


class WorkflowTable:
    """The workflows of one database."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._jobs = store.tables.jobs
        self._steps = store.tables.steps
        self._workflows = store.tables.workflows

    # Writing ------------------------------------------------------------------------------------------

    def insert(
        self, plan: Plan, posts: Sequence[Post], jobs: Sequence[NewJob], connection: Connection | None = None
    ) -> tuple[int, list[Inserted]]:
        """Write a workflow and its jobs in one transaction, or in the caller's; return its id, and what they became."""
        now = self._store.now()
        if connection is not None:
            with self._store.translating():
                return self._insert(connection, plan.steps, posts, jobs, now)
        self._store.know_queues({job.queue for job in jobs})
        return self._store.write(lambda own: self._insert(own, plan.steps, posts, jobs, now))

    def _insert(
        self,
        connection: Connection,
        steps: Sequence[Step],
        posts: Sequence[Post],
        jobs: Sequence[NewJob],
        now: datetime,
    ) -> tuple[int, list[Inserted]]:
        written = self._workflows.insert().values(jobs=len(jobs), pending=1, created_at=now)
        key = connection.execute(written).inserted_primary_key
        assert key is not None
        workflow = int(key[0])
        tied = (tied_to(workflow, job, post) for job, post in zip(jobs, posts, strict=True))
        inserted: list[Inserted] = []
        made: set[int] = set()
        while piece := list(islice(tied, PIECE)):
            inserted += self._store.insert(piece, connection)
            made.update(row.id for row in inserted[-len(piece) :] if row.existing is None)
            if len(made) < len(inserted):
                self._take_back(connection, workflow, made)
                raise meets_a_key(jobs, inserted)
        ids = [row.id for row in inserted]
        waiting: defaultdict[int | None, list[int]] = defaultdict(list)
        for post, job_id in zip(posts, ids, strict=True):
            waiting[post.waits_for].append(job_id)
        connection.execute(self._steps.insert(), [step_values(workflow, step, waiting[step.number]) for step in steps])
        ends = {"first_job": min(ids), "last_job": max(ids)}
        connection.execute(update(self._workflows).where(self._workflows.c.id == workflow).values(ends))
        return workflow, inserted

    def _take_back(self, connection: Connection, workflow: int, made: Collection[int]) -> None:
        """Delete what is written of a workflow that cannot be: the caller may commit the rest of its transaction."""
        ids = iter(sorted(made))
        while piece := list(islice(ids, PIECE)):
            connection.execute(delete(self._jobs).where(self._jobs.c.id.in_(piece)))
        connection.execute(delete(self._workflows).where(self._workflows.c.id == workflow))

    def cancelling(self, workflow: int) -> Row[Any]:
        """Write down that a person cancels a workflow. Raises JobNotFound, JobStateError when it has finished."""
        row = self._row(workflow)
        meant = and_(self._workflows.c.id == workflow, self._workflows.c.finished_at.is_(None))
        values = update(self._workflows).where(meant).values(cancelled_at=self._store.now())
        if not self._store.write(lambda connection: connection.execute(values).rowcount):
            raise JobStateError(f"workflow {workflow} has finished: there is nothing left to cancel")
        return row

    def unfailed(self, workflow: Row[Any]) -> Iterator[list[int]]:
        """Read, in pieces, the ids of a workflow's jobs that have not failed: first those that wait for others."""
        jobs = self._jobs.c
        for held in (jobs.held, not_(jobs.held)):
            after = 0
            while True:
                meant = and_(self._of(workflow), jobs.id > after, held, jobs.failed_at.is_(None))
                wanted = select(jobs.id).where(meant).order_by(jobs.id).limit(PIECE)
                ids = self._store.read(lambda connection, wanted=wanted: list(connection.execute(wanted).scalars()))  # type: ignore[misc]
                if not ids:
                    break
                yield ids
                after = ids[-1]

    def prune(self, before: datetime, limit: int) -> int:
        """Delete workflows that finished before ``before``, oldest first; return how many, ``limit`` at most."""
        table, steps = self._workflows, self._steps
        old = select(table.c.id).where(table.c.finished_at < before).order_by(table.c.finished_at).limit(limit)
        ids = self._store.read(lambda connection: list(connection.execute(old).scalars()))

        def work(connection: Connection) -> int:
            connection.execute(delete(steps).where(steps.c.workflow.in_(ids)))
            return connection.execute(delete(table).where(table.c.id.in_(ids))).rowcount

        return self._store.write(work) if ids else 0

    # Reading ------------------------------------------------------------------------------------------

    def get(self, workflow: int) -> Workflow:
        """Read one workflow. Raises JobNotFound."""
        return self._read([self._row(workflow)])[0]

    def find(self, *, unfinished: bool, limit: int | None, after: int) -> list[Workflow]:
        """Read workflows in the order of their ids, beginning after the id ``after``; only the ``unfinished``."""
        table = self._workflows
        wanted = select(table).where(table.c.id > after).order_by(table.c.id).limit(limit)
        if unfinished:
            wanted = wanted.where(table.c.finished_at.is_(None))
        return self._read(self._store.read(lambda connection: connection.execute(wanted).all()))

    def jobs(self, workflow: int, *, limit: int | None, after: int) -> list[Job]:
        """Read the jobs of a workflow that are in the table, in the order of their ids. Raises JobNotFound."""
        row, now = self._row(workflow), self._store.now()
        meant = and_(self._of(row), self._jobs.c.id > after)
        wanted = select(self._jobs).where(meant).order_by(self._jobs.c.id).limit(limit)
        return [job_of(one, now) for one in self._store.read(lambda connection: connection.execute(wanted).all())]

    def awaited_by(self, job: Job) -> Awaited | None:
        """Read what a job waits for; None where it waits for no job."""
        if job.workflow is None or job.waits_for_step is None:
            return None
        steps, number, jobs = self._steps.c, job.waits_for_step, self._jobs.c
        row, now = self._row(job.workflow), self._store.now()
        leads = (steps.next_step == number) | (steps.complete_step == number)
        ours = select(steps.number, steps.parent).where(steps.workflow == job.workflow)
        with self._store.reading() as connection:
            parents = {one.number: one.parent for one in connection.execute(ours)}
            before = {one.number for one in connection.execute(ours.where(leads))}
            within_them = descendants(before, parents)
            meant = and_(self._of(row), jobs.step.in_(within_them))
            some = select(self._jobs).where(meant).order_by(jobs.failed_at.is_(None), jobs.id).limit(NAMED)
            named = [job_of(one, now) for one in connection.execute(some)]
            (pending, failed) = connection.execute(select(*counters(self._jobs)).where(meant)).one()
        return Awaited(jobs=named, pending=int(pending or 0), failed=int(failed or 0))

    def stuck(self, limit: int) -> list[Workflow]:
        """Read workflows, ``limit`` of the unfinished at most, in which nothing can go on by itself.

        What they wait for has failed; or was changed by plain SQL, of which a workflow does not learn. Those that a
        person has cancelled are not among them.
        """
        found = [one for one in self.find(unfinished=True, limit=limit, after=0) if one.cancelled_at is None]
        alive = self._alive({one.id for one in found if one.state is WorkflowState.RUNNING})
        return [one for one in found if one.id not in alive]

    def _alive(self, ids: set[int]) -> set[int]:
        jobs = self._jobs.c
        wanted = select(jobs.workflow).where(jobs.workflow.in_(ids), jobs.failed_at.is_(None), not_(jobs.held))
        return set(self._store.read(lambda connection: connection.execute(wanted.distinct()).scalars().all()))

    def _row(self, workflow: int) -> Row[Any]:
        wanted = select(self._workflows).where(self._workflows.c.id == workflow)
        row = self._store.read(lambda connection: connection.execute(wanted).one_or_none())
        if row is None:
            raise JobNotFound(f"no workflow has id {workflow}: it finished more than eight days ago, or never existed")
        return row

    def _read(self, rows: Sequence[Row[Any]]) -> list[Workflow]:
        jobs = self._jobs
        open_ones = [row for row in rows if row.finished_at is None]
        counts: dict[int, tuple[int, int]] = {}
        if open_ones:
            ends = jobs.c.id.between(min(row.first_job for row in open_ones), max(row.last_job for row in open_ones))
            meant = and_(ends, jobs.c.workflow.in_([row.id for row in open_ones]))
            counted = select(jobs.c.workflow, *counters(jobs)).where(meant).group_by(jobs.c.workflow)
            found = self._store.read(lambda connection: connection.execute(counted).all())
            counts = {workflow: (int(pending), int(failed)) for workflow, pending, failed in found}
        return [workflow_of_row(row, *counts.get(row.id, (0, 0))) for row in rows]

    def _of(self, workflow: Row[Any]) -> ColumnElement[bool]:
        """Return the condition of a workflow's jobs."""
        jobs = self._jobs.c
        return and_(jobs.id.between(workflow.first_job, workflow.last_job), jobs.workflow == workflow.id)


def meets_a_key(jobs: Sequence[NewJob], inserted: Sequence[Inserted]) -> EnqueueError:
    """Return the error of a workflow of which some job was not inserted, since another one holds its unique key."""
    cure = "enqueue this one by using(unique=False, …)"
    seen: set[int] = set()
    for job, row in zip(jobs, inserted, strict=False):
        if row.existing is not None and row.id not in seen:
            return EnqueueError(
                f"{job.name}: job {row.id} holds the unique key of this job, and a workflow goes on after jobs of its "
                f"own only: {cure}, or wait until that one lets its key go"
            )
        if row.id in seen:
            return EnqueueError(f"{job.name}: two jobs of the workflow have the same unique key: {cure}")
        seen.add(row.id)
    raise AssertionError("unreachable")


def tied_to(workflow: int, job: NewJob, post: Post) -> NewJob:
    """Return a new job as a part of a workflow."""
    ties = {**job.ties, "workflow": workflow, "step": post.step, "waits_for_step": post.waits_for}
    return replace(job, ties=ties, meta=within(job.meta, workflow), held=job.held or post.waits_for is not None)


def step_values(workflow: int, step: Step, waiting: Sequence[int]) -> dict[str, Any]:
    """Return the row of a step for whose turn the jobs ``waiting`` wait."""
    values = {name: getattr(step, name) for name in step.__slots__}
    ends = {"first_job": min(waiting, default=None), "last_job": max(waiting, default=None)}
    return {**values, **ends, "workflow": workflow, "pending": step.members}


def counters(jobs: Any) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """Return how many jobs are pending, and how many have failed: decimal numbers on MySQL."""
    failed = jobs.c.failed_at.is_not(None)
    return func.sum(case((failed, 0), else_=1)), func.sum(case((failed, 1), else_=0))


def descendants(steps: set[int], parents: dict[int, int | None]) -> set[int]:
    """Return steps, and all that count in them."""
    for step in sorted(parents, reverse=True):  # a step's number is smaller than that of the one it counts in
        if parents[step] in steps:
            steps.add(step)
    return steps


def workflow_of_row(row: Row[Any], pending: int, failed: int) -> Workflow:
    """Return a row as a Workflow."""
    done = row.jobs - pending - failed - row.deleted_jobs
    return Workflow(
        id=row.id, state=state_of(row), total=row.jobs, pending=pending, failed=failed, done=done,
        deleted=row.deleted_jobs, created_at=row.created_at, cancelled_at=row.cancelled_at,
        finished_at=row.finished_at,
    )  # fmt: skip


def state_of(row: Row[Any]) -> WorkflowState:
    """Derive a workflow's state."""
    if row.finished_at is not None:
        return WorkflowState.INCOMPLETE if row.lost or row.deleted_jobs else WorkflowState.SUCCEEDED
    if row.pending:
        return WorkflowState.RUNNING
    return WorkflowState.FAILED if row.cancelled_at is None else WorkflowState.CANCELLED
