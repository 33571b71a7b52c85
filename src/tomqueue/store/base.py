"""The seam to the database: what the rest of TomQueue may ask of it.

A store is used from many threads; each thread gets a connection of its own behind the seam. Every call is
one short transaction. Errors are StoreError and its children, with the driver's error as the cause.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum
from typing import Any, Protocol

from tomqueue.definition import Limit
from tomqueue.job import Claimed, Job, NewJob
from tomqueue.priority import PRIORITIES

__all__ = [
    "FOR_GOOD",
    "NOTHING_LEFT",
    "Announced",
    "Answer",
    "Delete",
    "Ending",
    "Hold",
    "Inserted",
    "Release",
    "Store",
    "Want",
]


FOR_GOOD = 0
"""What ``keep_completed`` is of a job whose history is never deleted."""


@dataclass(frozen=True, slots=True)
class Inserted:
    """What the database made of a NewJob."""

    id: int
    run_at: datetime
    announced_at: datetime | None
    created_at: datetime
    existing: Job | None = None
    """The job that held the unique key already; nothing was inserted then."""


NOTHING_LEFT = len(PRIORITIES)
"""A rank that no row has."""


@dataclass(slots=True)
class Want:
    """What a worker with free slots would take: the most urgent ready rows of its queues, at most ``limit``.

    ``queues`` are in the order of this turn (round robin); ``below`` takes only priorities more urgent than that
    rank, ``first`` none that is more urgent than itself. ``marks`` is the worker's low-water mark per (queue,
    priority): stamp and id of the last row it took there, below which only deleted index entries and other
    workers' rows are left. The store moves it; the worker clears it every few seconds and whenever a take came
    back empty.

    ``before`` asks only for rows that were announced before a moment: that of their queue and priority, and none of
    those that it does not name. Of a pair that has no such row the mark moves up to that moment.

    ``left`` is what the store says of its last answer: the rank from which on it may have left ready rows, because it
    took as much as it was to, or came to a suspect one, which is taken alone.
    """

    queues: Sequence[str]
    limit: int
    worker: int
    below: int = 4
    first: int = 0
    marks: dict[tuple[str, int], tuple[Any, int]] = field(default_factory=dict)
    before: Mapping[tuple[str, int], datetime] | None = None
    left: int = NOTHING_LEFT


@dataclass(slots=True)
class Delete:
    """The row leaves the table: its job succeeded, or ``failed`` for good and is not kept. ``tied`` as the claim said.

    ``retried`` says that this was not the first attempt, so that errors of earlier ones may be kept. ``result`` is what
    the job returned, as JSON, where somebody may ask for it; ``error`` why it failed, or why there is no result.
    """

    id: int
    token: int
    tied: bool = False
    retried: bool = False
    failed: bool = False
    result: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The row is let go and stays in the table, as these values say.

    ``announced_at`` becomes NULL, or keeps its value where ``keep_announced``. ``run_at`` None keeps it.
    ``keep_crashes`` keeps the count of crashes and the suspicion: the job did not run to an end of its own.
    ``tied`` as the claim said.
    """

    id: int
    token: int
    attempts: int
    tied: bool = False
    run_at: datetime | None = None
    failed: bool = False
    parked: bool = False
    parks: int = 0
    keep_announced: bool = False
    keep_crashes: bool = False
    last_error: str | None = None


Ending = Delete | Release


class Hold(IntEnum):
    """Whether the row of an ending was still ours; true where it was."""

    LOST = 0
    OURS = 1
    CANCELLED = 2
    """It was, and a person had cancelled it: it was not let go as its Release says, but failed for good."""


class Answer(Enum):
    """Why a claim by id did not get its row."""

    GONE = "gone"
    FAILED = "failed"
    HELD = "held"
    PARKED = "parked"
    LEASED = "leased by another"
    NOT_DUE = "not due"
    BUSY = "busy"
    MOVED = "moved to another queue or priority since its news"


@dataclass(frozen=True, slots=True)
class Announced:
    """What a due look did: how many rows it announced, and when the next one falls due (None: nobody knows of any)."""

    count: int
    next_run_at: datetime | None


class Store(Protocol):
    """The rows, as the journey needs them: hot, batched, fenced."""

    def now(self) -> datetime:
        """Return the database's clock, aware and in UTC."""

    def insert(self, jobs: Sequence[NewJob], connection: Any = None) -> list[Inserted]:
        """Write rows, in one transaction; in the caller's, where ``connection`` is a SQLAlchemy Connection.

        New queues become known by it. Immediate rows are announced by the INSERT itself. Of a unique job whose key is
        held the answer is the job that holds it; two of one call with the same key have the same answer.
        """

    def know_limits(self, limits: Collection[Limit], connection: Any = None) -> None:
        """Write what limits say, before the first jobs that count in them. Safe to repeat."""

    def take(
        self, want: Want, token: int, record: Callable[[Sequence[int]], None], endings: Sequence[Ending] = ()
    ) -> tuple[list[Claimed], list[Hold]]:
        """In one transaction finish what ``endings`` say and claim what ``want`` says.

        ``record`` is called with the ids after they are chosen and before they are claimed. Returns the
        claimed rows, most urgent first, and for each ending whether its row was still ours. A row marked
        ``suspect`` is claimed alone. Raises OutcomeUnknown when the connection broke during COMMIT.
        """

    def finish(self, endings: Sequence[Ending]) -> list[Hold]:
        """Finish rows in one transaction; for each, say whether it was still ours (by id and token)."""

    def finish_in(self, connection: Any, ending: Ending) -> bool:
        """Finish one row inside the transaction of an atomic job (its SQLAlchemy Connection)."""

    def claim(self, ids: Sequence[int], worker: int, token: int) -> Mapping[int, Claimed | Answer]:
        """Claim rows by key. Every id is answered."""

    def finish_and_claim(
        self, endings: Sequence[Ending], ids: Sequence[int], worker: int, token: int
    ) -> tuple[Mapping[int, Claimed | Answer], list[Hold]]:
        """In one transaction finish what ``endings`` say and claim rows by key; return what both calls would."""

    def undo(self, ids: Sequence[int], token: int) -> int:
        """Give back what a claim under ``token`` whose COMMIT is in doubt may have taken; return how many rows."""

    def retake_keys(self, ids: Sequence[int]) -> Mapping[int, int | None]:
        """Let unique jobs that wait again hold their keys again.

        Returns those that could not: the id of the job that holds the key (None: one that is being enqueued).
        """

    def restamp(self, ids: Sequence[int], old: datetime) -> tuple[datetime, list[int]]:
        """Give waiting rows that still have the stamp ``old`` a new one; return it and their ids."""

    def unannounce(self, ids: Sequence[int], stamp: datetime) -> int:
        """Let unclaimed rows that still have ``stamp`` be announced again; return how many."""

    def announce(self, limit: int = 500) -> Announced:
        """Stamp due, unannounced rows as ready, most urgent first."""

    def change_counter(self) -> int | None:
        """Return a number that changes when another connection committed; None where there is no cheap one."""

    def close(self) -> None:
        """Close the connections of every thread."""
