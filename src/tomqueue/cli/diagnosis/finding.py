"""A thing that was examined, and what to do about it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from tomqueue.errors import BrokerUnavailable, StoreError

__all__ = ["Diagnosis", "Level", "guarded"]


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was examined, and what to do about it."""

    level: Level
    text: str
    cure: str | None = None


def guarded(look: Callable[[], Iterator[Diagnosis]]) -> Iterator[Diagnosis]:
    """Make an examination; what keeps it from being made is a warning."""
    try:
        yield from look()
    except (StoreError, BrokerUnavailable) as error:
        yield Diagnosis(Level.WARNING, f"could not be examined: {error}")
