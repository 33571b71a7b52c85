"""The kit on a database that commits: a temporary SQLite file, or the application's own."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from tomqueue.app import TomQueue
from tomqueue.daemon.in_process import Ran, options_of, work_off
from tomqueue.job import Job
from tomqueue.store.rehearsal import Rehearsal
from tomqueue.testing.crashing import Crash, crash_at
from tomqueue.testing.kit import MOST, EndlessJobs, Kit
from tomqueue.testing.lost_news import LostNews
from tomqueue.transport.polling import PollingTransport
from tomqueue.worker.tools import Tools

__all__ = ["DatabaseKit", "on_own_database", "on_temporary_database"]


class DatabaseKit(Kit):
    """Runs jobs by a worker of this process, which takes them from the database as every worker does."""

    @contextmanager
    def lose_news(self) -> Iterator[LostNews]:
        """Drop the news that is published while the block runs."""
        lost = LostNews()
        with self.tq.published_by(lost):
            yield lost

    def crash_at(self, point: str, run: Callable[[], object] | None = None, *, times: int = 1) -> Crash:
        """Run what is ready in a process that dies."""
        return crash_at(self._tools(), point, run, times)

    def _tools(self) -> Tools:
        """Return the application's tools; news is not waited for, since the rows decide."""
        tools = self.tq.tools()
        return replace(tools, transport=PollingTransport(tools.store, tools.settings), ahead=self.elapsed)

    def _jobs(self) -> list[Job]:
        store = self.tq.tools().store
        return store.read(Rehearsal(store).jobs)

    def _next_time(self) -> datetime | None:
        store = self.tq.tools().store
        periodic = self.tq.registry.schedules()
        return store.read(lambda connection: Rehearsal(store).next_time(connection, periodic))

    def _move(self, by: timedelta) -> None:
        store = self.tq.tools().store
        store.write(lambda connection: Rehearsal(store).advance(connection, by))

    def _run_ready(self, ran: list[Ran], *, raise_errors: bool) -> None:
        left = MOST - len(ran)
        if left > 0:
            work_off(self._tools(), options_of((), most=left), ran.append, stop_at_trouble=raise_errors)
        if len(ran) >= MOST:
            raise EndlessJobs.after(ran)


@contextmanager
def on_temporary_database(tq: TomQueue) -> Iterator[DatabaseKit]:
    """Give the application an empty SQLite file and no broker until the block is left; for one test.

    Jobs that are enqueued in a session of the application's own database cannot go there: see ``in_transaction``.
    """
    with tempfile.TemporaryDirectory(prefix="tomqueue-") as folder:
        url = f"sqlite:///{Path(folder) / 'jobs.db'}"
        with tq.elsewhere(database_url=url, schema=None, broker_url="", sqlite_synchronous="NORMAL"):
            yield DatabaseKit(tq)


def on_own_database(tq: TomQueue) -> DatabaseKit:
    """Return the kit on the application's database as it is set up. It empties nothing: that is the test's part."""
    return DatabaseKit(tq)
