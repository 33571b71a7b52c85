"""A job can be tied to other rows: the hot statements need not know to which."""

from sqlalchemy.schema import ExecutableDDLElement

from tomqueue.store.migrations.add_column import AddColumn
from tomqueue.store.schema import Tables

__all__ = ["step"]


def step(tables: Tables) -> list[ExecutableDDLElement]:
    """Return what to do. The column is in no index, and in no condition of one."""
    return [AddColumn(tables.jobs.c.tied)]
