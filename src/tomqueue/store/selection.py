"""What can be done to all jobs that a filter means: the same for the command and for Python."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tomqueue.errors import JobStateError
from tomqueue.job import State
from tomqueue.store.catalog import Catalog, Filter
from tomqueue.store.editing import Edit, Reschedule

__all__ = ["CANCEL", "DELETE", "RETRY", "WAITING", "Change", "change_all", "edited", "parts_of"]

WAITING = (State.HELD, State.PARKED, State.SCHEDULED, State.READY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of jobs: how it is done to one and to many, and to those of which states."""

    done: str
    """What was done to a job, for messages."""
    one: Callable[[Catalog, int], object]
    many: Callable[[Catalog, Sequence[int], Filter], int]
    allowed: tuple[State, ...]
    without_state: tuple[State, ...]
    """The states that are meant where a filter names none."""


RETRY = Change(
    done="retried",
    one=Catalog.retry,
    many=Catalog.retry_all,
    allowed=(State.FAILED, State.PARKED, State.SCHEDULED, State.READY),
    without_state=(State.FAILED,),
)
CANCEL = Change(
    done="cancelled",
    one=Catalog.cancel,
    many=lambda catalog, ids, which: catalog.cancel_all(ids, which=which),
    allowed=(*WAITING, State.RUNNING),
    without_state=WAITING,
)
DELETE = Change(
    done="deleted",
    one=Catalog.delete,
    many=Catalog.delete_all,
    allowed=(State.FAILED, *WAITING),
    without_state=(State.FAILED, *WAITING),
)


def edited(edit: Edit) -> Change:
    """Return an edit as a change; a failed job has no time to be changed."""
    return Change(
        done=edit.done,
        one=lambda catalog, job_id: catalog.edit(job_id, edit),
        many=lambda catalog, ids, which: catalog.edit_all(ids, edit, which),
        allowed=WAITING if isinstance(edit, Reschedule) else (State.FAILED, *WAITING),
        without_state=WAITING,
    )


def parts_of(change: Change, which: Filter) -> list[Filter]:
    """Return a filter for each state that is meant. Raises JobStateError for one that cannot be changed so."""
    if which.state is not None and which.state not in change.allowed:
        raise JobStateError(f"a {which.state} job cannot be {change.done}")
    states = change.without_state if which.state is None else (which.state,)
    return [replace(which, state=state) for state in states]


def change_all(
    catalog: Catalog, change: Change, parts: Sequence[Filter], piece_done: Callable[[Sequence[int]], object]
) -> int:
    """Change what the filters mean, in pieces; return how many jobs that were.

    What comes while it goes on is not chased, and no job is changed twice: another time may bring it from the state
    of one part to that of the next. ``piece_done`` is called with the ids of each piece.
    """
    done, seen = 0, set[int]()
    for part in parts:
        for piece in catalog.pieces(part):
            ids = [job_id for job_id in piece if job_id not in seen]
            seen.update(ids if len(parts) > 1 else ())
            done += change.many(catalog, ids, part)
            piece_done(ids)
    return done
