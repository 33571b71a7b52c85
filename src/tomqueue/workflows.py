"""``tq.workflows``: look at chains and groups, and cancel them. What the CLI can, Python can."""

from collections.abc import Callable, Sequence
from typing import Any

from tomqueue.ids import checked_id
from tomqueue.job import Job, Results
from tomqueue.store.catalog import Catalog
from tomqueue.store.workflows import Workflow, WorkflowTable

__all__ = ["Workflows"]


class Workflows:
    """The workflows of one TomQueue. A finished one is kept for eight days."""

    def __init__(
        self, catalog: Callable[[], Catalog], *, shown: Callable[..., Any], results: Results | None = None
    ) -> None:
        self._results = results
        self._catalog = catalog
        self._shown = shown

    def get(self, workflow_id: int) -> Workflow:
        """Return a workflow with its counts. Raises JobNotFound."""
        return self._table().get(checked_id(workflow_id, "workflow_id"))

    def list(self, *, unfinished: bool = False, limit: int | None = 100, after: int = 0) -> "list[Workflow]":
        """Return workflows in the order of their ids, at most ``limit`` (None: all), beginning after id ``after``."""
        return self._table().find(unfinished=unfinished, limit=limit, after=after)

    def jobs(self, workflow_id: int, *, limit: int | None = 100, after: int = 0) -> Sequence[Job]:
        """Return a workflow's jobs that wait, run or have failed, in the order of their ids. Raises JobNotFound."""
        found = self._table().jobs(checked_id(workflow_id, "workflow_id"), limit=limit, after=after)
        shown = [job.shown_by(self._shown) for job in found]
        return shown if self._results is None else [job.with_results(self._results) for job in shown]

    def cancel(self, workflow_id: int) -> int:
        """Cancel every job of a workflow that waits or runs, as ``tq.jobs.cancel`` does; return how many.

        Raises JobNotFound, JobStateError when it has finished.
        """
        table, catalog = self._table(), self._catalog()
        workflow = table.cancelling(checked_id(workflow_id, "workflow_id"))
        reason = f"workflow {workflow_id} was cancelled"
        return sum(catalog.cancel_all(ids, reason) for ids in table.unfailed(workflow))

    def _table(self) -> WorkflowTable:
        return self._catalog().workflows
