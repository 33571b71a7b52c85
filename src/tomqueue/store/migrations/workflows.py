"""Jobs can be parts of workflows: rows that count what is still to end, and whose turn it is then."""

from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from tomqueue.store.migrations.add_column import AddColumn
from tomqueue.store.schema import Tables

__all__ = ["step"]


def step(tables: Tables) -> list[ExecutableDDLElement]:
    """Return what to do. The jobs' columns are in no index, and in no condition of one."""
    jobs, workflows = tables.jobs.c, tables.workflows
    return [
        *(AddColumn(column) for column in (jobs.workflow, jobs.step, jobs.waits_for_step)),
        CreateTable(workflows, if_not_exists=True),
        *(CreateIndex(index) for index in workflows.indexes),
        CreateTable(tables.steps, if_not_exists=True),
    ]
