"""What a job is tied to: other rows that change with it, in the same transaction, however its own change came about.

A limit that it counts in, a workflow that goes on after it. Nearly all jobs are tied to nothing; the hot statements
know only whether a row is tied at all, and leave those that are to SQLAlchemy.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, select

from tomqueue.store.base import Ending

__all__ = ["Change", "Tie", "Ties"]


@dataclass(frozen=True, slots=True)
class Change:
    """A tied row before and after a statement; ``after`` None: it has left the table.

    ``ending`` is what the row's own worker said of it; None where somebody else changed it.
    """

    before: Row[Any]
    after: Row[Any] | None
    ending: Ending | None = None


class Tie(ABC):
    """One way in which jobs are tied to other rows."""

    @abstractmethod
    def follow(self, connection: Connection, changes: Sequence[Change], now: datetime) -> None:
        """Change what must change with these rows, in the transaction of ``connection``."""


class Ties:
    """Watches statements that change rows of jobs, and lets every Tie follow."""

    def __init__(self, jobs: Table, ties: Sequence[Tie]) -> None:
        self._jobs = jobs
        self._ties = ties

    @contextmanager
    def followed(
        self, connection: Connection, meant: ColumnElement[bool], now: datetime, endings: Sequence[Ending] = ()
    ) -> Iterator[None]:
        """Follow what happens within to the rows that are ``meant``; they are locked before, in the order of ids."""
        jobs = self._jobs
        tied = select(jobs).where(meant, jobs.c.tied).order_by(jobs.c.id).with_for_update()
        before = connection.execute(tied).all()
        yield
        if before:
            after = self._again(connection, [row.id for row in before])
            said = {ending.id: ending for ending in endings}
            changes = [Change(row, after.get(row.id), said.get(row.id)) for row in before]
            for tie in self._ties:
                tie.follow(connection, changes, now)

    def _again(self, connection: Connection, ids: Sequence[int]) -> dict[int, Row[Any]]:
        found = connection.execute(select(self._jobs).where(self._jobs.c.id.in_(ids)))
        return {row.id: row for row in found}
