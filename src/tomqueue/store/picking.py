"""Which rows a take chooses, in which order, and how it locks those that others touch."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tomqueue.priority import PRIORITIES
from tomqueue.store.base import Answer, Want

__all__ = ["Picked", "end_of", "pairs", "patiently", "until_suspect"]

NEVER = datetime.max.replace(tzinfo=UTC)
BUSY_PAUSES = (0.005, 0.01, 0.02, 0.03, 0.035)  # a tenth of a second for what someone touches "for a moment"

Picked = tuple[int, Any, bool]
"""A row that a take chose: id, stamp as the driver gives it, whether it is suspect."""


def pairs(want: Want) -> list[tuple[str, int]]:
    """Return the queues and priorities of a turn: most urgent first, and queues in the order of the turn."""
    turn = [(queue, priority) for priority in PRIORITIES[want.first : want.below] for queue in want.queues]
    return turn if want.before is None else [pair for pair in turn if pair in want.before]


def end_of(want: Want, pair: tuple[str, int]) -> datetime:
    """Return the moment before which a row of a queue and priority must have been announced."""
    return NEVER if want.before is None else want.before[pair]


def patiently(
    lock: Callable[[Sequence[int]], Mapping[int, Answer | None]],
    present: Callable[[Sequence[int]], Collection[int]],
    ids: Sequence[int],
) -> Mapping[int, Answer | None]:
    """Lock rows with SKIP LOCKED; wait a moment, once and bounded, for those that someone else is just touching.

    A waiting lock would do the same at a price: a time-out inside a transaction needs a savepoint on PostgreSQL,
    is counted in whole seconds by MySQL, and may roll back all of the transaction there.
    """
    answers = dict(lock(ids))
    for pause in BUSY_PAUSES:
        missing = [row_id for row_id in ids if row_id not in answers]
        busy = sorted(present(missing)) if missing else []
        if not busy:
            return answers
        time.sleep(pause)
        answers.update(lock(busy))
    missing = [row_id for row_id in ids if row_id not in answers]
    return {**answers, **dict.fromkeys(present(missing) if missing else (), Answer.BUSY)}


def until_suspect(found: list[Picked], *, alone: bool) -> list[Picked]:
    """Return the rows before the first suspect one; that one by itself, when nothing stands before it."""
    for place, (_, _, suspect) in enumerate(found):
        if suspect:
            return found[: place or int(alone)]
    return found
