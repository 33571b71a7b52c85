"""The parent of the workers. It holds their leases and keeps no application code."""

import logging
import secrets
import signal
from collections.abc import Callable, Sequence

from tomqueue.daemon.crew import Crew
from tomqueue.daemon.heartbeat import Heartbeat
from tomqueue.daemon.process import Command
from tomqueue.daemon.signals import Signals
from tomqueue.daemon.sweep import Sweep
from tomqueue.settings import Settings
from tomqueue.store.leases import Leases
from tomqueue.store.sql import SqlStore
from tomqueue.worker.worker import WorkerOptions

__all__ = ["Supervisor"]

TICK = 0.1


class Supervisor:
    """Runs child processes until TERM, or INT (twice: at once), or until all are idle.

    ``reload`` is called at HUP, before the children are restarted one by one, and returns the settings that count
    from then on; what it raises keeps the old children.
    """

    def __init__(
        self,
        store: SqlStore,
        settings: Settings,
        places: Sequence[WorkerOptions],
        command: Command,
        logger: logging.Logger,
        *,
        report: Callable[[BaseException], None],
        reload: Callable[[], Settings],
    ) -> None:
        self._settings = settings
        self._logger = logger
        self._report = report
        self._reload = reload
        self._signals = Signals()
        self._id = secrets.randbits(62)
        self._locks = store.live_locks()
        lock = None if self._locks is None else self._locks.hold(self._id)
        leases = Leases(store)
        self._crew = Crew(
            store, self._current, places, command, logger, report=report, supervisor=self._id, lock=lock,
        )  # fmt: skip
        self._heartbeat = Heartbeat(
            leases, self._id, self._crew.boards, self._current, timed=self._locks is None, report=report,
        )  # fmt: skip
        self._sweep = Sweep(
            leases, self._heartbeat.connected_for, self._locks, logger, self._current, report=report,
        )  # fmt: skip
        self._told = False

    def _current(self) -> Settings:
        return self._settings

    def run(self) -> bool:
        """Supervise until the end; say whether the application could be started at all."""
        self._signals.install()
        self._heartbeat.start()
        self._sweep.start()
        try:
            while not self._crew.over:
                self._crew.work()
                for number in self._signals.wait(TICK):
                    self._obey(number)
                if self._crew.never_started:
                    self._logger.error("the application could not be started: see what its processes wrote above")
                    self._crew.drain()
                    return False
        finally:
            self._sweep.stop()
            self._heartbeat.stop()
            if self._locks is not None:
                self._locks.remove(self._id)
        return True

    def _obey(self, number: signal.Signals) -> None:
        if number == signal.SIGTERM or (number == signal.SIGINT and not self._told):
            if not self._told:
                self._logger.info("draining: running jobs may end, no new ones start (Ctrl-C: end them now)")
            self._told = True
            self._crew.drain()
        elif number == signal.SIGINT:
            self._logger.warning("ending now: jobs that run are given back")
            self._crew.kill()
        elif number == signal.SIGHUP:
            self._restart()

    def _restart(self) -> None:
        try:
            self._settings = self._reload()
        except Exception as error:  # noqa: BLE001 - a broken deploy must not end the workers that still work
            self._logger.error("not restarted, the old workers go on: %s", error)  # noqa: TRY400
            self._report(error)
            return
        self._logger.info("restarting the workers one by one")
        self._crew.restart()
