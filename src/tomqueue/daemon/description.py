"""What an application says about itself to a supervisor that does not import it."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from tomqueue.errors import SettingsError
from tomqueue.service import boot_time
from tomqueue.settings import Settings

__all__ = ["Description"]

WITHIN = 60.0
"""An application that takes longer to import is given up."""
COMPLAINT = 20_000


class Description:
    """A short-lived process that imports the application and writes its settings, as JSON, to a pipe.

    ``command`` returns the command line, given the descriptor to write to. A password in the settings is in no
    process list and no file that way.
    """

    def __init__(self, command: Callable[[int], Sequence[str]]) -> None:
        self._reader, writer = os.pipe()
        self._complaint = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the answer is there
        self._give_up_at = boot_time() + WITHIN
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                command(writer), pass_fds=(writer,), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=self._complaint, process_group=0,
            )  # fmt: skip
        finally:
            os.close(writer)

    def poll(self) -> Settings | None:
        """Return the settings, None while they are not there. Raises SettingsError with what the process wrote."""
        if self._process.poll() is None:
            if boot_time() > self._give_up_at:
                self.kill()
                raise SettingsError(f"the application was not imported within {WITHIN:g} s")
            return None
        return self._answer()

    def wait(self) -> Settings:
        """Wait for the settings."""
        try:
            self._process.wait(WITHIN)
        except subprocess.TimeoutExpired:
            pass
        except BaseException:
            self.kill()
            raise
        settings = self.poll()
        if settings is None:
            self.kill()
            raise SettingsError(f"the application was not imported within {WITHIN:g} s")
        return settings

    def kill(self) -> None:
        """End the process and what it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answer(self) -> Settings:
        with os.fdopen(self._reader, "rb") as pipe, self._complaint as complaint:
            text = pipe.read()
            complaint.seek(0)
            lines = complaint.read(COMPLAINT).decode("utf-8", "replace").strip().splitlines()
        if self._process.returncode != 0 or not text:
            raise SettingsError((lines or ["the application wrote nothing"])[-1].removeprefix("tomqueue: "))
        return msgspec.json.decode(text, type=Settings)
