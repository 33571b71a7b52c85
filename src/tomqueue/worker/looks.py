"""The database asked in turn: what is ready, and what has fallen due. A worker without news lives by it."""

from collections.abc import Callable
from datetime import datetime

from tomqueue.service import boot_time
from tomqueue.store.base import Announced, Store, Want
from tomqueue.worker.batch import BatchSize
from tomqueue.worker.board import Board
from tomqueue.worker.claims import Claims
from tomqueue.worker.queues import Queues

__all__ = ["ALL", "DUE_LOOK_EVERY", "Looks"]

ALL = 4
"""A rank below which everything is."""
FORGET_MARKS_EVERY = 10.0
DUE_LOOK_EVERY = 1.0
DUE_LOOK_PAUSE = 0.5
"""Shortest time between two due looks on a server (SQLite looks whenever someone committed)."""
SELDOM_DUE = 5.0
"""Seconds between two due looks of a worker that gets news: another process announces, unless it is away."""


class Looks:
    """Takes what is ready, and announces what is due by ``announce``. One thread at a time.

    ``thorough`` looks once more and again before it says that there is nothing.
    """

    def __init__(
        self,
        store: Store,
        claims: Claims,
        queues: Queues,
        board: Board,
        *,
        worker: int,
        batch: BatchSize,
        now: Callable[[], datetime],
        announce: Callable[[], Announced],
        ranks: range,
        thorough: bool,
    ) -> None:
        self._store = store
        self._claims = claims
        self._queues = queues
        self._board = board
        self._batch = batch
        self._now = now
        self._announce = announce
        self._thorough = thorough
        self._want = Want((), 1, worker, first=ranks.start)
        self._ranks = ranks
        self._marked_at = 0.0
        self._due_looked_at = boot_time()
        self._due_at = 0.0
        self.seen = 0
        """A rank: of what is more urgent the last look left nothing."""

    def take(self, below: int) -> int:
        """Claim what is ready and more urgent than ``below``; return how much."""
        self._queues.refresh()
        if self._due_look_is_due():
            self._look_for_due()
        found = self._take_once(below)
        if found or below < ALL:
            return found
        if self._thorough:
            self._queues.refresh(now=True)
        elif self._store.change_counter() is not None:
            self._queues.refresh(soon=True)
        if self._want.marks:  # what was committed late, or given back, lies below the marks
            self._want.marks.clear()
            found = self._take_once(below)
        if not found and self._may_look_for_due() and self._look_for_due():
            found = self._take_once(below)
        return found

    def announce_seldom(self) -> None:
        """Look now and then for what is due: for a worker that has nothing to do, and gets news."""
        if boot_time() - self._due_looked_at > SELDOM_DUE:
            self._look_for_due()

    def until_due(self) -> float:
        """Return how many seconds a worker may wait until the next due look."""
        return max(0.0, min(DUE_LOOK_EVERY, self._due_at - boot_time()))

    def _take_once(self, below: int) -> int:
        want = self._want
        if boot_time() - self._marked_at > FORGET_MARKS_EVERY:
            want.marks.clear()
            self._marked_at = boot_time()
        want.queues = self._queues.in_turn()
        want.below = min(below, self._ranks.stop)
        want.limit = min(self._batch.size(), self._board.room)
        claimed = self._claims.take(want)
        self.seen = min(want.left, want.below)
        if claimed and below == ALL:
            self._queues.served(row.queue for row in claimed)
        return len(claimed)

    def _due_look_is_due(self) -> bool:
        """Say whether a due look is due although there may be other work."""
        now = boot_time()
        return now >= self._due_at or now - self._due_looked_at > DUE_LOOK_EVERY

    def _may_look_for_due(self) -> bool:
        """Say whether an empty take is followed by a due look: always on SQLite, now and then on a server."""
        if self._thorough:
            return True
        return self._store.change_counter() is not None or boot_time() - self._due_looked_at > DUE_LOOK_PAUSE

    def _look_for_due(self) -> int:
        announced = self._announce()
        self._due_looked_at = boot_time()
        self._due_at = self._due_looked_at + DUE_LOOK_EVERY
        if announced.next_run_at is not None:
            seconds = (announced.next_run_at - self._now()).total_seconds()
            # a due row that could not be announced is somebody's at this moment: no reason to ask without a pause
            self._due_at = self._due_looked_at + max(0.0 if announced.count else DUE_LOOK_PAUSE, seconds)
        return announced.count
