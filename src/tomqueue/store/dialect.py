"""What a dialect must say: how its hot statements read. How to connect, and what errors mean, stand in Transactions."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from tomqueue.job import Claimed
from tomqueue.store.announcing import Upcoming
from tomqueue.store.base import Answer, Release, Want
from tomqueue.store.keyed_rows import KeyedRows
from tomqueue.store.liveness import LiveLocks
from tomqueue.store.picking import Picked

__all__ = ["NONE", "Dialect"]

NONE = timedelta(0)


class Dialect(KeyedRows):
    """The statements of one kind of database."""

    @abstractmethod
    def _know_queues(self, link: Any, names: Iterable[str]) -> None:
        """Insert queue names that are new, without minding those that are not."""

    @abstractmethod
    def _pick(self, link: Any, queue: str, priority: int, want: Want, limit: int) -> list[Picked]:
        """Choose ready rows past the mark, oldest stamp first, and lock them where others can claim meanwhile."""

    def _as_stamp(self, moment: datetime) -> Any:
        """Return a moment as the driver gives a stamp."""
        return moment

    @abstractmethod
    def _lock(self, link: Any, ids: Sequence[int], worker: int, token: int) -> list[Claimed]:
        """Claim rows that ``_pick`` chose or that are known to be runnable."""

    def _lock_free(self, link: Any, ids: Sequence[int], worker: int, token: int) -> list[Claimed]:  # noqa: ARG002 - for others
        """Claim the rows by key that are runnable and that nobody touches, where one statement can do both."""
        return []

    @abstractmethod
    def _lockable(self, link: Any, ids: Sequence[int]) -> Mapping[int, Answer | None]:
        """Lock rows by key where possible and answer for each that is there; None means it can be claimed."""

    @abstractmethod
    def _delete(self, link: Any, token: int, ids: Sequence[int]) -> set[int]:
        """Delete rows that this token holds; return the ids that it held."""

    @abstractmethod
    def _release(self, link: Any, release: Release) -> bool:
        """Let one row go, unless it is cancelled; say whether the token held it."""

    @abstractmethod
    def _keep_error(self, link: Any, release: Release) -> None:
        """Write down the error of the attempt that a Release ends, if its token holds the row."""

    @abstractmethod
    def _forget_errors(self, link: Any, ids: Sequence[int]) -> None:
        """Delete the errors of jobs that are gone."""

    @abstractmethod
    def _fail_cancelled(self, link: Any, release: Release) -> bool:
        """Fail one row for good instead of letting it go, if it is cancelled; say whether the token held it."""

    @abstractmethod
    def _due(self, link: Any, limit: int, within: timedelta = NONE) -> list[Upcoming]:
        """Read unannounced, unlocked rows that are due or fall due ``within`` that time.

        Most urgent first, then the soonest; at most ``limit`` of each priority.
        """

    @abstractmethod
    def _announce(self, link: Any, ids: Sequence[int], columns: str) -> list[Any]:
        """Stamp those of ``ids`` that still are due and unannounced; return the stamp and ``columns`` of each.

        What another has locked is passed over: that one announces or changes it.
        """

    @abstractmethod
    def _next_due(self, link: Any) -> datetime | None:
        """Read when the next unannounced row falls due."""

    @abstractmethod
    def _hits(self, link: Any, want: Want) -> list[tuple[str, int]]:
        """Read the (queue, priority) pairs worth a pick, most urgent first, queues in the order of the turn.

        On a server this is one round trip, whatever the number of queues; it may move the marks forward to the
        first row that can be taken.
        """

    def live_locks(self) -> LiveLocks | None:
        """Return the kernel's word on which supervisors live; None where they may be on other hosts."""
        return None

    def change_counter(self) -> int | None:
        """Return a number that changes when another connection committed; None where there is no cheap one."""
        return None

    @abstractmethod
    def _clock(self) -> Any:
        """Return the database's clock as a value for SQLAlchemy, the same throughout a statement."""

    def _later(self, clock: Any, delay: timedelta) -> Any:
        """Return ``clock`` plus ``delay`` as a value for SQLAlchemy."""
        return clock + delay
