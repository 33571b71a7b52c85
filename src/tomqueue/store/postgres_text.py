"""How jobs become the text and the values of PostgreSQL's INSERT."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from tomqueue.job import NewJob
from tomqueue.store.statements import delay_of

__all__ = ["NOW", "keyed_row_of", "row_of", "rows_of"]

NOW = "statement_timestamp()"


def row_of(job: NewJob) -> tuple[str, list[Any]]:
    """Return what one row is inserted from: text and values. Arrays of one would take most of an enqueue's time."""
    text, values = columns_of(job)
    return f"VALUES ({text})", values


def keyed_row_of(job: NewJob) -> tuple[str, list[Any]]:
    """Return the text and the values of a row with a unique key, in the order of KEYED."""
    assert job.unique is not None
    text, values = columns_of(job)
    seconds = job.unique.seconds
    window = None if seconds is None else timedelta(seconds=seconds)
    key = [job.unique.key, job.unique.until, job.unique.lock(job.name), window]
    return f"({text}, %s, %s, %s, {NOW} + %s::interval)", [*values, *key]


def columns_of(job: NewJob) -> tuple[str, list[Any]]:
    """Return the text and the values of a row's columns, in the order of NEW."""
    due, announced = NOW, NOW
    when: list[Any] = []
    if job.run_at is not None:
        due, announced, when = "%s::timestamptz", "NULL", [job.run_at]
    elif delay := delay_of(job):
        due, announced, when = f"{NOW} + %s::interval", "NULL", [delay]
    text = f"%s, %s::smallint, %s, %s, %s, %s::integer, {due}, %s::timestamptz, {announced}, {NOW}, {NOW}"
    fixed = [job.queue, job.priority, job.name, job.payload, job.meta, job.max_attempts]
    return text, [*fixed, *when, job.expires_at]


def rows_of(jobs: Sequence[NewJob]) -> tuple[str, list[Any]]:
    """Return what many rows are inserted from: ordered, so that the identities are given out in the order of the jobs.

    RETURNING promises no order.
    """
    text = (
        "SELECT j.queue, j.priority, j.name, j.payload, j.meta, j.max_attempts,"
        f" coalesce(j.run_at, {NOW} + coalesce(j.delay, interval '0')), j.expires_at,"
        f" CASE WHEN j.run_at IS NULL AND j.delay IS NULL THEN {NOW} END, {NOW}, {NOW}"
        " FROM unnest(%s::text[], %s::smallint[], %s::text[], %s::text[], %s::text[], %s::integer[],"
        " %s::timestamptz[], %s::timestamptz[], %s::interval[]) WITH ORDINALITY"
        " AS j(queue, priority, name, payload, meta, max_attempts, run_at, expires_at, delay, place)"
        " ORDER BY j.place"
    )
    return text, [
        [job.queue for job in jobs],
        [job.priority for job in jobs],
        [job.name for job in jobs],
        [job.payload for job in jobs],
        [job.meta for job in jobs],
        [job.max_attempts for job in jobs],
        [job.run_at for job in jobs],
        [job.expires_at for job in jobs],
        [delay_of(job) for job in jobs],
    ]
