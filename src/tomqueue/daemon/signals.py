"""Signals, turned into entries of a list that a loop reads; in one place."""

import os
import select
import signal
from collections import deque
from types import FrameType

__all__ = ["Signals"]

HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Signals:
    """Hears TERM, INT, HUP and CHLD from ``install`` on; a handler only writes down what came."""

    def __init__(self) -> None:
        self._came: deque[signal.Signals] = deque()
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        os.set_blocking(self._reader, False)

    def install(self) -> None:
        """Begin to hear; in the main thread."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in HEARD:
            signal.signal(number, self._hear)

    def wait(self, seconds: float) -> list[signal.Signals]:
        """Return what came, at once or within ``seconds``."""
        if not self._came:
            select.select([self._reader], [], [], seconds)
        while True:
            try:
                if not os.read(self._reader, 512):
                    break
            except BlockingIOError:
                break
        came = list(self._came)
        self._came.clear()
        return came

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        self._came.append(signal.Signals(number))
