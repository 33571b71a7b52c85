"""The schema's versions: what to do to come from one to the next. A fresh database gets the newest at once."""

from collections.abc import Callable

from sqlalchemy.schema import CreateTable, ExecutableDDLElement

from tomqueue.store.schema import SCHEMA_VERSION, Tables

__all__ = ["STEPS"]


def add_schedules(tables: Tables) -> list[ExecutableDDLElement]:
    """Return the statements that lead to version 2: the periodic jobs."""
    return [CreateTable(tables.schedules, if_not_exists=True)]


STEPS: dict[int, Callable[[Tables], list[ExecutableDDLElement]]] = {2: add_schedules}
"""Version → the statements that lead to it from the version before. Version 1 is the first: it has no step."""

assert set(STEPS) == set(range(2, SCHEMA_VERSION + 1))
