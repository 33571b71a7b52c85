"""When a worker deletes what is kept for a while only: results, history, and what belongs to nobody."""

from collections.abc import Callable
from datetime import datetime

from tomqueue.service import boot_time
from tomqueue.store.pruning import PIECE, Pruning

__all__ = ["Pruner"]

EVERY = 60.0
"""Seconds between two looks; while a piece was full, the next follows with the housekeeper's next look."""
ORPHANS_EVERY = 3600.0


class Pruner:
    """Deletes a piece at a time, so that the housekeeper gets on with the rest. ``now`` is the database's clock."""

    def __init__(self, pruning: Pruning, now: Callable[[], datetime]) -> None:
        self._pruning = pruning
        self._now = now
        self._expired_at = self._orphans_at = boot_time() + EVERY
        self._after = 0

    def step(self) -> None:
        """Delete a piece, if it is time. Raises StoreError."""
        if boot_time() >= self._expired_at:
            self._prune_expired()
        if boot_time() >= self._orphans_at:
            self._prune_orphans()

    def _prune_expired(self) -> None:
        self._expired_at = boot_time() + EVERY  # also where the database refuses it
        now = self._now()
        pieces = [self._pruning.results(now, PIECE), self._pruning.history(now, PIECE)]
        if max(pieces) >= PIECE:
            self._expired_at = boot_time()

    def _prune_orphans(self) -> None:
        self._orphans_at = boot_time() + ORPHANS_EVERY
        after = self._pruning.orphans(self._after, PIECE)
        self._after = after or 0
        if after is not None:
            self._orphans_at = boot_time()
