"""Jobs can be periodic: a row for each says when its next tick is."""

from sqlalchemy.schema import CreateTable, ExecutableDDLElement

from tomqueue.store.schema import Tables

__all__ = ["step"]


def step(tables: Tables) -> list[ExecutableDDLElement]:
    """Return what to do."""
    return [CreateTable(tables.schedules, if_not_exists=True)]
