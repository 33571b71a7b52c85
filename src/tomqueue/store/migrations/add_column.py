"""``ALTER TABLE … ADD COLUMN``, which SQLAlchemy has no element for."""

from typing import Any

from sqlalchemy import Column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql.compiler import DDLCompiler

__all__ = ["AddColumn"]


class AddColumn(ExecutableDDLElement):
    """Adds a column, as its table describes it, to a table that is there.

    Where it may be NULL, or has a constant default, no row is rewritten: not by PostgreSQL, MySQL 8, MariaDB or SQLite.
    """

    def __init__(self, column: Column[Any]) -> None:
        self.column = column


@compiles(AddColumn)
def add_column(element: AddColumn, compiler: DDLCompiler, **_options: Any) -> str:
    """Return the statement."""
    table = compiler.preparer.format_table(element.column.table)
    return f"ALTER TABLE {table} ADD COLUMN {compiler.get_column_specification(element.column)}"
