"""Claims whose COMMIT is in doubt: what they may have taken is given back until it can no longer appear."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tomqueue.service import boot_time
from tomqueue.store.base import Store

__all__ = ["Doubts"]

DOUBT = 2.0
"""Seconds during which a claim whose COMMIT is in doubt may still appear (MECHANISMS: unknown COMMIT)."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Rows that may have been claimed under a token, and until when that may still happen."""

    token: int
    ids: Sequence[int]
    until: float


class Doubts:
    """Undoes them again and again; ``forget`` is called with the ids that are certain at last."""

    def __init__(self, store: Store, forget: Callable[[Sequence[int]], None]) -> None:
        self._store = store
        self._forget = forget
        self._lock = threading.Lock()
        self._doubts: list[Doubt] = []

    def add(self, ids: Sequence[int], token: int) -> None:
        """Take note of a claim whose outcome nobody knows."""
        with self._lock:
            self._doubts.append(Doubt(token, list(ids), boot_time() + DOUBT))

    def resolve(self) -> None:
        """Free what they may have taken. Raises StoreError; none is lost."""
        with self._lock:
            doubts = list(self._doubts)
        for doubt in doubts:
            was_due = boot_time() >= doubt.until  # before the look: what appears after it would be missed
            self._store.undo(doubt.ids, doubt.token)
            if was_due:
                with self._lock:
                    self._doubts.remove(doubt)
                self._forget(doubt.ids)
