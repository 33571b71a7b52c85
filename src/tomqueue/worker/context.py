"""What a job sees of itself while it runs."""

import logging
from collections.abc import MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tomqueue.errors import DefinitionError
from tomqueue.job import Claimed
from tomqueue.priority import Priority
from tomqueue.store.atomic import AtomicTransaction, Connection, Session

__all__ = ["JobContext", "current_job"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """The job that is running; passed to a job whose first parameter asks for it, and to its hooks."""

    id: int
    """The id of the row; 0 when the job runs inline, without one."""
    name: str
    queue: str
    priority: Priority
    attempt: int
    """1 for the first attempt."""
    max_attempts: int
    run_at: datetime
    created_at: datetime
    log: "JobLog" = field(repr=False)
    """A logger whose records carry the job's id, name and attempt."""
    transaction: AtomicTransaction | None = field(default=None, repr=False)

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
        if self.transaction is None:
            raise DefinitionError(f"{self.name}: ctx.connection and ctx.session() need @tq.job(atomic=True)")
        return self.transaction


class JobLog(logging.LoggerAdapter[logging.Logger]):
    """A logger whose records carry the job, beside what the caller's own ``extra`` says."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Join both."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


current_job: ContextVar[JobContext | None] = ContextVar("tomqueue_job", default=None)
"""The job that runs in this thread or task."""


def context_of(
    job: Claimed, max_attempts: int, logger: logging.Logger, transaction: AtomicTransaction | None
) -> JobContext:
    """Return what a claimed row's job sees of itself."""
    extra: dict[str, Any] = {"job_id": job.id, "job_name": job.name, "attempt": job.attempts}
    return JobContext(
        id=job.id,
        name=job.name,
        queue=job.queue,
        priority=job.priority,
        attempt=job.attempts,
        max_attempts=max_attempts,
        run_at=job.run_at,
        created_at=job.created_at,
        log=JobLog(logger, extra),
        transaction=transaction,
    )
