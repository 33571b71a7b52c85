"""The four priorities, most urgent first."""

from collections.abc import Mapping
from enum import StrEnum
from logging import Logger

from tomqueue.errors import EnqueueError

__all__ = ["PRIORITIES", "Priority", "nearest_rank", "priority_of"]


class Priority(StrEnum):
    """How urgent a job is. A free worker always takes the most urgent job it knows."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"
    BULK = "bulk"

    @property
    def rank(self) -> int:
        """What the row stores: 0 (high) to 3 (bulk)."""
        return RANKS[self]

    @classmethod
    def of_rank(cls, rank: int) -> "Priority":
        """Return the priority of a stored rank; ranks outside 0..3 (plain SQL) count as the nearest."""
        return BY_RANK[nearest_rank(rank)]


def nearest_rank(rank: int) -> int:
    """Return the rank of a priority that is nearest to a stored one: itself, unless plain SQL wrote another."""
    return min(max(rank, 0), len(BY_RANK) - 1)


PRIORITIES = range(len(Priority))
"""Ranks, most urgent first."""
BY_RANK = tuple(Priority)
RANKS = {priority: rank for rank, priority in enumerate(BY_RANK)}


def priority_of(value: "Priority | str | int", mapping: Mapping[int, Priority], logger: Logger) -> Priority:
    """Turn what a caller gave into a Priority.

    Integers (Delayed::Job's way) always go through ``mapping``; an unmapped one is NORMAL, with a warning.
    Raises EnqueueError for a name that is no priority.
    """
    if isinstance(value, int):
        found = mapping.get(value)
        if found is None:
            logger.warning("priority %d is not in priority_map: using normal", value)
            return Priority.NORMAL
        return found
    try:
        return Priority(value)
    except ValueError:
        names = ", ".join(BY_RANK)
        raise EnqueueError(f"priority={value!r} is unknown: use one of {names}, or map a number") from None
