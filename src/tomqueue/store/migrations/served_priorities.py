"""A worker's lease says which priorities it serves, for those who ask why a job waits."""

from sqlalchemy.schema import ExecutableDDLElement

from tomqueue.store.migrations.add_column import AddColumn
from tomqueue.store.schema import Tables

__all__ = ["step"]


def step(tables: Tables) -> list[ExecutableDDLElement]:
    """Return what to do. A worker of an older version says nothing, and counts as one that serves all."""
    return [AddColumn(tables.workers.c.first_rank), AddColumn(tables.workers.c.last_rank)]
