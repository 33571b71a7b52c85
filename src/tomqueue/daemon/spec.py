"""What a supervisor tells a child at its start, as JSON on the command line (nothing secret is in it)."""

from enum import StrEnum

import msgspec

from tomqueue.worker.options import WorkerOptions

__all__ = ["EXIT_DATABASE_AWAY", "EXIT_LEASE_LOST", "ChildSpec", "Kind"]

EXIT_DATABASE_AWAY = 69
"""Exit status of a child that could not reach the database: no fault of the application's."""
EXIT_LEASE_LOST = 75
"""Exit status of a child that ended itself because its rows may belong to others by now."""


class Kind(StrEnum):
    """What a child process does."""

    WORKER = "worker"
    DEFERRED = "deferred"


class ChildSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One child process: its lease, the memory it shares with the supervisor, and how it works."""

    worker: int
    """Id of this process start in the leases table."""
    supervisor_pid: int
    board: int
    """File descriptor of the board."""
    watchdog: int
    """File descriptor that the stacks of a hanging job are written to."""
    inherited: tuple[int, ...] = ()
    """Descriptors that only have to stay open while this process lives: its supervisor's lock."""
    options: WorkerOptions
    kind: Kind = Kind.WORKER

    def encoded(self) -> str:
        """Return the specification as text."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def decoded(cls, text: str) -> "ChildSpec":
        """Return the specification that ``encoded`` made."""
        return msgspec.json.decode(text, type=cls)
