"""Jobs can be unique: at most one of a name holds a key, which an index sees to."""

from sqlalchemy.schema import CreateIndex, ExecutableDDLElement

from tomqueue.store.migrations.add_column import AddColumn
from tomqueue.store.schema import Tables

__all__ = ["step"]


def step(tables: Tables) -> list[ExecutableDDLElement]:
    """Return what to do. On PostgreSQL and SQLite the index is empty where no job is unique."""
    jobs = tables.jobs
    columns = (jobs.c.unique_until, jobs.c.unique_expires_at, jobs.c.unique_lock)
    index = next(one for one in jobs.indexes if one.name == f"{jobs.name}_unique")
    return [*map(AddColumn, columns), CreateIndex(index)]
