"""``tq.schedules``: look at periodic jobs, run, pause and resume them. What the CLI can, Python can."""

from collections.abc import Callable
from dataclasses import replace

from tomqueue.definition import Enqueuer, Registry, Tick
from tomqueue.errors import JobNotFound
from tomqueue.job import Job
from tomqueue.store.schedules import ScheduleRow, ScheduleTable
from tomqueue.store.sql import SqlStore

__all__ = ["Schedules"]


class Schedules:
    """The periodic jobs of one TomQueue, each called by its job's name."""

    def __init__(self, store: Callable[[], SqlStore], registry: Registry, enqueuer: Enqueuer) -> None:
        self._store = store
        self._registry = registry
        self._enqueuer = enqueuer

    def list(self) -> "list[ScheduleRow]":
        """Return every schedule by name: those in the database, and those declared here that are new."""
        known = {row.name: row for row in ScheduleTable(self._store()).all()}
        for name, schedule in self._registry.schedules().items():
            known.setdefault(name, ScheduleRow.undeclared(name, schedule))
        return [known[name] for name in sorted(known)]

    def run(self, name: str) -> Job:
        """Enqueue a periodic job now, also a paused one; its next tick stays as it is. Raises JobNotFound."""
        declared = self._registry.schedules()
        if name not in declared:
            names = ", ".join(sorted(declared)) or "none"
            raise JobNotFound(f"no periodic job of this application is called {name!r}; there are: {names}")
        tick = Tick(schedule=name, at=self._store().now())
        return self._enqueuer.enqueue(replace(self._registry.periodic(name), tick=tick))

    def pause(self, name: str) -> None:
        """Let no further tick of a schedule become a job. Raises JobNotFound."""
        self._written(name).pause(name)

    def resume(self, name: str) -> None:
        """Go on with the first tick from now; those of the pause are left out. Raises JobNotFound."""
        self._written(name).resume(name)

    def _written(self, name: str) -> ScheduleTable:
        """Return the table, with the row of a schedule that no worker has started with yet."""
        table = ScheduleTable(self._store())
        declared = self._registry.schedules().get(name)
        if declared is not None and name not in {row.name for row in table.all()}:
            table.declare({name: declared})
        return table
