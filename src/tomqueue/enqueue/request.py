"""The context that travels down the enqueue stack: one call that enqueues one job, or many."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tomqueue.definition import Counted, JobDefinition, Plan, Post, Tick
from tomqueue.job import Job, Unique
from tomqueue.message import Outgoing
from tomqueue.priority import Priority

__all__ = ["Draft", "Request"]


@dataclass(slots=True, kw_only=True)
class Draft:
    """A job that is about to be enqueued; a layer, and the job's own ``enqueue`` hook, may still change it."""

    definition: JobDefinition
    payload: str = field(repr=False)
    queue: str
    priority: Priority
    run_at: datetime | None = None
    delay: float | None = None
    """Seconds from now, on the database's clock."""
    max_attempts: int | None = None
    expires: float | None = None
    """Seconds after it is due until it is too late to start."""
    meta: str | None = None
    instance: object | None = field(default=None, repr=False)
    """The object itself when the job is a class."""
    unique: Unique | None = None
    """The key that the job is to hold."""
    tick: Tick | None = None
    """What a periodic job is enqueued for; Persist writes it into ``meta``, beside what is there."""
    post: Post | None = None
    """Where it stands in the workflow that it is a part of."""
    counted: Counted | None = None
    """The limit that it counts in, or its tenant."""
    ties: Mapping[str, Any] = field(default_factory=dict)
    """What ties its row to other rows, as columns of it; see NewJob."""
    job: Job | None = None
    """The enqueued job; filled by Persist."""


@dataclass(slots=True, kw_only=True)
class Request:
    """The drafts of one call, all written in one transaction, and messages that a producer sends.

    ``connection`` is the SQLAlchemy Connection of the caller's transaction; None writes in one of its own.
    """

    drafts: list[Draft]
    connection: Any = None
    messages: list[Outgoing] = field(default_factory=list)
    """Work that is no job: it becomes no row, and is published after the commit."""
    plan: Plan | None = None
    """What the drafts are together, if they are a workflow."""
    workflow: int | None = None
    """The id of that workflow; filled by Persist."""

    @property
    def jobs(self) -> list[Job]:
        """The enqueued jobs, in the order of the drafts."""
        return [draft.job for draft in self.drafts if draft.job is not None]
