"""What a scenario is: cases, how one is measured, and which figures the table shows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.compare.contender import Contender
from benchmarks.compare.sizes import Sizes
from benchmarks.compare.trial import Trial

__all__ = ["BULK", "SINGLY", "Case", "Figure", "LeftOut", "Measured", "Scenario"]

BULK, SINGLY = "in bulk", "one by one"


class LeftOut(Exception):
    """A case that takes too long with this contender; the text is for the table."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of a contender in a scenario's table."""

    label: str
    against: str = ""
    """The case of the baseline and of the limit to compare with; empty: the one with this label."""
    processes: int = 1
    fill: str = BULK
    backlog: int = 0
    obstacle: str = ""


@dataclass(frozen=True)
class Figure:
    """One column of the table."""

    key: str
    heading: str


@dataclass(frozen=True)
class Measured:
    """What one trial showed."""

    jobs: int
    figures: Mapping[str, float]
    samples: Sequence[float] = field(default=())
    """Single values, for a plot of their distribution."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One table."""

    name: str
    title: str
    about: str
    """How it is measured, for the reader of the table."""
    figures: Sequence[Figure]
    """The first is what ratios are made of."""
    cases: Callable[[Contender, Sizes], Iterable[Case]]
    measure: Callable[[Trial, Case, Sizes], Measured]
    rounds: int = 5
    """Unless a run asks for another number."""

    def refusal(self, contender: Contender, case: Case) -> str:
        """Return why a contender does not offer a case; empty, if it does."""
        missing = contender.missing
        return missing.get(self.name, missing.get(f"{self.name}: {case.label}", ""))
