"""The core of the stack: call the job, with its hooks in Delayed::Job's order and in its own transaction.

before · (process) · success | error · after; ``failure`` follows when the job will not run again.
"""

from collections.abc import Callable

from tomqueue.error_text import storable
from tomqueue.errors import DefinitionError, JobInterrupted, OutcomeUnknown, ResultNotKept, Snooze, StoreUnavailable
from tomqueue.events import Events
from tomqueue.job import Claimed
from tomqueue.payload import NotJson, ReturnCodec
from tomqueue.store.atomic import AtomicTransaction, current_transaction
from tomqueue.worker.attempt import Attempt, Result, success_of
from tomqueue.worker.context import current_job
from tomqueue.worker.hooks import call_hook
from tomqueue.worker.loop import LoopThread
from tomqueue.worker.messages import Handling

__all__ = ["Invoke"]

AFTER_TROUBLE = 1.0
"""Seconds until an atomic job whose connection broke runs again: not at once, or a worker would turn hot."""


class Invoke:
    """Runs functions and classes, synchronous and asynchronous ones. A result has at most ``most_bytes``."""

    def __init__(
        self, events: Events, loop: LoopThread, report: Callable[[BaseException], None], *, most_bytes: int
    ) -> None:
        self._events = events
        self._loop = loop
        self._report = report
        self._most_bytes = most_bytes

    def __call__(self, attempt: Attempt) -> bool:
        """Run the job, or handle the message; raises whatever it raises."""
        if attempt.handling is not None:
            self._handle(attempt.handling)
            return True
        self._events.emit("job.started", job=attempt.job)
        marker = current_job.set(attempt.context)
        try:
            if attempt.hooks is None:
                self._perform(attempt)
            else:
                self._perform_with_hooks(attempt, attempt.hooks)
        finally:
            current_job.reset(marker)
        return True

    def _handle(self, handling: Handling) -> None:
        result = handling.consumer(handling.letter.message)
        if handling.consumer.is_async:
            self._loop.run(result)

    def _perform_with_hooks(self, attempt: Attempt, target: object) -> None:
        try:
            call_hook(target, "before", attempt.context)
            self._perform(attempt)
            self._call_safely(target, "success", attempt.context)
        except BaseException as error:
            self._call_safely(target, "error", attempt.context, error)
            raise
        finally:
            self._call_safely(target, "after", attempt.context)

    def _call_safely(self, target: object, name: str, *arguments: object) -> None:
        """Call a hook that cannot change how the job ends any more: what it raises is reported."""
        try:
            call_hook(target, name, *arguments)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - reported
            self._report(error)

    def _perform(self, attempt: Attempt) -> None:
        transaction = attempt.context.transaction
        if transaction is None:
            self._run(attempt)
            return
        marker = current_transaction.set(transaction)
        try:
            self._run_within(attempt, transaction)
            self._commit(attempt, transaction)
        finally:
            current_transaction.reset(marker)
            transaction.close()

    def _run(self, attempt: Attempt) -> None:
        result = attempt.loaded.run(attempt.context)
        if attempt.definition.is_async:
            result = self._loop.run(result)
        if attempt.definition.result is not None:
            attempt.result = self._kept(attempt.job, attempt.definition.result, result)

    def _kept(self, job: Claimed, codec: ReturnCodec, value: object) -> Result:
        """Return what is kept of what a job returned. Its work is done: what cannot be kept does not fail it."""
        try:
            return Result(codec.encode(value, self._most_bytes))
        except (NotJson, DefinitionError) as error:
            problem = storable(f"what it returned cannot be kept as its result: {error}")
            self._report(ResultNotKept(f"job {job.id} {job.name} succeeded, but {problem}"))
            return Result(None, problem)

    def _run_within(self, attempt: Attempt, transaction: AtomicTransaction) -> None:
        """Run a job in its transaction. If the database took that away, the job is not charged for it."""
        try:
            self._run(attempt)
        except Exception as error:
            if not transaction.is_to_blame_for(error):
                raise
            self._report(StoreUnavailable(f"the transaction of job {attempt.job.id} is gone: {error}"))
            raise Snooze(AFTER_TROUBLE) from error

    def _commit(self, attempt: Attempt, transaction: AtomicTransaction) -> None:
        """Commit the job's writes with its finish. A database that is away is no failure of the job's."""
        try:
            transaction.commit(success_of(attempt) if attempt.job.id else None)
        except (StoreUnavailable, OutcomeUnknown) as error:
            self._report(error)
            raise JobInterrupted(f"its transaction was not committed: {error}") from error
        attempt.committed = True
