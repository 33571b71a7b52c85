"""The schema's versions: what to do to come from one to the next. A fresh database gets the newest at once."""

from collections.abc import Callable

from sqlalchemy.schema import ExecutableDDLElement

from tomqueue.store.migrations import cancelled_at, kept, schedules, tied
from tomqueue.store.schema import SCHEMA_VERSION, Tables

__all__ = ["STEPS"]

STEPS: dict[int, Callable[[Tables], list[ExecutableDDLElement]]] = {
    2: cancelled_at.step,
    3: schedules.step,
    4: tied.step,
    5: kept.step,
}
"""Version → the statements that lead to it from the version before. Version 1 is the first: it has no step."""

assert set(STEPS) == set(range(2, SCHEMA_VERSION + 1))
