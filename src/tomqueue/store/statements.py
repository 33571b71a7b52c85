"""What the hot statements of every dialect share: conditions, column lists, and what becomes of their rows."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from tomqueue.errors import SchemaError
from tomqueue.job import FINISH, Claimed, NewJob
from tomqueue.store.base import Answer

__all__ = [
    "CLAIMED",
    "FREE",
    "KEYED",
    "LET_KEY_GO",
    "NEW",
    "RUNNABLE",
    "STATE",
    "WAITING",
    "answer",
    "claimed",
    "delay_of",
    "fail_cancelled",
    "not_migrated",
]

RUNNABLE = "locked_by IS NULL AND failed_at IS NULL AND NOT held AND parked_at IS NULL"
"""What a claim asks of a row, beside its being due."""
WAITING = "announced_at IS NULL AND failed_at IS NULL AND NOT held AND locked_by IS NULL"
"""What an announcement asks of a row, beside its being due."""
FREE = "locked_at = NULL, locked_by = NULL, claim_token = NULL"
"""What the end of every claim changes."""
CLAIMED = (
    "id, queue, priority, name, payload, attempts, max_attempts, run_at, created_at, expires_at, parks, suspect, meta,"
    " tied"
)
"""The columns of a claimed row, in the order that ``claimed`` reads them; ``unique_key`` follows."""
STATE = "id, failed_at, locked_by, held, parked_at"
"""The columns that decide whether a row can be claimed, in the order that ``answer`` reads them."""
NEW = "queue, priority, name, payload, meta, max_attempts, run_at, expires_at, announced_at, created_at, updated_at"
"""The columns of an INSERT."""
KEYED = f"{NEW}, unique_key, unique_until, unique_lock, unique_expires_at"
"""The columns of an INSERT of a unique job."""
LET_KEY_GO = f"unique_lock = CASE WHEN unique_until = '{FINISH}' THEN unique_lock END"
"""What a claim changes of a unique job, whose key is free from then on; of another row nothing."""


def claimed(row: Sequence[Any], token: int, instant: Callable[[Any], datetime]) -> Claimed:
    """Return the row of a claim as an object; ``instant`` reads a time as the driver gives it."""
    (
        row_id,
        queue,
        priority,
        name,
        payload,
        attempts,
        max_attempts,
        run_at,
        created,
        expires,
        parks,
        suspect,
        meta,
        tied,
        unique_key,
    ) = row
    return Claimed(
        row_id,
        queue,
        priority,
        name,
        payload,
        attempts,
        max_attempts,
        instant(run_at),
        instant(created),
        None if expires is None else instant(expires),
        parks,
        bool(suspect),
        meta,
        bool(tied),
        token,
        unique_key,
    )


def answer(failed: object, locked: object, held: object, parked: object, *, due: bool) -> Answer | None:
    """Say why a row cannot be claimed, in the order of the states; None when it can."""
    if due and failed is None and locked is None and not held and parked is None:
        return None
    reasons = (
        (Answer.FAILED, failed is not None),
        (Answer.LEASED, locked is not None),
        (Answer.HELD, bool(held)),
        (Answer.PARKED, parked is not None),
        (Answer.NOT_DUE, not due),
    )
    return next(reason for reason, applies in reasons if applies)


def fail_cancelled(jobs: str, now: str, mark: str) -> str:
    """Return the statement that fails a claimed row which a person has cancelled; its values: attempts, id, token."""
    return (
        f"UPDATE {jobs} SET {FREE}, attempts = {mark}, updated_at = {now}, failed_at = {now}, announced_at = NULL,"
        f" parked_at = NULL, unique_lock = NULL WHERE id = {mark} AND claim_token = {mark} AND cancelled_at IS NOT NULL"
    )


def delay_of(job: NewJob) -> timedelta | None:
    """Return how long after now ``job`` is due; None when it is due at once or at a given time."""
    if job.run_at is None and job.delay is not None and job.delay > 0:
        return timedelta(seconds=job.delay)
    return None


def not_migrated(error: Exception) -> SchemaError:
    """Return the error for tables that are missing or older than this TomQueue."""
    return SchemaError(f"TomQueue's tables are not as this version needs them ({error}): run `tomqueue migrate`")
