"""What a person cancels while this process holds it: interrupted if it runs, given back if it does not."""

from collections.abc import Collection, Sequence

from tomqueue.errors import JobCancelled
from tomqueue.job import Claimed
from tomqueue.service import boot_time
from tomqueue.store.catalog import Catalog
from tomqueue.worker.claims import Claims
from tomqueue.worker.slot import Slot

__all__ = ["Cancels"]

LOOK_EVERY = 1.0


class Cancels:
    """Asks about once a second for what has been held since the last time, so that quick jobs cost nothing.

    Those that end, or are given back, within that time need no look: the end of a claim obeys a cancel in any case.
    """

    def __init__(self, slots: Sequence[Slot], claims: Claims, catalog: Catalog) -> None:
        self._slots = slots
        self._claims = claims
        self._catalog = catalog
        self._looked_at = 0.0
        self._held: dict[int, int] = {}

    def look(self) -> None:
        """Interrupt or give back what is cancelled, if it is time to look. Raises StoreError."""
        if boot_time() - self._looked_at < LOOK_EVERY:
            return
        self._looked_at = boot_time()
        before, self._held = self._held, {row.id: row.token for row in (*self._running(), *self._claims.waiting())}
        long = before.items() & self._held.items()
        cancelled = self._catalog.cancelled(long) if long else set()
        if cancelled:
            self._interrupt(cancelled)
            self._claims.withdraw(cancelled)

    def _running(self) -> list[Claimed]:
        jobs = (slot.job for slot in self._slots)
        return [job for job in jobs if isinstance(job, Claimed)]

    def _interrupt(self, cancelled: Collection[tuple[int, int]]) -> None:
        for slot in self._slots:
            job = slot.job
            if isinstance(job, Claimed) and (job.id, job.token) in cancelled:
                slot.interrupt(JobCancelled, job)
