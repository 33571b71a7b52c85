"""A workflow goes on in the transaction in which one of its jobs ends: counters are rows, so no end is lost or doubled.

What happens is told upwards: the end of a job to its step; a step that is through gives its turn to the next; and a
chain of steps is one member of the step around it. Steps are locked and changed in the order of their numbers, in
which all telling goes, and each once, however many of its jobs have ended. So two workers that end jobs of one
workflow at the same moment take turns there, and the second one sees what the first has counted.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, select, update

from tomqueue.store.schema import Tables
from tomqueue.store.ties import Change, Tie, Ties
from tomqueue.store.workflow_jobs import WorkflowJobs

__all__ = ["WorkflowTie"]


class Member(Enum):
    """How a member of a step stands: a job, or a chain."""

    PENDING = "pending"
    FAILED = "failed"
    """It has ended, and may be retried."""
    LOST = "lost"
    """It was deleted, and can never succeed."""
    DONE = "done"


class Key(NamedTuple):
    """A step of a workflow."""

    workflow: int
    number: int


@dataclass(slots=True)
class Counts:
    """What a step, or the workflow itself, counts."""

    pending: int
    failed: int
    lost: int

    def move(self, moves: Counter[Member]) -> None:
        """Let members change their count."""
        self.pending += moves[Member.PENDING]
        self.failed += moves[Member.FAILED]
        self.lost += moves[Member.LOST]

    @property
    def are_through(self) -> bool:
        """Whether nothing here can run or be retried any more."""
        return not (self.pending or self.failed)

    def member(self) -> Member:
        """Say how the chain stands whose turn is here."""
        if self.pending:
            return Member.PENDING
        if self.failed:
            return Member.FAILED
        return Member.LOST if self.lost else Member.DONE


@dataclass(slots=True)
class Step:
    """A locked step."""

    row: Row[Any]
    counts: Counts
    begun: bool

    def key(self, number: int) -> Key:
        """Return another step of the same workflow."""
        return Key(self.row.workflow, number)


class WorkflowTie(Tie):
    """Lets workflows go on."""

    def __init__(self, tables: Tables, ties: Ties) -> None:
        self._tables = tables
        self._ties = ties

    def follow(self, connection: Connection, changes: Sequence[Change], now: datetime) -> None:
        """Count the ends of jobs, and let those go whose turn it is now."""
        ours = [one for one in changes if one.before.workflow is not None and before_of(one) is not after_of(one)]
        if ours:
            jobs = WorkflowJobs(connection, self._tables.jobs, now, self._ties, self)
            Progress(connection, self._tables, jobs, now).follow(ours)


class Progress:
    """What one transaction changes in the workflows that it touches."""

    def __init__(self, connection: Connection, tables: Tables, jobs: WorkflowJobs, now: datetime) -> None:
        self._connection = connection
        self._steps = tables.steps
        self._workflows = tables.workflows
        self._jobs = jobs
        self._now = now
        self._locked: dict[Key, Step] = {}
        self._order: list[Key] = []
        self._moves: dict[Key, Counter[Member]] = {}
        self._turns: dict[Key, Member | None] = {}
        self._returned: defaultdict[Key, list[int]] = defaultdict(list)
        self._begun: list[Row[Any]] = []
        self._done: list[Step] = []
        self._roots: defaultdict[int, Counter[Member]] = defaultdict(Counter)
        self._deleted: Counter[int] = Counter()

    def follow(self, changes: Sequence[Change]) -> None:
        """Follow changes of jobs, from step to step, up to the workflows themselves."""
        self._jobs.let_fail([one.before.id for one in changes if one.after is not None and is_cut_off(one.after)])
        for change in changes:
            self._count(change)
        self._lock(self._order)
        self._lock(self._near())
        while self._order:
            self._advance(heapq.heappop(self._order))
        self._jobs.free(self._begun)
        self._write()
        self._settle()

    # Counting -----------------------------------------------------------------------------------------

    def _count(self, change: Change) -> None:
        """Count a job's change in its step; one that is retried may have to wait for its turn again."""
        row, new = change.before, after_of(change)
        if new is Member.LOST:
            self._deleted[row.workflow] += 1
        if new is Member.PENDING and row.waits_for_step is not None:
            turn = Key(row.workflow, row.waits_for_step)
            self._touch(turn)
            self._returned[turn].append(row.id)
        self._tell(Key(row.workflow, row.step), before_of(change), new)

    def _tell(self, step: Key, old: Member | None, new: Member) -> None:
        """Tell a step how one of its members stands."""
        self._touch(step)
        self._moves[step].update(moved(old, new))

    def _touch(self, step: Key) -> None:
        if step not in self._moves:
            self._moves[step] = Counter()
            heapq.heappush(self._order, step)

    def _give_turn(self, step: Key, told: Member | None) -> None:
        """Let a step begin; ``told`` is what is known so far of the chain that it is a link of."""
        self._touch(step)
        self._turns[step] = told

    # Step by step -------------------------------------------------------------------------------------

    def _advance(self, key: Key) -> None:
        step = self._step(key)
        if step is None:  # someone has deleted it by plain SQL: the jobs end all the same
            return
        told = self._begin(step, key)
        moves, was_pending = self._moves[key], step.counts.pending
        step.counts.move(moves)
        self._done.append(step)
        row = step.row
        if moves[Member.LOST] > 0 and row.next_step is not None:
            self._cancel(step.key(row.next_step), f"workflow {key.workflow}: what it waits for was deleted")
        if was_pending and not step.counts.pending and row.complete_step is not None:
            self._give_turn(step.key(row.complete_step), None)
        self._jobs.take_back(self._returned[key], is_their_turn=step.begun)
        if step.begun:
            self._pass_on(step, told)

    def _begin(self, step: Step, key: Key) -> Member | None:
        """Return what is known so far of the chain; if the step is given its turn just now, let it begin."""
        if step.begun or key not in self._turns:
            return step.counts.member() if step.begun else None
        step.begun = True
        self._begun.append(step.row)
        return self._turns[key]

    def _pass_on(self, step: Step, told: Member | None) -> None:
        """Give the turn to the next step, or tell the one around the chain what has changed."""
        row = step.row
        if step.counts.are_through and row.next_step is not None:
            self._give_turn(step.key(row.next_step), told)
            return
        new = step.counts.member()
        if new is told:
            return
        if row.parent is None:
            self._roots[row.workflow].update(moved(told, new))
        else:
            self._tell(step.key(row.parent), told, new)

    def _cancel(self, turn: Key, reason: str) -> None:
        step = self._step(turn)
        for row in [] if step is None else self._jobs.cancel(step.row, reason):
            self._tell(Key(turn.workflow, row.step), Member.PENDING, Member.FAILED)

    # Rows ---------------------------------------------------------------------------------------------

    def _near(self) -> list[Key]:
        """Return the steps that are told next, where that can be foreseen."""
        near: list[Key] = []
        for key, moves in self._moves.items():
            step = self._locked.get(key)
            if step is not None and not step.counts.pending + moves[Member.PENDING]:
                row = step.row
                told = (row.next_step, row.complete_step, row.parent)
                near += [step.key(number) for number in told if number is not None]
        return near

    def _step(self, key: Key) -> Step | None:
        if key not in self._locked:
            self._lock([key])
        return self._locked.get(key)

    def _lock(self, keys: Collection[Key]) -> None:
        """Lock steps, in the order of their numbers.

        Of many workflows it locks a few more than are meant: lists of pairs are ranges of the key for some databases
        only, and a scan would lock all.
        """
        missing = set(keys).difference(self._locked)
        if not missing:
            return
        steps = self._steps.c
        workflows, numbers = sorted({key.workflow for key in missing}), sorted({key.number for key in missing})
        wanted = select(self._steps).where(steps.workflow.in_(workflows), steps.number.in_(numbers))
        for row in self._connection.execute(wanted.order_by(steps.workflow, steps.number).with_for_update()):
            counts = Counts(row.pending, row.failed, row.lost)
            self._locked.setdefault(Key(row.workflow, row.number), Step(row, counts, bool(row.begun)))

    def _write(self) -> None:
        steps = self._steps
        same = (steps.c.workflow == bindparam("of_workflow")) & (steps.c.number == bindparam("of_number"))
        changed = [
            {"of_workflow": step.row.workflow, "of_number": step.row.number, "begun": step.begun, **stored(step.counts)}
            for step in self._done
        ]
        if changed:
            self._connection.execute(update(steps).where(same), changed)

    def _settle(self) -> None:
        """Count in the workflows themselves what their chains told, and which have finished."""
        table = self._workflows
        wanted = sorted({*self._roots, *self._deleted})
        if not wanted:
            return
        locked = select(table).where(table.c.id.in_(wanted)).order_by(table.c.id).with_for_update()
        for row in self._connection.execute(locked).all():
            counts = Counts(row.pending, row.failed, row.lost)
            counts.move(self._roots[row.id])
            values = {**stored(counts), "deleted_jobs": row.deleted_jobs + self._deleted[row.id]}
            if counts.are_through:
                values["finished_at"] = self._now
            self._connection.execute(update(table).where(table.c.id == row.id).values(values))


def before_of(change: Change) -> Member:
    """Say how a job stood before a change."""
    return Member.PENDING if change.before.failed_at is None else Member.FAILED


def after_of(change: Change) -> Member:
    """Say how a job stands after a change."""
    if change.after is None:
        return Member.DONE if change.succeeded else Member.LOST
    return Member.PENDING if change.after.failed_at is None else Member.FAILED


def is_cut_off(row: Row[Any]) -> bool:
    """Say whether a job has failed, by a person's word, that waited for its turn."""
    return bool(row.held) and row.failed_at is not None and row.waits_for_step is not None


def moved(old: Member | None, new: Member) -> dict[Member, int]:
    """Return what changes in the counts of a member that stood differently, or was not counted."""
    return {new: 1} if old is None else {old: -1, new: 1}


def stored(counts: Counts) -> dict[str, Any]:
    """Return the columns of counts."""
    return {"pending": counts.pending, "failed": counts.failed, "lost": counts.lost}
