"""A look at where a job hangs that needs no GIL: the interpreter's own watchdog writes the stacks to a file.

Armed again every second while Python code can run; when a call into C holds the GIL, it fires.
"""

import faulthandler
import os
from typing import BinaryIO

from tomqueue.service import boot_time

__all__ = ["Watchdog", "read_dump"]

REARM_EVERY = 1.0
FIRE_AFTER = 2.5
"""Seconds without the GIL after which the stacks are written, and written again."""
MOST = 20_000


class Watchdog:
    """Writes the stacks of all threads to ``descriptor`` while nothing else can."""

    def __init__(self, descriptor: int) -> None:
        self._file: BinaryIO = os.fdopen(descriptor, "w+b", buffering=0, closefd=False)
        self._armed_at = -REARM_EVERY

    def rearm(self) -> None:
        """Put the next look off; call it again within a second."""
        if boot_time() - self._armed_at < REARM_EVERY:
            return
        self._armed_at = boot_time()
        faulthandler.cancel_dump_traceback_later()
        self._file.seek(0)
        self._file.truncate()
        faulthandler.dump_traceback_later(FIRE_AFTER, repeat=True, file=self._file)

    def stop(self) -> None:
        """Stop looking."""
        faulthandler.cancel_dump_traceback_later()


def read_dump(descriptor: int) -> str:
    """Return the last stacks that a watchdog wrote; empty when it never had to."""
    size = os.fstat(descriptor).st_size
    text = os.pread(descriptor, MOST, max(0, size - MOST)).decode("utf-8", "replace")
    last = text.rfind("Timeout (")
    return text[last:] if last >= 0 else text
