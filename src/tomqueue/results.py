"""``tq.results``: wait for what jobs return."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec

from tomqueue.definition import Registry, number_problem, seconds_of
from tomqueue.error_text import headline
from tomqueue.errors import JobFailed, ResultNotKept, ResultTimeout, SettingsError, UnknownJob
from tomqueue.ids import checked_id
from tomqueue.store.kept import End
from tomqueue.store.results import ResultRow, ResultTable

__all__ = ["Results"]

FIRST_PAUSE = 0.01
GROWTH = 1.5
LONGEST_PAUSE = 1.0
"""Seconds between two looks: the longer it takes, the less often."""


class Results:
    """The results of one TomQueue. Each look is a short transaction of its own."""

    def __init__(self, table: Callable[[], ResultTable], registry: Registry) -> None:
        self._table = table
        self._registry = registry

    def get(self, job_id: int, timeout: float | timedelta | None = None) -> Any:
        """Wait until a job has ended and return what it returned, as the type that it declares.

        Raises ResultTimeout after ``timeout`` (seconds or timedelta; None waits as long as it takes, 0 looks once),
        JobFailed when it failed for good, was cancelled or deleted, ResultNotKept for a job without ``result_ttl`` or
        whose value could not be kept, JobNotFound once the ``result_ttl`` is over, and StoreError.
        """
        patience = Patience(checked_id(job_id), timeout)
        while (row := self._look(job_id)) is None:
            time.sleep(patience.pause())
        return self._value(row)

    async def aget(self, job_id: int, timeout: float | timedelta | None = None) -> Any:  # noqa: ASYNC109 - as get
        """Wait in asynchronous code; the event loop goes on meanwhile."""
        patience = Patience(checked_id(job_id), timeout)
        while (row := await asyncio.to_thread(self._look, job_id)) is None:  # noqa: ASYNC110 - no event of ours
            await asyncio.sleep(patience.pause())
        return self._value(row)

    def _look(self, job_id: int) -> ResultRow | None:
        return self._table().look(job_id)

    def _value(self, row: ResultRow) -> Any:
        what = f"job {row.job_id} {row.name}"
        if row.state is not End.SUCCEEDED:
            why = f": {headline(row.error)}" if row.error else ""
            raise JobFailed(f"{what} {ENDED[row.state]}{why}", state=row.state, error=row.error)
        if row.value is None:
            why = row.error or "the worker that ran it did not know of its result_ttl"
            raise ResultNotKept(f"{what} succeeded, but there is no result: {why}")
        try:
            codec = self._registry.find(row.name).result
        except UnknownJob:
            codec = None
        try:
            return msgspec.json.decode(row.value) if codec is None else codec.decode(row.value)
        except ValueError as error:
            raise ResultNotKept(f"{what} succeeded, but its result is not what it declares here: {error}") from error


ENDED = {End.FAILED: "failed", End.CANCELLED: "was cancelled", End.DELETED: "was deleted before it had ended"}


class Patience:
    """How long to wait for one job: a little, then ever longer, until the time is over."""

    def __init__(self, job_id: int, timeout: float | timedelta | None) -> None:
        if problem := number_problem(timeout, least=0):
            raise SettingsError(f"timeout={timeout!r} {problem}")
        self._job_id = job_id
        self._patience = None if timeout is None else seconds_of(timeout)
        self._began = time.monotonic()
        self._pause = FIRST_PAUSE

    def pause(self) -> float:
        """Return how long to wait before the next look, in seconds. Raises ResultTimeout."""
        pause, self._pause = self._pause, min(self._pause * GROWTH, LONGEST_PAUSE)
        if self._patience is None:
            return pause
        left = self._patience - (time.monotonic() - self._began)
        if left <= 0:
            raise ResultTimeout(f"job {self._job_id} has not ended within {self._patience:g} s: it goes on")
        return min(pause, left)
