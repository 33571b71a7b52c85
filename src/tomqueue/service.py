"""What everything that runs obeys: start returns at once, stop means stopped and may be called twice."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

__all__ = ["Repeating", "Service", "boot_time"]

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_time() -> float:
    """Return seconds since boot on a clock that no one sets and that counts suspend.

    Linux: CLOCK_BOOTTIME. macOS: CLOCK_MONOTONIC, which counts sleep there.
    """
    return time.clock_gettime(_CLOCK)


class Service(Protocol):
    """Something that runs beside its caller until it is stopped."""

    def start(self) -> None:
        """Begin; returns at once."""

    def stop(self) -> None:
        """End and wait for the end; harmless when called twice or before ``start``."""


class Repeating:
    """A thread that calls ``work`` every ``interval`` seconds, at once after ``wake``, until stopped.

    An error of ``work`` goes to ``report`` and never ends the thread.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], None],
        *,
        interval: float | Callable[[], float],
        report: Callable[[BaseException], None],
    ) -> None:
        self._work = work
        self._interval = interval if callable(interval) else lambda: interval
        self._report = report
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def wake(self) -> None:
        """End the current pause early."""
        self._wake.set()

    def stop(self, seconds: float | None = None) -> None:
        """End and wait for the end, at most so many seconds; harmless when called twice or before ``start``."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._work()
            except Exception as error:  # noqa: BLE001 - reported; the service goes on
                with suppress(Exception, SystemExit):  # not even a reporter that fails may end it
                    self._report(error)
            self._wake.wait(self._interval())
            self._wake.clear()
