"""What a job is tied to: other rows that change with it, in the same transaction, however its own change came about.

A limit that it counts in, a workflow that goes on after it. Nearly all jobs are tied to nothing; the hot statements
know only whether a row is tied at all, and leave those that are to SQLAlchemy.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, not_, or_, select

from tomqueue.job import NewJob
from tomqueue.store.announcing import by_key
from tomqueue.store.base import Delete, Ending
from tomqueue.store.commit import after_commit

__all__ = ["Change", "Tie", "Ties"]


@dataclass(frozen=True, slots=True)
class Change:
    """A tied row before and after a statement; ``after`` None: it has left the table.

    ``ending`` is what the row's own worker said of it; None where somebody else changed it.
    """

    before: Row[Any]
    after: Row[Any] | None
    ending: Ending | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the row has left because its job has succeeded; else a person has deleted it, or a setting."""
        return self.after is None and isinstance(self.ending, Delete) and not self.ending.failed


class Tie(ABC):
    """One way in which jobs are tied to other rows."""

    @abstractmethod
    def follow(self, connection: Connection, changes: Sequence[Change], now: datetime) -> None:
        """Change what must change with these rows, in the transaction of ``connection``."""

    def enter(
        self,
        connection: Connection,  # noqa: ARG002 - most ties have nothing to do then
        jobs: Sequence[NewJob],  # noqa: ARG002
        ids: Sequence[int],  # noqa: ARG002
    ) -> Mapping[int, datetime]:
        """Do what is to be done once rows of these jobs are there; it may never come to this, as after a crash.

        In the transaction that inserts them, with their ids, if it is ours; in one of our own, with none, after the
        commit of a caller's. Returns the stamps of those ``ids`` that it announced: their news is the caller's to send.
        """
        return {}


class Ties:
    """Watches statements that change rows of jobs, and lets every Tie follow."""

    def __init__(self, jobs: Table, ties: Sequence[Tie]) -> None:
        self._jobs = jobs
        self._ties = list(ties)
        self.on_freed: Callable[[Sequence[int]], None] = lambda _ids: None
        """Called with the ids of jobs that a Tie has let go, after that is committed: they may be announced at once."""

    def add(self, tie: Tie) -> None:
        """Let one more Tie follow."""
        self._ties.append(tie)

    @contextmanager
    def followed(
        self,
        connection: Connection,
        meant: ColumnElement[bool],
        now: datetime,
        *,
        endings: Sequence[Ending] = (),
        by: Tie | None = None,
    ) -> Iterator[Sequence[Row[Any]]]:
        """Follow what happens within to the rows that are ``meant``; they are locked before, in the order of ids.

        Gives the tied ones among them. ``endings`` are what their own worker says of them. A Tie that changes rows
        itself says so (``by``): it is not told of its own change, and the others are.
        """
        ties = [tie for tie in self._ties if tie is not by]
        if not ties and by is not None:
            yield []
            return
        jobs = self._jobs
        # not against a shared lock of the key: a caller's transaction has one on a unique job that it met
        tied = select(jobs).where(meant, jobs.c.tied).order_by(jobs.c.id).with_for_update(key_share=True)
        before = connection.execute(by_key(tied, jobs)).all()
        yield before
        if before:
            after = self._again(connection, [row.id for row in before])
            said = {ending.id: ending for ending in endings}
            changes = [Change(row, after.get(row.id), said.get(row.id)) for row in before]
            for tie in ties:
                tie.follow(connection, changes, now)

    def watched(self, before: Sequence[Row[Any]]) -> ColumnElement[bool]:
        """Return the condition of rows that may be changed: plain ones, and the tied ones that ``followed`` has locked.

        A tied row that comes to be meant only in between, as one that its worker lets go, is not followed.
        """
        return or_(not_(self._jobs.c.tied), self._jobs.c.id.in_([row.id for row in before]))

    def free(self, connection: Connection, ids: Sequence[int]) -> None:
        """Take note that jobs, due and unannounced, are held no longer; told on once ``connection`` has committed."""
        if ids:
            after_commit(connection, lambda: self.on_freed(ids))

    def enter(self, connection: Connection, jobs: Sequence[NewJob], ids: Sequence[int]) -> dict[int, datetime]:
        """Let every Tie do what is to be done for new rows; see Tie."""
        return {row: stamp for tie in self._ties for row, stamp in tie.enter(connection, jobs, ids).items()}

    def _again(self, connection: Connection, ids: Sequence[int]) -> dict[int, Row[Any]]:
        found = connection.execute(by_key(select(self._jobs).where(self._jobs.c.id.in_(ids)), self._jobs))
        return {row.id: row for row in found}
