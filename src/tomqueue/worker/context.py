"""What a job sees of itself while it runs."""

import logging
from collections.abc import MutableMapping
from contextvars import ContextVar
from datetime import datetime
from typing import Any

from tomqueue.definition import Tick, workflow_of
from tomqueue.errors import DefinitionError
from tomqueue.job import Claimed
from tomqueue.priority import Priority
from tomqueue.store.atomic import AtomicTransaction, Connection, Session

__all__ = ["JobContext", "current_job"]


class JobContext:
    """The job that is running; passed to a job whose first parameter asks for it, and to its hooks."""

    __slots__ = ("_job", "_log", "_logger", "_max_attempts", "_transaction")

    def __init__(
        self, job: Claimed, max_attempts: int, logger: logging.Logger, transaction: AtomicTransaction | None = None
    ) -> None:
        self._job = job
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


class JobLog(logging.LoggerAdapter[logging.Logger]):
    """A logger whose records carry the job, beside what the caller's own ``extra`` says."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Join both."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


current_job: ContextVar[JobContext | None] = ContextVar("tomqueue_job", default=None)
"""The job that runs in this thread or task."""
