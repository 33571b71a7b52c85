"""What the database's clock shows at least: by that, what is due here is due there as well."""

from collections.abc import Callable
from datetime import datetime, timedelta

from tomqueue.service import boot_time
from tomqueue.store.columns import EPOCH

__all__ = ["DueClock"]

DRIFT = 1e-4
"""How far two clocks may part, per second: twice what a common quartz does, and a clock that is being set is slower."""
ROUNDING = 2e-6
"""Seconds that a float loses of a time since 1970, and a datetime of a float."""


class DueClock:
    """A lower bound of the database's clock.

    A reading was taken before its answer arrived: the clock has shown at least that much since then. So the bound
    is as tight as the fastest answer of late, and needs no guess at how long the way there and back takes.
    """

    def __init__(self, read: Callable[[], datetime]) -> None:
        self._read = read
        self._ahead: float | None = None
        self._at = 0.0

    def refresh(self) -> None:
        """Ask the database; keep the older reading where its answer came so much faster that it still says more."""
        before = boot_time()
        shown = self._read().timestamp()
        after = boot_time()
        ahead = shown - after
        if self._ahead is not None:
            kept = self._ahead - DRIFT * (after - self._at)
            if ahead < kept <= shown - before:  # else the database's clock was set back, and the older one is wrong
                ahead = kept
        self._ahead, self._at = ahead, after

    def now(self) -> datetime:
        """Return the time that the database's clock shows at least, aware and in UTC."""
        if self._ahead is None:
            self.refresh()
        assert self._ahead is not None
        here = boot_time()
        return EPOCH + timedelta(seconds=here + self._ahead - DRIFT * (here - self._at) - ROUNDING)
