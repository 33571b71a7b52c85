"""New rows in the caller's transaction: by SQLAlchemy Core, since its driver may be any."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import ClauseElement, Connection, Insert, Table, select

from tomqueue.job import NewJob
from tomqueue.store.base import Inserted
from tomqueue.store.statements import delay_of

__all__ = ["CallersRows"]


class When(NamedTuple):
    """What the statement of a row depends on; rows that have it in common are inserted together."""

    is_timed: bool
    delay: timedelta | None
    ties: frozenset[str]
    held: bool


class CallersRows:
    """Inserts rows by a Connection of the caller's; SQLAlchemy makes few statements of many rows where that pays.

    ``clock`` is the database's, as a value or an expression that stays the same throughout a statement; ``later``
    adds a delay to it.
    """

    def __init__(self, jobs: Table, clock: Callable[[], Any], later: Callable[[Any, timedelta], Any]) -> None:
        self._jobs = jobs
        self._clock = clock
        self._later = later
        self._wanted = (jobs.c.id, jobs.c.run_at, jobs.c.announced_at, jobs.c.created_at)
        self._known: dict[When, Insert] = {}

    def insert(self, connection: Connection, jobs: Sequence[NewJob]) -> list[Inserted]:
        """Insert rows; answer in the order of ``jobs``."""
        groups: defaultdict[When, list[int]] = defaultdict(list)
        for place, job in enumerate(jobs):
            groups[When(job.run_at is not None, delay_of(job), frozenset(job.ties), job.held)].append(place)
        inserted: dict[int, Inserted] = {}
        for when, places in groups.items():
            rows = self._insert_alike(connection, when, [jobs[place] for place in places])
            inserted.update(zip(places, rows, strict=True))
        return [inserted[place] for place in range(len(jobs))]

    def _insert_alike(self, connection: Connection, when: When, jobs: Sequence[NewJob]) -> list[Inserted]:
        statement, times = self._statement(when)
        rows = [{**given(job), **times} for job in jobs]
        if not connection.dialect.insert_returning:
            return [self._insert_and_read(connection, statement, row) for row in rows]
        if len(rows) == 1:
            return [Inserted(*connection.execute(statement.returning(*self._wanted), rows[0]).one())]
        ordered = statement.returning(*self._wanted, sort_by_parameter_order=True)
        return [Inserted(*row) for row in connection.execute(ordered, rows)]

    def _insert_and_read(self, connection: Connection, statement: Insert, row: Mapping[str, Any]) -> Inserted:
        key = connection.execute(statement, row).inserted_primary_key
        assert key is not None
        return Inserted(*connection.execute(select(*self._wanted).where(self._jobs.c.id == key[0])).one())

    def _statement(self, when: When) -> tuple[Insert, Mapping[str, Any]]:
        """Return the INSERT with the times that are expressions, and the values of those that are not."""
        if (known := self._known.get(when)) is not None:
            return known, {}
        times = self._times(when)
        computed = {name: value for name, value in times.items() if isinstance(value, ClauseElement)}
        statement = self._jobs.insert().values(computed)
        if when.delay is None and len(computed) == len(times):
            self._known[when] = statement
        return statement, {name: value for name, value in times.items() if name not in computed}

    def _times(self, when: When) -> dict[str, Any]:
        """Return a row's times, but for a ``run_at`` that its caller gave."""
        now = self._clock()
        times = {"created_at": now, "updated_at": now}
        if when.is_timed:
            return times
        if when.delay is not None:
            return {**times, "run_at": self._later(now, when.delay)}
        return {**times, "run_at": now} if when.held else {**times, "run_at": now, "announced_at": now}


def given(job: NewJob) -> dict[str, Any]:
    """Return what the caller says of a row."""
    values = {
        "queue": job.queue,
        "priority": job.priority,
        "name": job.name,
        "payload": job.payload,
        "meta": job.meta,
        "max_attempts": job.max_attempts,
        "expires_at": job.expires_at,
    }
    if job.ties:
        values.update(job.ties, tied=True, held=job.held)
    return values if job.run_at is None else {**values, "run_at": job.run_at}
