"""The jobs of a workflow that wait for their turn: ``held``, as long as ``waits_for_step`` names a step.

They are found by the ids of a step's first and last one, beside which there are those of other jobs; so the table
needs no index for them.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Table,
    and_,
    bindparam,
    case,
    false,
    null,
    select,
    true,
    update,
)

from tomqueue.store.announcing import by_key
from tomqueue.store.ties import Tie, Ties

__all__ = ["WorkflowJobs"]

PIECE = 1000


class WorkflowJobs:
    """Changes the waiting jobs of workflows in one transaction; other ``ties`` than ``tie`` are told."""

    def __init__(self, connection: Connection, jobs: Table, now: datetime, ties: Ties, tie: Tie) -> None:
        self._connection = connection
        self._jobs = jobs
        self._now = now
        self._ties = ties
        self._tie = tie

    def free(self, turns: Sequence[Row[Any]]) -> None:
        """Let the jobs go that wait for the turn of these steps; those that are due are announced at once.

        An expiry is counted from now on, as it was from the enqueue. Those of a limit are held by it from now on.
        """
        wanted = {(step.workflow, step.number) for step in turns}
        for ids in pieces(turns):
            found = [row for row in self._waiting(ids) if (row.workflow, row.waits_for_step) in wanted]
            if found:
                self._free(found)

    def cancel(self, turn: Row[Any], reason: str) -> list[Row[Any]]:
        """Fail the jobs that wait for the turn of a step, which will not come; return them."""
        cancelled: list[Row[Any]] = []
        values = {
            "held": false(), "failed_at": self._now, "cancelled_at": self._now, "last_error": reason,
            "updated_at": self._now,
        }  # fmt: skip
        for ids in pieces([turn]):
            of_turn = and_(self._jobs.c.workflow == turn.workflow, self._jobs.c.waits_for_step == turn.number)
            found = self._waiting(ids, of_turn, lock=True)
            if found:
                self._change([row.id for row in found], values)
                cancelled += found
        return cancelled

    def let_fail(self, ids: Sequence[int]) -> None:
        """Hold jobs no longer that a person has cancelled: they may be retried."""
        if ids:
            self._change(ids, {"held": false()})

    def take_back(self, ids: Sequence[int], *, is_their_turn: bool) -> None:
        """Let jobs that a person retries wait for their turn again, unless it has come."""
        if ids:
            self._change(ids, {"waits_for_step": null()} if is_their_turn else {"held": true()})

    def _free(self, found: Sequence[Row[Any]]) -> None:
        jobs, now = self._jobs, self._now
        expiring = [
            {"of_job": row.id, "expires_at": now + (row.expires_at - row.run_at)}
            for row in found
            if row.expires_at is not None and row.run_at < now
        ]
        if expiring:
            self._connection.execute(update(jobs).where(jobs.c.id == bindparam("of_job")), expiring)
        soonest = bindparam(None, now, type_=jobs.c.run_at.type)
        run_at = case((jobs.c.run_at > soonest, jobs.c.run_at), else_=soonest)
        values = {
            "held": jobs.c.limit_key.is_not(None), "waits_for_step": null(), "run_at": run_at, "announced_at": null(),
            "updated_at": now,
        }  # fmt: skip
        self._change([row.id for row in found], values, jobs.c.held)
        self._ties.free(self._connection, [row.id for row in found if row.run_at <= now])

    def _change(self, ids: Sequence[int], values: dict[str, Any], meant: ColumnElement[bool] | None = None) -> None:
        jobs = self._jobs
        which = jobs.c.id.in_(ids) if meant is None else and_(jobs.c.id.in_(ids), meant, jobs.c.failed_at.is_(None))
        with self._ties.followed(self._connection, jobs.c.id.in_(ids), self._now, by=self._tie):
            self._connection.execute(update(jobs).where(which).values(values))

    def _waiting(
        self, ids: Sequence[int], meant: ColumnElement[bool] | None = None, *, lock: bool = False
    ) -> Sequence[Row[Any]]:
        jobs = self._jobs.c
        columns = (jobs.id, jobs.workflow, jobs.step, jobs.waits_for_step, jobs.run_at, jobs.expires_at)
        waits = and_(jobs.id.in_(ids), jobs.held, jobs.waits_for_step.is_not(None), jobs.failed_at.is_(None))
        wanted = by_key(select(*columns).where(waits).order_by(jobs.id), self._jobs)
        wanted = wanted if meant is None else wanted.where(meant)
        return self._connection.execute(wanted.with_for_update() if lock else wanted).all()


def pieces(turns: Iterable[Row[Any]]) -> Iterator[list[int]]:
    """Return the ids among which the jobs are that wait for these steps."""
    ids = chain.from_iterable(range(step.first_job, step.last_job + 1) for step in turns if step.first_job is not None)
    while piece := list(islice(ids, PIECE)):
        yield piece
