"""For development: when a Python file of the application changes, the workers are restarted, as by HUP."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from tomqueue.errors import SettingsError

__all__ = ["Reload"]

TIME_TO_END = 2.0


class Reload:
    """Watches folders in a thread of its own, and sends HUP to this process: the supervisor does the rest.

    So running jobs may end, and where the changed application cannot be imported the old workers go on. Raises
    SettingsError that says what to install when watchfiles is missing, and for a folder that is not there.
    """

    def __init__(
        self, folders: Iterable[Path], logger: logging.Logger, *, report: Callable[[BaseException], None]
    ) -> None:
        self._watchfiles = watchfiles()
        self._folders = [found(folder) for folder in folders]
        self._logger = logger
        self._report = report
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tomqueue-reload", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()
        self._logger.info("watching the Python files below %s", ", ".join(map(str, self._folders)))

    def stop(self) -> None:
        """End."""
        self._halt.set()
        if self._thread.is_alive():
            self._thread.join(TIME_TO_END)

    def _run(self) -> None:
        try:
            for changes in self._watchfiles.watch(
                *self._folders, watch_filter=self._watchfiles.PythonFilter(), stop_event=self._halt
            ):
                self._logger.info("%s changed", ", ".join(sorted({Path(path).name for _, path in changes})))
                os.kill(os.getpid(), signal.SIGHUP)
        except Exception as error:  # noqa: BLE001 - reported: the workers go on, and HUP is still heard
            self._report(error)


def found(folder: Path) -> Path:
    """Return a folder's absolute path; raise SettingsError if it is not there."""
    if not folder.is_dir():
        raise SettingsError(f"--reload-dir {folder}: there is no such folder")
    return folder.resolve()


def watchfiles() -> Any:
    """Return the library that watches, which is an extra."""
    try:
        return import_module("watchfiles")
    except ModuleNotFoundError as error:
        raise SettingsError("--reload needs watchfiles: pip install 'tomqueue[reload]'") from error
