"""Jobs whose turn in a workflow has not come lie in no scan of their limit."""

from sqlalchemy.schema import CreateIndex, DropIndex, ExecutableDDLElement

from tomqueue.store.migrations.change_column import ChangeColumn
from tomqueue.store.schema import Tables

__all__ = ["step"]


def step(tables: Tables) -> list[ExecutableDDLElement]:
    """Return what to do: where there are no partial indexes the computed column says what the index is over."""
    jobs = tables.jobs
    if "counted_key" in jobs.c:
        return [ChangeColumn(jobs.c.counted_key)]
    index = next(one for one in jobs.indexes if one.name == f"{jobs.name}_limited")
    return [DropIndex(index, if_exists=True), CreateIndex(index)]
