"""What a person can change about a job that does not run: how urgent it is, its queue, its time."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Unpack

from sqlalchemy import ColumnElement, Table, and_

from tomqueue.definition import OverrideOptions, Overrides
from tomqueue.errors import EnqueueError, SettingsError
from tomqueue.priority import Priority

__all__ = ["Edit", "Move", "Reprioritise", "Reschedule"]


class Edit(ABC):
    """One change, the same for one job and for many. Raises SettingsError when it is made with what no job can have.

    Whatever is changed, the row is announced anew once it is due: the news that is under way tells of the row as it
    was, and its checksum covers queue and priority.
    """

    done: ClassVar[str]
    """What was done to a job, for messages."""

    @property
    def queue(self) -> str | None:
        """The queue that must be known before."""
        return None

    def allowed(self, jobs: Table) -> ColumnElement[bool]:
        """Return the condition of a row that can be changed so."""
        return jobs.c.locked_by.is_(None)

    def values(self, now: datetime) -> dict[str, Any]:
        """Return what the row's columns become; ``now`` is the database's clock."""
        return {"announced_at": None, "updated_at": now, **self._values(now)}

    @abstractmethod
    def _values(self, now: datetime) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Reprioritise(Edit):
    """Another priority."""

    priority: Priority
    done: ClassVar[str] = "reprioritised"

    def _values(self, now: datetime) -> dict[str, Any]:  # noqa: ARG002 - of any moment
        return {"priority": self.priority.rank}


@dataclass(frozen=True, slots=True)
class Move(Edit):
    """Another queue."""

    to: str
    done: ClassVar[str] = "moved"

    def __post_init__(self) -> None:
        checked(queue=self.to)

    @property
    def queue(self) -> str:
        """The queue."""
        return self.to

    def _values(self, now: datetime) -> dict[str, Any]:  # noqa: ARG002 - of any moment
        return {"queue": self.to}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reschedule(Edit):
    """Another time: an instant, or so many seconds (or a timedelta) from now on the database's clock.

    An expiry is taken away, as by a retry: it was counted from the time before. A parked job waits for the new time.
    """

    run_at: datetime | None = None
    delay: float | timedelta | None = None
    done: ClassVar[str] = "rescheduled"

    def __post_init__(self) -> None:
        if (self.run_at is None) == (self.delay is None):
            raise SettingsError("a job is rescheduled by run_at or by delay: give one of them")
        checked(run_at=self.run_at, delay=self.delay)

    def allowed(self, jobs: Table) -> ColumnElement[bool]:
        """Return the condition of a row that can be changed so: one that has failed has no time."""
        return and_(jobs.c.locked_by.is_(None), jobs.c.failed_at.is_(None))

    def _values(self, now: datetime) -> dict[str, Any]:
        delay = checked(delay=self.delay).delay_seconds
        run_at = self.run_at if delay is None else now + timedelta(seconds=delay)
        return {"run_at": run_at, "expires_at": None, "parked_at": None}


def checked(**said: Unpack[OverrideOptions]) -> Overrides:
    """Check what was said by the rules of an enqueue."""
    try:
        return Overrides(**said)
    except EnqueueError as error:
        raise SettingsError(str(error)) from error
