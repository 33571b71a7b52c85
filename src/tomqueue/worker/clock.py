"""The database's clock, read from a local one that nobody sets."""

from collections.abc import Callable
from datetime import datetime, timedelta

from tomqueue.service import boot_time

__all__ = ["DatabaseClock"]


class DatabaseClock:
    """Keeps the offset between the database's clock and this machine's time since boot."""

    def __init__(self, read: Callable[[], datetime]) -> None:
        self._read = read
        self._at = 0.0
        self._then = read()
        self.refresh()

    def refresh(self) -> None:
        """Ask the database again; half of the time that this takes is taken for the way back."""
        before = boot_time()
        then = self._read()
        self._at, self._then = (before + boot_time()) / 2, then

    def now(self) -> datetime:
        """Return the database's time, aware and in UTC."""
        return self._then + timedelta(seconds=boot_time() - self._at)
