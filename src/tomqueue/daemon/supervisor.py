"""The parent of the workers. It holds their leases and keeps no application code."""

import logging
import secrets
import signal
from collections.abc import Callable, Sequence

from tomqueue.daemon.crew import Crew, Place
from tomqueue.daemon.description import Description
from tomqueue.daemon.heartbeat import Heartbeat
from tomqueue.daemon.process import Command
from tomqueue.daemon.signals import Signals
from tomqueue.daemon.sweep import Sweep
from tomqueue.errors import SettingsError
from tomqueue.service import Service
from tomqueue.settings import Settings
from tomqueue.store.leases import Leases
from tomqueue.store.sql import SqlStore

__all__ = ["Supervisor"]

TICK = 0.1
TIME_TO_END = 2.0


class Supervisor:
    """Runs child processes until TERM, or INT (twice: at once), or until all are idle.

    ``describe`` asks the application for its settings at HUP, before the children are restarted one by one; what
    comes counts from then on, and where nothing comes the old children go on. ``watch`` sends HUP when there is a
    reason, and begins once that is heard.
    """

    def __init__(
        self,
        store: SqlStore,
        settings: Settings,
        places: Sequence[Place],
        command: Command,
        logger: logging.Logger,
        *,
        report: Callable[[BaseException], None],
        describe: Callable[[], Description],
        watch: Service | None = None,
    ) -> None:
        self._settings = settings
        self._logger = logger
        self._report = report
        self._describe = describe
        self._watch = watch
        self._description: Description | None = None
        self._again = False
        self._signals = Signals()
        self._id = secrets.randbits(62)
        self._locks = store.live_locks()
        lock = None if self._locks is None else self._locks.hold(self._id)
        leases = Leases(store)
        self._crew = Crew(
            store, self._current, places, command, logger, report=report,
            database_answers=self._database_answers, supervisor=self._id, lock=lock,
        )  # fmt: skip
        self._heartbeat = Heartbeat(
            leases, self._id, self._crew.boards, self._current, timed=self._locks is None, report=report,
        )  # fmt: skip
        self._sweep = Sweep(
            leases, logger, self._current, connected_for=self._heartbeat.connected_for, boards=self._crew.boards,
            locks=self._locks, report=report,
        )  # fmt: skip
        self._told = False

    def _current(self) -> Settings:
        return self._settings

    def _database_answers(self) -> bool:
        return self._heartbeat.connected_for() > 0

    def run(self) -> bool:
        """Supervise until the end; say whether the application could be started at all."""
        self._signals.install()
        if self._watch is not None:
            self._watch.start()
        self._crew.start()
        self._heartbeat.start()
        self._sweep.start()
        failed = False
        try:
            while not self._crew.over:
                self._crew.work()
                for number in self._signals.wait(TICK):
                    self._obey(number)
                self._look_for_settings()
                if self._crew.never_started and not failed:
                    failed = True
                    self._logger.error("the application could not be started: see what its processes wrote above")
                    self._crew.drain()
        finally:
            self._end()
        return not failed

    def _end(self) -> None:
        if self._watch is not None:
            self._watch.stop()
        if self._description is not None:
            self._description.kill()
        self._sweep.stop(TIME_TO_END)
        self._heartbeat.stop(TIME_TO_END)
        self._crew.stop()
        if self._locks is not None:
            self._locks.remove(self._id)

    def _obey(self, number: signal.Signals) -> None:
        if number == signal.SIGTERM or (number == signal.SIGINT and not self._told):
            if not self._told:
                self._logger.info("draining: running jobs may end, no new ones start (Ctrl-C: end them now)")
            self._told = True
            self._crew.drain()
        elif number == signal.SIGINT:
            self._logger.warning("ending now: jobs that run are given back")
            self._crew.kill()
        elif number == signal.SIGHUP and not self._told:
            self._again = True  # also while it is asked: what changed since is not in that answer

    def _look_for_settings(self) -> None:
        """Restart the children once the application has said its settings; leave them alone if it cannot."""
        if self._description is None:
            if self._again and not self._told:
                self._again = False
                self._description = self._describe()
            return
        try:
            settings = self._description.poll()
        except SettingsError as error:
            self._description = None
            self._logger.error("not restarted, the old workers go on: %s", error)  # noqa: TRY400
            self._report(error)
            return
        if settings is not None:
            self._description = None
            self._settings = settings
            self._logger.info("restarting the workers one by one")
            self._crew.restart()
