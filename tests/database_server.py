"""A private database server that a test may stop and start again with its data."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from sqlalchemy import URL

from tests.servers import answers, as_text, mariadb_plan, postgres_plan, private_directory
from tests.small_disk import small_disk
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

    def start_again(self) -> None:
        """Start the server if it has ended by itself, as one does whose disk is full."""
        if self._watcher is not None and self._watcher.poll() is not None:
            self._watcher = None
            self._running.pop_all().close()
        self.start()

    def copy_data(self) -> None:
        """Keep a copy of the data of a server that is stopped."""
        shutil.copytree(self._data, self._copy, symlinks=True, copy_function=copy_with_owner)
        own_alike(self._data, self._copy)

    def use_copy(self) -> None:
        """Put the copy in place of the data, of a server that is stopped."""
        shutil.rmtree(self._data)
        self._copy.rename(self._data)

    @property
    def folder(self) -> Path:
        """Where all of its files are."""
        return Path(self._plan.directory)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _copy(self) -> Path:
        return self.folder / "copy"

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


def copy_with_owner(source: str, target: str) -> str:
    """Copy a file; the server's user goes on owning it."""
    shutil.copy2(source, target)
    own_alike(Path(source), Path(target))
    return target


def own_alike(source: Path, target: Path) -> None:
    """Give a file, or a folder with the folders in it, the owners of another one."""
    for one in (source, *(inner for inner in source.rglob("*") if inner.is_dir())):
        found = one.stat()
        os.chown(target / one.relative_to(source), found.st_uid, found.st_gid)


@contextmanager
def restartable(name: str, *, megabytes: int | None = None) -> Iterator[DatabaseServer]:
    """Give a running private server; ``name`` is one of PLANS. With ``megabytes`` its disk is no larger."""
    user, plan = PLANS[name]
    with private_directory(user) as (directory, owner), ExitStack() as stack:
        if megabytes is not None:
            stack.enter_context(small_disk(Path(directory), megabytes, owner))
        server = DatabaseServer(*plan(directory, owner))
        try:
            server.start()
            yield server
        finally:
            server.close()
