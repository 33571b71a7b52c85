"""The kit inside a transaction of the test's, which is rolled back: the usual fixture of SQLAlchemy's users."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tomqueue.app import TomQueue
from tomqueue.daemon.in_process import Ran, Watch, ran
from tomqueue.errors import ClaimLost
from tomqueue.job import Claimed, Job
from tomqueue.store.atomic import Connection, current_transaction
from tomqueue.store.callers import synchronous_connection
from tomqueue.store.callers_keys import nobody_waits_for
from tomqueue.store.checkpoints import CheckpointTable, Note
from tomqueue.store.rehearsal import BorrowedAccess, BorrowedTransaction, Rehearsal, Savepoint
from tomqueue.store.schedules import ScheduleTable
from tomqueue.testing.crashing import Crash, NeedsCommits
from tomqueue.testing.kit import MOST, EndlessJobs, Kit
from tomqueue.testing.lost_news import LostNews, UnsentNews
from tomqueue.worker.attempt import Attempt, Work
from tomqueue.worker.board import Board
from tomqueue.worker.claim import Claim
from tomqueue.worker.context import JobContext
from tomqueue.worker.endings import Ended
from tomqueue.worker.error_handling import ErrorHandling
from tomqueue.worker.finish import given_back
from tomqueue.worker.invoke import Invoke
from tomqueue.worker.loading import Loading
from tomqueue.worker.loop import LoopThread
from tomqueue.worker.policies import Policies
from tomqueue.worker.pop import Pop
from tomqueue.worker.scheduler import Scheduler
from tomqueue.worker.slot import Slot, interrupt_thread
from tomqueue.worker.stack import worker_stack
from tomqueue.worker.timeout import Timeout
from tomqueue.worker.tools import Tools

__all__ = ["TransactionKit", "in_transaction"]


class TransactionKit(Kit):
    """Runs jobs through the worker's own stack, on the test's connection: nobody else can see their rows."""

    def __init__(self, tq: TomQueue, connection: Connection) -> None:
        super().__init__(tq)
        self._connection = connection
        self._tools = tq.tools()
        self._rehearsal = Rehearsal(self._tools.store)
        self._losing: list[UnsentNews] = []

    @contextmanager
    def lose_news(self) -> Iterator[LostNews]:
        """Say whose news a commit would have sent while the block runs: here all of it is lost."""
        lost = UnsentNews(self._jobs)
        self._losing.append(lost)
        try:
            yield lost
        finally:
            lost.close()
            self._losing.remove(lost)

    def crash_at(self, point: str, run: Callable[[], object] | None = None, *, times: int = 1) -> Crash:  # noqa: ARG002
        """Raise NeedsCommits."""
        raise NeedsCommits

    def _jobs(self) -> list[Job]:
        return self._rehearsal.jobs(self._connection)

    def _next_time(self) -> datetime | None:
        return self._rehearsal.next_time(self._connection, self.tq.registry.schedules())

    def _move(self, by: timedelta) -> None:
        self._rehearsal.advance(self._connection, by)

    def _run_ready(self, ran: list[Ran], *, raise_errors: bool) -> None:
        self._enqueue_ticks()
        halted: list[bool] = []
        watch = Watch(stop_at_trouble=raise_errors, stop=lambda: halted.append(True))
        board, loop = Board.create(), LoopThread()
        rows = Rows(self._tools, self._connection, ran.append)
        turn = stack_of(self._tools, self._connection, rows, watch, loop)
        slot = Slot(0, board, interrupt_thread)
        marker = current_transaction.set(BorrowedTransaction(self._tools.store, self._connection))
        try:
            self._note_news()
            while not halted and len(ran) < MOST and turn(Attempt(slot)):
                self._note_news()
        finally:
            current_transaction.reset(marker)
            loop.close()
            board.close()
        if watch.came is not None:
            raise watch.came
        if len(ran) >= MOST:
            raise EndlessJobs.after(ran)

    def _enqueue_ticks(self) -> None:
        """Enqueue the ticks that are due, as a worker does that stops when nothing is ready."""
        tools = replace(self._tools, ahead=self.elapsed)
        table = ScheduleTable(BorrowedAccess(tools.store, self._connection))
        Scheduler(tools, tools.store.now, table).catch_up()

    def _note_news(self) -> None:
        for lost in self._losing:
            lost.look()


class Rows:
    """Where the stack's work comes from, and who notes how it ended: one row after the other, each at once."""

    def __init__(self, tools: Tools, connection: Connection, saw: Callable[[Ran], None]) -> None:
        self._rehearsal = Rehearsal(tools.store)
        self._events = tools.events
        self._keyring = tools.keyring
        self._connection = connection
        self._saw = saw
        self._worker = secrets.randbits(62)

    def next(self, slot: Slot) -> Work | None:  # noqa: ARG002 - there is one
        """Claim the next row."""
        claimed = self._rehearsal.claim_next(self._connection, self._worker, secrets.randbits(62))
        return None if claimed is None else Work(claimed)

    def put_back(self, work: Work) -> None:
        """Let a row go whose job did not run."""
        self._rehearsal.finish(self._connection, given_back(work.claimed, keep_place=True))

    def ended_turn(self) -> None:
        """Do nothing: there is one slot."""

    def ended(self, ended: Ended) -> None:
        """Write how a job ended. Raises ClaimLost if it took its own row away."""
        if not self._rehearsal.finish(self._connection, ended.ending):
            raise ClaimLost(f"job {ended.job.id} was changed while it ran: its outcome changed nothing")
        self.committed(ended)

    def committed(self, ended: Ended) -> None:
        """Tell how a job ended."""
        if ended.event is not None:
            self._saw(ran(ended.job, ended.event, ended.error, self._keyring))
            details: dict[str, Any] = {} if ended.error is None else {"error": ended.error}
            self._events.emit(ended.event, job=ended.job, **details)

    def done(self, job: Claimed) -> None:
        """Do nothing: what is not ours any more is not ours."""


class Checkpoints:
    """The checkpoints of the jobs, on the test's connection."""

    def __init__(self, tools: Tools, connection: Connection) -> None:
        self.most_bytes = tools.settings.max_checkpoint_bytes
        self._table = CheckpointTable(tools.store)
        self._connection = connection

    def save(self, job: Claimed, text: str) -> None:
        """Write a checkpoint. Raises ClaimLost if the job took its own row away."""
        job.tied = True
        if not self._table.save_in(self._connection, job.id, job.token, text):
            raise ClaimLost(f"job {job.id} was changed while it ran: its checkpoint is not written")

    def value(self, job: Claimed) -> str | None:
        """Read the checkpoint."""
        return self._table.value_in(self._connection, job.id)

    def progress(self, job: Claimed, done: float, total: float | None) -> None:
        """Write the progress at once."""
        job.tied = True
        self._table.note_in(self._connection, [Note(job.id, job.token, done, total)])


def stack_of(
    tools: Tools, connection: Connection, rows: Rows, watch: Watch, loop: LoopThread
) -> Callable[[Attempt], bool]:
    """Return the worker's stack over those rows; what is no job's error is raised."""
    policies = Policies(tools.settings, keep_place=True)
    checkpoints = Checkpoints(tools, connection)
    loading = Loading(tools.registry, policies, tools.store, tools.logger, checkpoints, keyring=tools.keyring)

    def load(attempt: Attempt) -> None:
        loading(attempt)
        if attempt.context.transaction is not None:  # an atomic job's: inside of ours
            within = Savepoint(tools.store, connection)
            attempt.context = JobContext(attempt.job, attempt.policy.max_attempts, tools.logger, checkpoints, within)

    stack = worker_stack(
        ErrorHandling(tools.logger, raised, pause=never),
        Pop(rows, never, tools.settings.max_run_time, tools.settings.max_attempts),
        Claim(rows, load, tools.events, tools.logger, tools.reporting, now=tools.store.now),
        Timeout(),
        Invoke(tools.events, loop, tools.reporting.report, most_bytes=tools.settings.max_payload_bytes),
    )
    return tools.layers.into(stack).with_after("Claim", watch).folded()


def raised(error: BaseException) -> None:
    """Raise what a worker would report and go on from."""
    raise error


def never(*_asked: object) -> None:
    """Do nothing: there are no messages here, and no pause follows what is raised."""


@contextmanager
def in_transaction(tq: TomQueue, transaction: Any) -> Iterator[TransactionKit]:
    """Give the kit inside ``transaction`` (a Connection, or a Session joined to one) until the block is left.

    What is enqueued in the block without a session of its own goes into it as well, and everything is gone with its
    rollback. Raises EnqueueError for a transaction of another database, WrongColour for an asynchronous one.
    """
    store = tq.tools().store
    connection = synchronous_connection(transaction, store)
    marker = current_transaction.set(BorrowedTransaction(store, connection))
    try:
        with nobody_waits_for(connection):
            yield TransactionKit(tq, connection)
    finally:
        current_transaction.reset(marker)
