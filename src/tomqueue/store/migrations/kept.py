"""More is kept of a job than its row: its result, its history, each of its errors, and how far it has come."""

from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from tomqueue.store.migrations.add_column import AddColumn
from tomqueue.store.schema import Tables

__all__ = ["step"]


def step(tables: Tables) -> list[ExecutableDDLElement]:
    """Return what to do. The columns are in no index, and in no condition of one."""
    made = (tables.results, tables.history, tables.errors, tables.checkpoints)
    return [
        AddColumn(tables.jobs.c.result_ttl),
        AddColumn(tables.jobs.c.keep_completed),
        *(CreateTable(table, if_not_exists=True) for table in made),
        *(CreateIndex(index) for table in made for index in sorted(table.indexes, key=lambda index: str(index.name))),
    ]
