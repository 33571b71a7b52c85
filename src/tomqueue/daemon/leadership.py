"""Who leads: a lease in the database that one process holds at a time."""

import secrets

from tomqueue.service import boot_time
from tomqueue.store.leases import Leases

__all__ = ["Leadership"]

MARGIN = 1.0
"""A leader stops trusting its lease this many seconds before another may take it."""
ASK_EVERY = 1.0
"""Seconds after which one that stands by asks again: a leader that resigns is followed within them."""


class Leadership:
    """Tries to lead, renews while it does, and stops trusting its lease before it is over.

    ``heartbeat`` and ``lease`` are in seconds.
    """

    def __init__(self, leases: Leases, *, heartbeat: float, lease: float) -> None:
        self._leases = leases
        self._heartbeat = heartbeat
        self._lease = lease
        self._id = secrets.randbits(62)
        self._trusted_until = 0.0
        self._try_at = 0.0

    def leads(self) -> bool:
        """Say whether this process leads now; renews, or tries to become it, when that is due. Raises StoreError."""
        if boot_time() >= self._try_at:
            began = boot_time()
            self._try_at = began + min(ASK_EVERY, self._heartbeat)  # also after an error
            if self._leases.lead(self._id, self._lease):
                self._try_at = began + self._heartbeat
                self._trusted_until = began + self._lease - MARGIN
            else:
                self._trusted_until = 0.0
        return boot_time() < self._trusted_until

    def next_try(self) -> float:
        """Return in how many seconds ``leads`` asks the database again."""
        return max(0.0, self._try_at - boot_time())

    def resign(self) -> None:
        """Let another lead at once."""
        self._trusted_until = 0.0
        self._leases.resign(self._id)
