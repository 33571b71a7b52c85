"""Whether the broker answers: a network that swallows packets breaks no connection, and heartbeats notice it late."""

from tomqueue.service import boot_time

__all__ = ["LATE", "Pulse"]

LATE = 2.0
"""Seconds without an answer after which the broker counts as silent; one that is only slow loses nothing by that."""


class Pulse:
    """How long the broker has owed us an answer."""

    def __init__(self) -> None:
        self._owed_since: float | None = None

    def asked(self) -> None:
        """Take note that an answer must come."""
        if self._owed_since is None:
            self._owed_since = boot_time()

    def heard(self) -> None:
        """Take note of something else that came: the answer may be behind more of it."""
        if self._owed_since is not None:
            self._owed_since = boot_time()

    def answered(self) -> None:
        """Take note that the broker answered, or that nobody waits for it any more."""
        self._owed_since = None

    @property
    def silence(self) -> float:
        """For how many seconds the broker has let us wait; 0 when it owes us nothing."""
        return 0.0 if self._owed_since is None else boot_time() - self._owed_since

    @property
    def is_late(self) -> bool:
        """Whether the broker is silent."""
        return self.silence >= LATE
