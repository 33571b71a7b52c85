"""A connection to MySQL or MariaDB: how statements are run by it."""

from collections.abc import Sequence
from typing import Any

__all__ = ["rows", "run"]


def run(link: Any, statement: str, parameters: Sequence[Any] = ()) -> int:
    """Run a statement; return how many rows it found or changed."""
    with link.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        count: int = cursor.rowcount
    return count


def rows(link: Any, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
    """Run a statement and return its rows."""
    with link.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return list(cursor.fetchall())
