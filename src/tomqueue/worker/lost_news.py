"""Jobs whose news was lost: the workers that would run them find them in the database, busy or not.

News of one queue and priority comes in the order of the stamps of its rows. So up to a moment it is *over*: before
the stamp of what was received last, and before its queue was seen to be empty, with some margin. A row that was
announced before that moment, and still waits, has no news any more. Or another worker has it in hand: that one gets
some time to start it, and where it does not, finds the row taken, which does no harm.
"""

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from tomqueue.events import Events
from tomqueue.job import Claimed
from tomqueue.service import boot_time
from tomqueue.store.base import NOTHING_LEFT, Want
from tomqueue.transport.base import Consumer, Delivery
from tomqueue.worker.batch import BatchSize
from tomqueue.worker.board import Board
from tomqueue.worker.claims import Claims
from tomqueue.worker.queues import Queues

__all__ = ["LostNews"]

LOOK_EVERY = 5.0
"""Seconds between two looks while nothing is lost."""
IDLE_LOOK_EVERY = 1.0
"""The same for a worker that has nothing to do."""
OVERTAKEN = timedelta(seconds=20)
"""By so much later news must have come: no news is sent that is older than 15 s, it gets a new stamp."""
HELD = timedelta(seconds=20)
"""For so long another worker may have news in hand before those that have work as well help it."""
UNDER_WAY = timedelta(seconds=1)
"""What was announced just before its queue was seen to be empty may still be on its way: idle workers wait for that."""
WHOLE_EVERY = 20.0
"""Seconds after which a look begins at the oldest row again: what was given back, or committed late, lies there."""
WHOLE_SHARE = 0.01
"""Of a worker's time, for such looks: an index that cannot be cleaned up makes them long."""


class LostNews:
    """Takes rows whose news is over. One thread at a time, but for ``is_due``."""

    def __init__(
        self,
        claims: Claims,
        consumer: Consumer,
        queues: Queues,
        board: Board,
        events: Events,
        *,
        worker: int,
        batch: BatchSize,
        now: Callable[[], datetime],
        ranks: range,
    ) -> None:
        self._claims = claims
        self._consumer = consumer
        self._queues = queues
        self._board = board
        self._events = events
        self._batch = batch
        self._now = now
        self._want = Want((), 1, worker, first=ranks.start)
        self._ranks = ranks
        self._newest: dict[tuple[str, int], datetime] = {}
        self._samples: deque[tuple[float, dict[tuple[str, int], datetime]]] = deque([(boot_time(), {})])
        self._age = HELD
        self._looked_at = boot_time()
        self._whole_at = self._whole_soonest = 0.0
        self._more: int | None = None
        self._took = False

    def heard(self, deliveries: Iterable[Delivery]) -> None:
        """Take note of news that was received and is about to be claimed."""
        for delivery in deliveries:
            news = delivery.notification
            self._newest[news.queue, news.priority] = news.stamp

    @property
    def is_due(self) -> bool:
        """Whether it is time for a look."""
        return boot_time() - self._looked_at >= LOOK_EVERY

    def gives_way(self) -> bool:
        """Say, once after each take that got something, that now it is the turn of the news."""
        took, self._took = self._took, False
        return took

    def take(self, below: int, *, idle: bool = False) -> int:
        """Claim rows more urgent than ``below`` whose news is over, if a look is due; return how many.

        A look that gets a full batch is followed by the next. Nothing is taken that is less urgent than the news.
        """
        news = self._consumer.most_urgent()
        below = below if news is None else min(below, news + 1)
        goes_on = self._more is not None and self._more < below
        if not goes_on:
            if not self.is_due and not (idle and boot_time() - self._looked_at >= IDLE_LOOK_EVERY):
                return 0
            self._age = UNDER_WAY if idle else HELD
        self._looked_at = boot_time()
        claimed = self._look(below)
        self._took = bool(claimed)
        if claimed and self._want.left != NOTHING_LEFT:
            self._more = self._want.left
        elif goes_on:
            self._more = None
            self._whole_at = self._whole_soonest  # what was given back meanwhile lies behind us
        return len(claimed)

    def _look(self, below: int) -> list[Claimed]:
        began, want = boot_time(), self._want
        is_whole = began >= self._whole_at
        if is_whole:
            want.marks.clear()
        want.queues = self._queues.in_turn()
        want.below = min(below, self._ranks.stop)
        want.limit = min(self._batch.size(), self._board.room)
        want.before = self._over()
        claimed = self._claims.take(want) if want.before else []
        if is_whole:
            ended = boot_time()
            self._whole_soonest = ended + (ended - began) / WHOLE_SHARE
            self._whole_at = max(ended + WHOLE_EVERY, self._whole_soonest)
        self._queues.served(row.queue for row in claimed)
        for row in claimed:
            self._events.emit("news.lost", job=row)
        return claimed

    def _over(self) -> dict[tuple[str, int], datetime]:
        """Return the moment up to which the news of each queue and priority is over."""
        now, here = self._now(), boot_time()
        over = {source: min(stamp, now) - OVERTAKEN for source, stamp in self._newest_long_ago().items()}
        for source, empty_at in self._consumer.empty_at().items():
            moment = now - timedelta(seconds=here - empty_at) - self._age
            over[source] = max(moment, over.get(source, moment))
        return over

    def _newest_long_ago(self) -> dict[tuple[str, int], datetime]:
        """Return the stamps of what was received last when others received what they may still hold."""
        now, samples = boot_time(), self._samples
        if now - samples[-1][0] >= LOOK_EVERY:
            samples.append((now, dict(self._newest)))
        while len(samples) > 1 and now - samples[1][0] >= HELD.total_seconds():
            samples.popleft()
        return samples[0][1]
