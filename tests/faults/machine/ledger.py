"""What the state machine knows beside the system: who enqueued, ran, succeeded; and what must hold at every step."""

import json
from collections import Counter
from typing import Any

from sqlalchemy import select, text

from tests.faults.machine.process import Process, Run
from tomqueue.priority import PRIORITIES
from tomqueue.store.columns import to_micros
from tomqueue.store.sql import SqlStore
from tomqueue.worker.intake import LOOK_EVERY

__all__ = ["Ledger", "number_of"]

MAX_CRASHES = 3
MOMENT = 0.001
"""Seconds that a few readings of the clock may take."""


class Ledger:
    """Jobs are known by their ``number``: ids of rows that were rolled back are given again."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._jobs = store.tables.jobs
        self.committed: dict[int, bool] = {}
        """Number → whether the job is atomic."""
        self.away_since = store.now()
        """When workers had to begin to ask the database themselves, if they do."""
        self.succeeded: set[int] = set()
        self.deleted: set[int] = set()
        self.claims: dict[tuple[int, int], int] = {}
        """Every claim that was seen, (id, token) → worker."""

    # Looking ------------------------------------------------------------------------------------------

    def rows(self) -> list[Any]:
        """Read the table."""
        with self._store.reading() as connection:
            return list(connection.execute(select(self._jobs).order_by(self._jobs.c.id)))

    def row(self, job: int) -> Any:
        """Read a row; None when it is gone."""
        with self._store.reading() as connection:
            return connection.execute(select(self._jobs).where(self._jobs.c.id == job)).one_or_none()

    def unfinished(self) -> list[int]:
        """Return the numbers of the jobs that have neither finished nor failed."""
        return [number_of(row) for row in self.rows() if row.failed_at is None]

    def stale_claims(self) -> list[tuple[int, int, int]]:
        """Return (id, token, worker) of claims that hold nothing any more, on rows that are still there."""
        tokens = {row.id: row.claim_token for row in self.rows()}
        lost = {claim: worker for claim, worker in self.claims.items() if tokens.get(claim[0], claim[1]) != claim[1]}
        return [(*claim, worker) for claim, worker in lost.items()]

    # What must hold -----------------------------------------------------------------------------------

    def take_success(self, run: Run) -> None:
        """Take note that a job has done its work, if it is its owner's."""
        row = self.row(run.job)
        if row is not None and row.claim_token == run.token:
            self.succeeded.add(run.number)

    def check(self, trusting: list[Process]) -> None:
        """Check that nothing is lost, doubled or half-claimed, and each effect is there once: when its job is finished.

        What runs in a process that trusts its lease belongs to it.
        """
        rows = self.rows()
        owners = {(row.id, row.claim_token) for row in rows}
        taken = [run for process in trusting for run in process.running() if (run.job, run.token) not in owners]
        assert not taken, f"taken from a living owner: {taken}"
        here = Counter(map(number_of, rows))
        lost = self.committed.keys() - here.keys() - self.succeeded - self.deleted
        assert not lost, f"lost: jobs {lost}"
        assert here.keys() <= self.committed.keys(), f"phantom: jobs {here.keys() - self.committed.keys()}"
        assert max(here.values(), default=1) == 1, f"doubled rows: {here}"
        for row in rows:
            check_row(row)
            if row.locked_by is not None:
                self.claims[row.id, row.claim_token] = row.locked_by
        gone = self.committed.keys() - here.keys() - self.deleted
        effects = {number: 1 for number in gone if self.committed[number]}
        assert self._effects() == effects, f"effects {self._effects()} of atomic jobs, and finished are {effects}"

    def _effects(self) -> dict[int, int]:
        with self._store.reading() as connection:
            return dict(Counter(connection.execute(text("SELECT number FROM effects")).scalars()))

    def check_start(self, process: Process, run: Run, others: list[Process]) -> None:
        """Check that the job was committed, is due, and belongs to this process alone."""
        assert run.number in self.committed, f"phantom: job {run.number} runs and was never committed"
        row = self.row(run.job)
        assert row is not None, f"job {run.job} runs, and its row is gone"
        owner = (row.locked_by, row.claim_token)
        assert owner == (process.id, run.token), f"job {run.job} runs in {process.id}, and its row belongs to {owner}"
        rivals = [one.id for one in others if run.job in {it.job for it in one.running()}]
        assert not rivals, f"job {run.job} runs in {process.id} and in {rivals}"
        assert row.run_at <= self._store.now(), f"early: job {run.job} runs before {row.run_at}"
        self._check_urgency(process, row)

    def _check_urgency(self, process: Process, started: Any) -> None:
        """Check that nothing more urgent was known by news that had arrived, or by the last look (I9)."""
        now = self._store.now()
        free = {row.id: row for row in self.rows() if row.priority < started.priority and is_free(row, now)}
        if process.consumer.asks_database:
            known = [row for row in free.values() if was_seen(process, row, now, self.away_since)]
        else:
            news = process.consumer.waiting()
            known = [free[one.job_id] for one in news if one.job_id in free and is_about(one, free[one.job_id])]
        assert not known, f"job {started.id} of priority {started.priority} went before {[row.id for row in known]}"


def number_of(row: Any) -> int:
    """Return the number of a row's job."""
    return int(json.loads(row.payload)["number"])


def check_row(row: Any) -> None:
    """Check that a row is claimed or free, never half, and that its counters are plausible."""
    claim = (row.locked_by is None, row.locked_at is None, row.claim_token is None)
    assert claim in {(True, True, True), (False, False, False)}, f"half a claim: {row}"
    assert row.attempts >= (row.locked_by is not None), f"refunded twice: {row}"
    assert row.crashes <= MAX_CRASHES, f"crashed too often: {row}"
    assert row.priority in PRIORITIES
    may_run = row.locked_by is None and row.failed_at is None
    assert row.cancelled_at is None or not may_run, f"cancelled, and may run again: {row}"


def is_free(row: Any, now: Any) -> bool:
    """Say whether anybody may claim a row."""
    return row.locked_by is None and row.failed_at is None and row.parked_at is None and row.run_at <= now


def is_about(news: Any, row: Any) -> bool:
    """Say whether a row is still where its news says."""
    return (row.queue, row.priority) == (news.queue, news.priority)


def was_seen(process: Process, row: Any, now: Any, away_since: Any) -> bool:
    """Say whether a process that asks the database must have seen a ready row before it started another.

    Rows below its low-water mark are known to be passed over for up to ten seconds (decision 5).
    """
    if row.announced_at is None or row.queue not in process.worker._queues.active():
        return False
    stamp, last = process.worker._intake._looks._want.marks.get((row.queue, row.priority), (0, 0))
    is_passed_over = (to_micros(row.announced_at), row.id) <= (stamp, last)
    ready_since = max(row.announced_at, row.updated_at, row.run_at, away_since)
    return not is_passed_over and (now - ready_since).total_seconds() > LOOK_EVERY + MOMENT
