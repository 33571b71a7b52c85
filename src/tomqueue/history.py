"""``tq.history``: the jobs that succeeded, where that is kept (``keep_completed``)."""

from collections.abc import Callable, Sequence
from typing import Any

from tomqueue.ids import checked_id
from tomqueue.store.attempt_errors import AttemptError
from tomqueue.store.catalog import Catalog
from tomqueue.store.history import Completed, HistoryTable
from tomqueue.store.pruning import PIECE, Pruning

__all__ = ["History"]


class History:
    """The history of one TomQueue. Each call is a short transaction of its own."""

    def __init__(
        self,
        table: Callable[[], HistoryTable],
        catalog: Callable[[], Catalog],
        pruning: Callable[[], Pruning],
        *,
        shown: Callable[..., Any],
    ) -> None:
        self._table = table
        self._catalog = catalog
        self._pruning = pruning
        self._shown = shown

    def get(self, job_id: int) -> Completed:
        """Return a job that succeeded; raises JobNotFound."""
        return self._table().get(checked_id(job_id)).shown_by(self._shown)

    def list(
        self, *, queue: str | None = None, name: str | None = None, limit: int | None = 100, before: int | None = None
    ) -> "list[Completed]":
        """Return jobs, latest first (by id), at most ``limit`` (None: all), those with a smaller id than ``before``."""
        found = self._table().find(queue=queue, name=name, limit=limit, before=before)
        return [job.shown_by(self._shown) for job in found]

    def arguments(self, job_id: int, *, reveal: bool = False) -> Any:
        """Return a job's arguments as plain JSON values, or a text that says why they are not shown.

        ``reveal`` decrypts, and shows also those of jobs that are not declared here; redacted fields stay so.
        Raises JobNotFound.
        """
        return self._shown(self._table().get(checked_id(job_id)), reveal=reveal)

    def count(self, *, queue: str | None = None, name: str | None = None) -> int:
        """Return how many jobs are kept."""
        return self._table().count(queue=queue, name=name)

    def errors(self, job_id: int) -> Sequence[AttemptError]:
        """Return the errors of the attempts before the one that succeeded, oldest first: the latest 25."""
        return self._catalog().errors(checked_id(job_id))

    def prune(self) -> int:
        """Delete now, in pieces, what has expired of the history and of the results; return how many rows.

        Workers do that by themselves, once they have run for a minute.
        """
        pruning, pruned = self._pruning(), 0
        for piece in (pruning.results, pruning.history):
            while number := piece(pruning.now(), PIECE):
                pruned += number
        return pruned
