"""The states of jobs as conditions of their rows."""

from datetime import datetime

from sqlalchemy import ColumnElement, Table, and_, not_, true

from tomqueue.job import State

__all__ = ["in_state"]

STATES = list(State)


def in_state(jobs: Table, state: State, now: datetime) -> ColumnElement[bool]:
    """Return the condition of a state: the first that applies, in the order of State."""
    applies: dict[State, ColumnElement[bool]] = {
        State.FAILED: jobs.c.failed_at.is_not(None),
        State.RUNNING: jobs.c.locked_by.is_not(None),
        State.HELD: jobs.c.held,
        State.PARKED: jobs.c.parked_at.is_not(None),
        State.SCHEDULED: jobs.c.run_at > now,
        State.READY: true(),
    }
    earlier = [not_(condition) for other, condition in applies.items() if STATES.index(other) < STATES.index(state)]
    return and_(applies[state], *earlier)
