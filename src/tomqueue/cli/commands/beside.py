"""What is known of a job beside its row, as people and programs read it: progress, checkpoint, errors of attempts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import msgspec

from tomqueue.error_text import headline
from tomqueue.store.attempt_errors import AttemptError
from tomqueue.store.catalog import Catalog
from tomqueue.store.checkpoints import Progress
from tomqueue.times import age, when

__all__ = ["Beside", "attempts", "share"]


@dataclass(frozen=True, slots=True)
class Beside:
    """What a job has said of itself, and what its attempts ended with."""

    progress: Progress | None
    checkpoint: str | None
    errors: Sequence[AttemptError]

    @classmethod
    def of(cls, catalog: Catalog, job_id: int) -> Self:
        """Read it."""
        return cls(catalog.progress([job_id]).get(job_id), catalog.checkpoint(job_id), catalog.errors(job_id))

    def fields(self) -> dict[str, Any]:
        """Return it for a JSON object."""
        checkpoint = None if self.checkpoint is None else msgspec.Raw(self.checkpoint.encode())
        return {"progress": self.progress, "checkpoint": checkpoint, "errors": self.errors}

    def pairs(self, now: datetime) -> Iterator[tuple[str, str]]:
        """Return a label and a text each; nothing is said of what is not there."""
        if self.progress is not None:
            yield "progress", f"{share(self.progress)} ({age(self.progress.updated_at, now)})"
        if self.checkpoint is not None:
            yield "checkpoint", self.checkpoint
        if self.errors:
            yield "errors", attempts(self.errors, now)


def attempts(errors: Sequence[AttemptError], now: datetime) -> str:
    """Return a line for each attempt that ended with an error; the texts themselves are in the JSON."""
    lines = []
    for one in errors:
        place = f" on {one.worker}" if one.worker else ""
        lines.append(f"attempt {one.attempt}, {when(one.raised_at, now)}{place}: {headline(one.error)}")
    return "\n".join(lines)


def share(progress: Progress) -> str:
    """Say how far a job has come."""
    if progress.total is None:
        return number(progress.done)
    percent = f", {progress.done / progress.total:.0%}" if progress.total else ""
    return f"{number(progress.done)} of {number(progress.total)}{percent}"


def number(value: float) -> str:
    """Return a number without a fraction that says nothing."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
