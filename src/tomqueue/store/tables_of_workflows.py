"""The tables of workflows."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, Table

from tomqueue.store.columns import INNODB, Instant, identity

__all__ = ["steps_table", "workflows_table"]


def workflows_table(name: str, metadata: MetaData) -> Table:
    """Describe the workflows: the ids of their jobs lie between the first and the last, beside those of others.

    ``pending``, ``failed`` and ``lost`` count its chains: the one that it is, and each ``on_complete`` that has begun.
    """
    table = Table(
        name,
        metadata,
        Column("id", identity(), primary_key=True, autoincrement=True),
        Column("jobs", Integer, nullable=False),
        Column("first_job", BigInteger),
        Column("last_job", BigInteger),
        Column("pending", Integer, nullable=False),
        Column("failed", Integer, nullable=False, server_default="0"),
        Column("lost", Integer, nullable=False, server_default="0"),
        Column("deleted_jobs", Integer, nullable=False, server_default="0"),
        Column("created_at", Instant, nullable=False),
        Column("cancelled_at", Instant),
        Column("finished_at", Instant),
        sqlite_autoincrement=True,
        **INNODB,
    )
    Index(f"{name}_finished", table.c.finished_at, table.c.id)
    return table


def steps_table(name: str, metadata: MetaData) -> Table:
    """Describe the steps of workflows: ``pending`` members are still to end, ``lost`` ones were deleted.

    The jobs that wait for a step's turn have ids between its first and its last.
    """
    return Table(
        name,
        metadata,
        Column("workflow", BigInteger, primary_key=True, autoincrement=False),
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("members", Integer, nullable=False),
        Column("pending", Integer, nullable=False),
        Column("failed", Integer, nullable=False, server_default="0"),
        Column("lost", Integer, nullable=False, server_default="0"),
        Column("parent", Integer),
        Column("next_step", Integer),
        Column("complete_step", Integer),
        Column("begun", Boolean, nullable=False),
        Column("first_job", BigInteger),
        Column("last_job", BigInteger),
        **INNODB,
    )
