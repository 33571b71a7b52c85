"""The queues: which there are, which are paused, how much of their work waits. The same on each database."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Table, func, select, update

from tomqueue.errors import JobNotFound
from tomqueue.job import State
from tomqueue.store.sql import SqlStore
from tomqueue.store.states import in_state

__all__ = ["QueueRow", "QueueTable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """A queue, and how many of its jobs are in each state."""

    name: str
    paused_at: datetime | None
    counts: Mapping[State, int]


class QueueTable:
    """The queues for people and programs."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._jobs: Table = store.tables.jobs
        self._queues: Table = store.tables.queues

    def all(self) -> list[QueueRow]:
        """Read every known queue with its counts."""
        with self._store.reading() as connection:
            paused = {row.name: row.paused_at for row in connection.execute(select(self._queues))}
            counts = self._counts(connection)
        names = sorted({*paused, *counts})
        return [QueueRow(name=name, paused_at=paused.get(name), counts=counts.get(name, {})) for name in names]

    def states(self) -> dict[str, bool]:
        """Read the names of all known queues, and whether each is paused."""
        return self._store.queue_states()

    def pause(self, queue: str) -> None:
        """Stop workers from taking jobs of a queue. Raises JobNotFound for a queue that nobody used."""
        self._set_paused(queue, self._store.now())

    def resume(self, queue: str) -> None:
        """Let workers take jobs of a queue again."""
        self._set_paused(queue, None)

    def ready_counts(self) -> dict[str, int]:
        """Count the ready jobs of each queue that has any and is not paused."""
        jobs = self._jobs
        statement = select(jobs.c.queue, func.count()).where(self._in_state(State.READY), self._not_paused())
        with self._store.reading() as connection:
            return {row.queue: row[1] for row in connection.execute(statement.group_by(jobs.c.queue))}

    def ready_by_priority(self) -> dict[tuple[str, int], int]:
        """Count the ready jobs of each queue and priority that has any, paused queues too."""
        jobs = self._jobs
        statement = select(jobs.c.queue, jobs.c.priority, func.count()).where(self._in_state(State.READY))
        with self._store.reading() as connection:
            found = connection.execute(statement.group_by(jobs.c.queue, jobs.c.priority))
            return {(queue, rank): count for queue, rank, count in found}

    def oldest_ready(self) -> datetime | None:
        """Read since when the oldest ready job of a queue that is not paused has been waiting."""
        statement = select(func.min(self._jobs.c.run_at)).where(self._in_state(State.READY), self._not_paused())
        with self._store.reading() as connection:
            return connection.execute(statement).scalar()

    def _counts(self, connection: Connection) -> dict[str, dict[State, int]]:
        counts: dict[str, dict[State, int]] = {}
        for state in State:
            statement = select(self._jobs.c.queue, func.count()).where(self._in_state(state))
            for queue, number in connection.execute(statement.group_by(self._jobs.c.queue)):
                counts.setdefault(queue, {})[state] = number
        return counts

    def _in_state(self, state: State) -> ColumnElement[bool]:
        return in_state(self._jobs, state, self._store.now())

    def _not_paused(self) -> ColumnElement[bool]:
        paused = select(self._queues.c.name).where(self._queues.c.paused_at.is_not(None))
        return self._jobs.c.queue.not_in(paused)

    def _set_paused(self, queue: str, paused_at: datetime | None) -> None:
        statement = update(self._queues).where(self._queues.c.name == queue).values(paused_at=paused_at)
        if not self._store.write(lambda connection: connection.execute(statement).rowcount):
            names = ", ".join(sorted(self.states())) or "none yet"
            raise JobNotFound(f"no job was ever enqueued in a queue {queue!r}; known queues: {names}")
