"""How values become MySQL's text, and its answers values."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tomqueue.job import NewJob
from tomqueue.store.statements import delay_of

__all__ = [
    "MICROSECOND",
    "NOW",
    "as_text",
    "code_of",
    "in_utc",
    "insert_row",
    "is_held_key",
    "keyed_row",
    "listed",
    "packets",
]

NOW = "UTC_TIMESTAMP(6)"
MICROSECOND = timedelta(microseconds=1)
DUPLICATE = 1062
INSERT_ROWS = 500
INSERT_CHARACTERS = 1_000_000  # max_allowed_packet is 16 MB by default (MySQL 8: 64 MB), a character up to 4 bytes


def packets(jobs: Sequence[NewJob]) -> Iterator[Sequence[NewJob]]:
    """Cut ``jobs`` so that each piece fits a statement."""
    begin, size = 0, 0
    for place, job in enumerate(jobs):
        size += len(job.payload)
        if place > begin and (size > INSERT_CHARACTERS or place - begin >= INSERT_ROWS):
            yield jobs[begin:place]
            begin, size = place, len(job.payload)
    if jobs:
        yield jobs[begin:]


def insert_row(job: NewJob) -> tuple[str, list[Any]]:
    """Return the text and the values of a row of an INSERT, in the order of NEW."""
    run_at, announced, when = NOW, NOW, []
    if job.run_at is not None:
        run_at, announced, when = "%s", "NULL", [as_text(job.run_at)]
    elif delay := delay_of(job):
        run_at, announced = f"{NOW} + INTERVAL {delay // MICROSECOND:d} MICROSECOND", "NULL"
    expires_at = None if job.expires_at is None else as_text(job.expires_at)
    return f"(%s,%s,%s,%s,%s,%s,{run_at},%s,{announced},{NOW},{NOW})", [
        job.queue,
        job.priority,
        job.name,
        job.payload,
        job.meta,
        job.max_attempts,
        *when,
        expires_at,
    ]


def keyed_row(job: NewJob) -> tuple[str, list[Any]]:
    """Return the text and the values of a row with a unique key, in the order of KEYED."""
    assert job.unique is not None
    text, values = insert_row(job)
    seconds, expires_at = job.unique.seconds, "NULL"
    if seconds is not None:
        expires_at = f"{NOW} + INTERVAL {timedelta(seconds=seconds) // MICROSECOND:d} MICROSECOND"
    return f"{text[:-1]},%s,%s,%s,{expires_at})", [*values, job.unique.key, job.unique.until, job.unique.lock(job.name)]


def is_held_key(error: Exception, index: str) -> bool:
    """Say whether a driver's error is that of a unique key which another row holds, and no other."""
    return code_of(error) == DUPLICATE and index in str(error)


def listed(ids: Iterable[int]) -> str:
    """Return keys as the text of an IN list."""
    return ",".join(map(str, map(int, ids)))


def as_text(instant: datetime) -> str:
    """Return a time as DATETIME(6) reads it: in UTC, with microseconds."""
    naive = instant if instant.tzinfo is None else instant.astimezone(UTC).replace(tzinfo=None)
    return naive.isoformat(" ", "microseconds")


def in_utc(instant: datetime) -> datetime:
    """Return a time that the driver has read, aware."""
    return instant.replace(tzinfo=UTC)


def code_of(error: Exception) -> int:
    """Return the number of a driver's error; -1 when it has none."""
    code = error.args[0] if error.args else None
    return code if isinstance(code, int) else -1
