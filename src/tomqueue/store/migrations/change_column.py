"""``ALTER TABLE … MODIFY COLUMN`` of MySQL and MariaDB, which SQLAlchemy has no element for."""

from typing import Any

from sqlalchemy import Column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql.compiler import DDLCompiler

__all__ = ["ChangeColumn"]


class ChangeColumn(ExecutableDDLElement):
    """Makes a column what its table describes; twice does no harm."""

    def __init__(self, column: Column[Any]) -> None:
        self.column = column


@compiles(ChangeColumn)
def change_column(element: ChangeColumn, compiler: DDLCompiler, **_options: Any) -> str:
    """Return the statement."""
    table = compiler.preparer.format_table(element.column.table)
    return f"ALTER TABLE {table} MODIFY COLUMN {compiler.get_column_specification(element.column)}"
