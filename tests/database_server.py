"""A private database server that a test may stop and start again with its data."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from sqlalchemy import URL

from tests.servers import answers, as_text, mariadb_plan, postgres_plan, private_directory
from tests.watcher import STOP_SECONDS, Plan, running

__all__ = ["PLANS", "DatabaseServer", "restartable"]

PLANS: dict[str, tuple[str, Callable[[str, str | None], tuple[URL, Plan]]]] = {
    "postgres": ("postgres", postgres_plan),
    "mariadb": ("mysql", mariadb_plan),
}
"""The system user of each server, and how it is made."""


class DatabaseServer:
    """One server: ``url`` for clients, and what tests do to it."""

    def __init__(self, address: URL, plan: Plan) -> None:
        self.url = as_text(address)
        self._address = address
        self._plan = plan
        self._running = ExitStack()
        self._watcher: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, with the data that it has, and wait until it answers; nothing, if it runs."""
        if self._watcher is None:
            self._watcher = self._running.enter_context(running(self._plan, lambda: answers(self._address)))
            self._plan = replace(self._plan, commands=self._plan.commands[-1:])  # its files are made

    def stop(self) -> None:
        """Stop the server in order, whoever is connected; its data stays."""
        self._end(signal.Signals(self._plan.stop_signal))

    def kill(self) -> None:
        """Kill the server as a crash does (`kill -9`); its data stays."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End the server for good."""
        self._running.close()

    def _end(self, how: signal.Signals) -> None:
        if self._watcher is None:
            return
        os.kill(int(Path(self._plan.directory, "pid").read_text().split()[0]), how)
        self._watcher.wait(STOP_SECONDS)  # before its pipe closes, which would have it remove the directory
        self._watcher = None
        self._running.pop_all().close()


@contextmanager
def restartable(name: str) -> Iterator[DatabaseServer]:
    """Give a running private server; ``name`` is one of PLANS."""
    user, plan = PLANS[name]
    with private_directory(user) as (directory, owner):
        server = DatabaseServer(*plan(directory, owner))
        try:
            server.start()
            yield server
        finally:
            server.close()
