"""What a job sees of itself while it runs."""

import asyncio
import logging
from collections.abc import MutableMapping
from contextvars import ContextVar
from datetime import datetime
from typing import Any

import msgspec

from tomqueue.definition import Tick, workflow_of
from tomqueue.errors import DefinitionError
from tomqueue.job import Claimed
from tomqueue.priority import Priority
from tomqueue.store.atomic import AtomicTransaction, Connection, Session
from tomqueue.worker.checkpoints import Checkpoints, checked_progress, checkpoint_text

__all__ = ["JobContext", "current_job"]


class JobContext:
    """The job that is running; passed to a job whose first parameter asks for it, and to its hooks."""

    __slots__ = ("_checkpoints", "_is_async", "_job", "_log", "_logger", "_max_attempts", "_transaction")

    def __init__(
        self,
        job: Claimed,
        max_attempts: int,
        logger: logging.Logger,
        checkpoints: Checkpoints,
        transaction: AtomicTransaction | None = None,
        *,
        is_async: bool = False,
    ) -> None:
        self._job = job
        self._checkpoints = checkpoints
        self._is_async = is_async
        self._max_attempts = max_attempts
        self._logger = logger
        self._transaction = transaction
        self._log: JobLog | None = None

    def __repr__(self) -> str:
        return f"<JobContext of job {self.id} {self.name}, attempt {self.attempt} of {self.max_attempts}>"

    @property
    def id(self) -> int:
        """The id of the row; 0 when the job runs inline, without one."""
        return self._job.id

    @property
    def name(self) -> str:
        """The job's name."""
        return self._job.name

    @property
    def queue(self) -> str:
        """The queue that it came from."""
        return self._job.queue

    @property
    def priority(self) -> Priority:
        """How urgent it is."""
        return self._job.priority

    @property
    def attempt(self) -> int:
        """Which attempt this is: 1 is the first."""
        return self._job.attempts

    @property
    def max_attempts(self) -> int:
        """How many attempts there may be."""
        return self._max_attempts

    @property
    def run_at(self) -> datetime:
        """When it was to run at the earliest; aware, in UTC."""
        return self._job.run_at

    @property
    def created_at(self) -> datetime:
        """When it was enqueued; aware, in UTC."""
        return self._job.created_at

    @property
    def tick(self) -> datetime | None:
        """The time by its schedule that a periodic job runs for, in UTC; None for any other job."""
        tick = Tick.of_meta(self._job.meta)
        return None if tick is None else tick.at

    @property
    def workflow(self) -> int | None:
        """The id of the workflow that it is a part of, for ``tq.workflows``; None for a job that is in none."""
        return workflow_of(self._job.meta)

    @property
    def log(self) -> "JobLog":
        """A logger whose records carry the job's id, name and attempt."""
        if self._log is None:
            job = self._job
            self._log = JobLog(self._logger, {"job_id": job.id, "job_name": job.name, "attempt": job.attempts})
        return self._log

    def checkpoint(self, value: Any) -> None:
        """Keep ``value`` for the next attempt, should this one not come to its end; it is committed when this returns.

        ``ctx.checkpointed`` has it then. Raises CheckpointError (too large, or no JSON), ClaimLost, StoreError;
        DefinitionError in an atomic job, whose writes would be undone and its checkpoint not; TypeError in an
        asynchronous job, whose event loop it would hold up: there it is ``await ctx.acheckpoint(value)``.
        """
        self._check_colour("ctx.checkpoint(value)", "await ctx.acheckpoint(value)")
        self._save(value)

    async def acheckpoint(self, value: Any) -> None:
        """Keep ``value`` for the next attempt, from asynchronous code; see ``checkpoint``."""
        await asyncio.to_thread(self._save, value)

    @property
    def checkpointed(self) -> Any:
        """The last checkpoint of this job, as plain JSON values; None when it has none. Raises StoreError.

        Each look reads it. In an asynchronous job it is ``await ctx.acheckpointed()``, and this a TypeError.
        """
        self._check_colour("ctx.checkpointed", "await ctx.acheckpointed()")
        return self._saved()

    async def acheckpointed(self) -> Any:
        """Return the last checkpoint of this job, in asynchronous code."""
        return await asyncio.to_thread(self._saved)

    def progress(self, done: float, total: float | None = None) -> None:
        """Say how far the job has come, for ``jobs show`` and ``workers``. It costs nothing: call it in every round.

        The latest is written within about a second, not by this thread. Raises TypeError and ValueError only.
        """
        checked_progress(done, total)
        if self._transaction is None or not self._transaction.keeps_others_out:
            self._checkpoints.progress(self._job, done, total)

    def _check_colour(self, call: str, instead: str) -> None:
        if self._is_async and runs_in_loop():
            raise TypeError(f"{call} waits for the database and would hold up the event loop: write {instead}")

    def _save(self, value: Any) -> None:
        if self._transaction is not None:
            raise DefinitionError(
                f"{self.name}: an atomic job writes all or nothing, and a checkpoint would outlive what is undone: "
                "leave atomic=True out, or make it several jobs"
            )
        self._checkpoints.save(self._job, checkpoint_text(self._job, value, self._checkpoints.most_bytes))

    def _saved(self) -> Any:
        text = self._checkpoints.value(self._job)
        return None if text is None else msgspec.json.decode(text)

    @property
    def transaction(self) -> AtomicTransaction | None:
        """The transaction of an atomic job; None of another."""
        return self._transaction

    @property
    def connection(self) -> Connection:
        """The SQLAlchemy Connection of an atomic job: what is written by it commits with the job's finish.

        The transaction begins with the first use. Raises DefinitionError when the job is not ``atomic=True``.
        """
        return self._atomic().connection

    def session(self) -> Session:
        """Return the SQLAlchemy Session of an atomic job; see ``connection``."""
        return self._atomic().session()

    def _atomic(self) -> AtomicTransaction:
        if self._transaction is None:
            raise DefinitionError(f"{self.name}: ctx.connection and ctx.session() need @tq.job(atomic=True)")
        return self._transaction


def runs_in_loop() -> bool:
    """Say whether this thread runs an event loop now."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class JobLog(logging.LoggerAdapter[logging.Logger]):
    """A logger whose records carry the job, beside what the caller's own ``extra`` says."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Join both."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


current_job: ContextVar[JobContext | None] = ContextVar("tomqueue_job", default=None)
"""The job that runs in this thread or task."""
