"""On SQLite all workers are on one host, and its kernel knows better than any clock which of them live.

A supervisor holds a lock on a file beside the database; its children inherit it. The kernel lets go of it when the
last of them is dead, however they died. So a lease can be trusted without end while the lock is held: somebody who
keeps the database locked for a minute, and with it every heartbeat, does not make living workers look dead.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

__all__ = ["LiveLocks"]

_held: set[int] = set()
"""Descriptors of the locks that this process took: one that it forks (not: executes) has no part in them."""


class LiveLocks:
    """The locks of all supervisors that use the database file ``database``."""

    def __init__(self, database: str) -> None:
        self._database = database

    def hold(self, supervisor: int) -> int:
        """Take the lock of a supervisor; return the descriptor that its children are to inherit."""
        descriptor = os.open(self._path(supervisor), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _held.add(descriptor)
        return descriptor

    def let_go(self, supervisor: int, descriptor: int) -> None:
        """Give up the lock of a supervisor that ends, and delete its file."""
        self.remove(supervisor)
        _held.discard(descriptor)
        os.close(descriptor)

    def is_held(self, supervisor: int) -> bool:
        """Say whether the supervisor or one of its children lives."""
        try:
            descriptor = os.open(self._path(supervisor), os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def remove(self, supervisor: int) -> None:
        """Delete the file of a supervisor that is dead, or ends."""
        with suppress(FileNotFoundError):
            self._path(supervisor).unlink()

    def _path(self, supervisor: int) -> Path:
        return Path(f"{self._database}-tomqueue-{supervisor:x}.lock")


def _leave_to_parent() -> None:
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_leave_to_parent)
