"""The schema's versions: what to do to come from one to the next. A fresh database gets the newest at once."""

from collections.abc import Callable

from sqlalchemy.schema import ExecutableDDLElement

from tomqueue.store.migrations import (
    cancelled_at,
    kept,
    limits,
    limits_and_workflows,
    schedules,
    served_priorities,
    tied,
    unique_jobs,
    workflows,
)
from tomqueue.store.schema import SCHEMA_VERSION, Tables

__all__ = ["STEPS"]

IN_ORDER = (
    cancelled_at,
    schedules,
    tied,
    served_priorities,
    workflows,
    limits,
    kept,
    unique_jobs,
    limits_and_workflows,
)
STEPS: dict[int, Callable[[Tables], list[ExecutableDDLElement]]] = {
    version: migration.step for version, migration in enumerate(IN_ORDER, start=2)
}
"""Version → the statements that lead to it from the version before. Version 1 is the first: it has no step."""

assert set(STEPS) == set(range(2, SCHEMA_VERSION + 1))
