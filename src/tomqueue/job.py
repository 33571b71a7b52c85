"""A job: the row, and the state that is derived from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Protocol, Self

from tomqueue.errors import JobStateError, ResultNotKept
from tomqueue.priority import Priority
from tomqueue.redaction import marks_of, plain_arguments

__all__ = ["FINISH", "START", "Claimed", "Job", "NewJob", "State", "Unique", "checksum_of", "lock_of"]


class State(StrEnum):
    """What a job is doing. Derived from the row in this order; nothing stores it."""

    FAILED = "failed"
    """It will not run again unless a person retries it."""
    RUNNING = "running"
    """A worker has claimed it."""
    HELD = "held"
    """It waits for a limit or for another job."""
    PARKED = "parked"
    """No worker so far could read it; it waits for one that can."""
    SCHEDULED = "scheduled"
    """Its time has not come."""
    READY = "ready"
    """The next free worker takes it."""


START, FINISH = "start", "finish"
"""Until when a job holds its unique key: until a worker takes it, or until it has ended."""


class Results(Protocol):
    """Where a job's result is asked for."""

    def get(self, job_id: int, timeout: float | timedelta | None = None) -> Any:
        """Wait for the end of a job and return what it returned."""

    async def aget(self, job_id: int, timeout: float | timedelta | None = None) -> Any:  # noqa: ASYNC109 - as get
        """Wait in asynchronous code."""


class Bound:
    """What a job that was read by ``tq.jobs``, or enqueued, can do, and what its enqueue found; no fields of it."""

    __slots__ = ("_existing", "_publish", "_results", "_shown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Bound):
    """A row of the jobs table, as it was when it was read. Times are aware and in UTC."""

    id: int
    queue: str
    priority: Priority
    name: str
    payload: str = field(repr=False)
    state: State
    attempts: int = 0
    max_attempts: int | None = None
    run_at: datetime
    expires_at: datetime | None = None
    announced_at: datetime | None = None
    created_at: datetime
    updated_at: datetime
    locked_at: datetime | None = None
    locked_by: int | None = None
    crashes: int = 0
    suspect: bool = False
    parked_at: datetime | None = None
    parks: int = 0
    held: bool = False
    failed_at: datetime | None = None
    cancelled_at: datetime | None = None
    """When a person cancelled it: of a running job a request, which its worker obeys."""
    last_error: str | None = field(default=None, repr=False)
    unique_key: str | None = field(default=None, repr=False)
    """What it was enqueued as ``unique`` by: among the jobs of its name at most one holds a key."""
    unique_until: str | None = None
    """Until when it holds the key: ``start`` or ``finish``."""
    unique_expires_at: datetime | None = None
    """From when on it holds the key no longer, whatever it does meanwhile."""
    unique_held: bool = False
    """Whether it holds the key now."""
    limit_key: str | None = field(default=None, repr=False)
    """The limit that it counts in, or its tenant's share of a queue: its name, and after a colon its key there."""
    meta: str | None = field(default=None, repr=False)
    workflow: int | None = None
    """The workflow that it is a part of."""
    step: int | None = None
    """The step of that workflow that its end counts in."""
    waits_for_step: int | None = None
    """The step whose turn it waits for."""

    @property
    def is_existing(self) -> bool:
        """Whether its enqueue met the key of this job, which was there already, and inserted nothing."""
        return getattr(self, "_existing", False)

    @property
    def arguments(self) -> Any:
        """The stored arguments as plain JSON values, as they may be shown; the text itself when it is not JSON.

        Redacted fields are ``"[redacted]"``, and encrypted arguments are ``"[encrypted]"``.
        """
        shown = getattr(self, "_shown", None)
        return plain_arguments(self.payload, marks_of(self.meta)) if shown is None else shown(self)

    def publish(self) -> None:
        """Send the news of this job again, as ``tq.jobs.publish(id)`` does; of a job that ``tq.jobs`` returned.

        Raises JobStateError when it is not ready, SettingsError without a broker, PublishError.
        """
        publish = getattr(self, "_publish", None)
        if publish is None:
            raise JobStateError(f"job {self.id} was not read by tq.jobs: use tq.jobs.publish({self.id})")
        publish(self.id)

    def result(self, timeout: float | timedelta | None = None) -> Any:
        """Wait until the job has ended and return what it returned; of a job with a ``result_ttl``.

        Raises ResultTimeout after ``timeout`` (seconds or timedelta; None waits as long as it takes), JobFailed when it
        failed for good, was cancelled or deleted, ResultNotKept, and JobNotFound once its ``result_ttl`` is over.
        """
        return self._result_source().get(self.id, timeout)

    async def aresult(self, timeout: float | timedelta | None = None) -> Any:  # noqa: ASYNC109 - as result
        """Wait in asynchronous code; see ``result``."""
        return await self._result_source().aget(self.id, timeout)

    def _result_source(self) -> Results:
        results: Results | None = getattr(self, "_results", None)
        if results is None:
            raise ResultNotKept(
                f"job {self.id} {self.name} keeps no result that is known here: declare it with @tq.job(result_ttl=…); "
                f"of a job that an event tells of ask tq.results.get({self.id})"
            )
        return results

    def bound(self, publish: Callable[[int], None], results: Results) -> Self:
        """Let ``publish()`` and ``result()`` of this job do so; return it."""
        object.__setattr__(self, "_publish", publish)
        return self.with_results(results)

    def with_results(self, results: Results) -> Self:
        """Let ``result()`` of this job ask there; return it."""
        object.__setattr__(self, "_results", results)
        return self

    def as_existing(self) -> Self:
        """Let ``is_existing`` be true; return it."""
        object.__setattr__(self, "_existing", True)
        return self

    def shown_by(self, shown: Callable[["Job"], Any]) -> Self:
        """Let ``shown`` say what the arguments of this job are; return it."""
        object.__setattr__(self, "_shown", shown)
        return self


@dataclass(frozen=True, slots=True)
class Unique:
    """The unique key that a new job is to hold, and how long: at most ``seconds`` from its enqueue on."""

    key: str = field(repr=False)
    until: str = START
    seconds: float | None = None

    def lock(self, name: str) -> str:
        """Return what the unique index holds of the key of a job called ``name``."""
        return lock_of(name, self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job that is to be inserted.

    With neither ``run_at`` nor ``delay`` it is ready at once. ``delay`` is counted on the database's clock.
    """

    name: str
    queue: str
    priority: int
    payload: str = field(repr=False)
    max_attempts: int | None = None
    run_at: datetime | None = None
    delay: float | None = None
    expires_at: datetime | None = None
    meta: str | None = None
    unique: Unique | None = None
    ties: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What ties it to other rows, as columns of its own row: a limit, a workflow. A job with any is *tied*."""
    held: bool = False
    """Whether it waits for what it is tied to: it is not announced before that lets it go."""


@dataclass(slots=True)
class Claimed:
    """A row that this worker owns until it finishes it or gives it back.

    ``attempts`` counts the attempt that the claim began. ``token`` is in the WHERE clause of every change.
    """

    id: int
    queue: str
    rank: int
    name: str
    payload: str = field(repr=False)
    attempts: int
    max_attempts: int | None
    run_at: datetime
    created_at: datetime
    expires_at: datetime | None
    parks: int
    suspect: bool
    meta: str | None
    tied: bool
    token: int
    unique_key: str | None = field(default=None, repr=False)

    @property
    def priority(self) -> Priority:
        """How urgent it is."""
        return Priority.of_rank(self.rank)


def lock_of(name: str, key: str) -> str:
    """Return a unique key as the index holds it: of one size, and another for each name of a job."""
    return blake2b(f"{name}\n{key}".encode(), digest_size=16).hexdigest()


def checksum_of(job_id: int, queue: str, rank: int, name: str, payload: str) -> str:
    """Return the checksum that a notification carries of a row's fixed fields."""
    text = f"{job_id}\n{queue}\n{rank}\n{name}\n{payload}"
    return f"v1:{blake2b(text.encode(), digest_size=8).hexdigest()}"
