"""A job: the row, and the state that is derived from it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Self

import msgspec

from tomqueue.errors import JobStateError
from tomqueue.priority import Priority

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


class Bound:
    """What a job can do that was read by ``tq.jobs``, and what its enqueue found; no fields of it."""

    __slots__ = ("_existing", "_publish")


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
    meta: str | None = field(default=None, repr=False)

    @property
    def is_existing(self) -> bool:
        """Whether its enqueue met the key of this job, which was there already, and inserted nothing."""
        return getattr(self, "_existing", False)

    @property
    def arguments(self) -> Any:
        """The stored arguments as plain JSON values; the text itself when it is not JSON."""
        try:
            return msgspec.json.decode(self.payload)
        except (msgspec.DecodeError, RecursionError):
            return self.payload

    def publish(self) -> None:
        """Send the news of this job again, as ``tq.jobs.publish(id)`` does; of a job that ``tq.jobs`` returned.

        Raises JobStateError when it is not ready, SettingsError without a broker, PublishError.
        """
        publish = getattr(self, "_publish", None)
        if publish is None:
            raise JobStateError(f"job {self.id} was not read by tq.jobs: use tq.jobs.publish({self.id})")
        publish(self.id)

    def bound(self, publish: Callable[[int], None]) -> Self:
        """Let ``publish()`` of this job do so; return it."""
        object.__setattr__(self, "_publish", publish)
        return self

    def as_existing(self) -> Self:
        """Let ``is_existing`` be true; return it."""
        object.__setattr__(self, "_existing", True)
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
    token: int
    unique_key: str | None = None

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
