"""Jobs can count in a limit: its key stands in their rows, what it says and lets in next in tables of its own."""

from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from tomqueue.store.migrations.add_column import AddColumn
from tomqueue.store.schema import Tables

__all__ = ["step"]


def step(tables: Tables) -> list[ExecutableDDLElement]:
    """Return what to do. The index holds rows of limits only, so that it is empty at first."""
    jobs = tables.jobs
    added = [jobs.c[name] for name in ("limit_key", "counted_key") if name in jobs.c]
    made = [CreateTable(table, if_not_exists=True) for table in (tables.limits, tables.limit_keys)]
    indexes = [index for table in (jobs, tables.limit_keys) for index in table.indexes]
    new = [index for index in indexes if index.name in {f"{jobs.name}_limited", f"{tables.limit_keys.name}_look"}]
    return [*map(AddColumn, added), *made, *map(CreateIndex, new)]
