"""Where work comes from: deliveries, the database asked in turn, what a dead neighbour left; and messages."""

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime

from tomqueue.crash_points import reached
from tomqueue.service import boot_time
from tomqueue.store.base import Answer, Store
from tomqueue.transport.base import Consumer, Delivery, Notification
from tomqueue.worker.attempt import Work
from tomqueue.worker.batch import BatchSize
from tomqueue.worker.board import Board
from tomqueue.worker.claims import Claims
from tomqueue.worker.looks import ALL, DUE_LOOK_EVERY, Looks
from tomqueue.worker.lost_news import LostNews
from tomqueue.worker.messages import Handling, Messages
from tomqueue.worker.queues import Queues
from tomqueue.worker.slot import Slot
from tomqueue.worker.turns import Turns

__all__ = ["Intake"]

LOOK_EVERY = 0.02
"""Seconds after which claimed-ahead work is no longer begun before a look for something more urgent."""
ALONE_PAUSE = 0.02
LISTEN = 0.1
"""Seconds that a worker which let its news go, and has a free slot again, listens before it looks elsewhere."""
YOUNG = 2.0
"""News of a row that is not there is looked at once more while it is younger: its commit may be just arriving."""
LOOK_AGAIN_AFTER = 0.5


class Intake:
    """Gives each slot its next work, the most urgent that is known. ``idle`` is called when there is nothing at all.

    ``thorough`` makes sure of that, at the cost of more looks: for a worker that ends then.
    """

    def __init__(
        self,
        store: Store,
        claims: Claims,
        consumer: Consumer,
        queues: Queues,
        board: Board,
        *,
        messages: Messages,
        looks: Looks,
        lost: LostNews,
        batch: BatchSize,
        now: Callable[[], datetime],
        idle: Callable[[], None],
        thorough: bool,
    ) -> None:
        self._store = store
        self._claims = claims
        self._consumer = consumer
        self._messages = messages
        self._looks = looks
        self._lost = lost
        self._turns = Turns(claims, messages)
        self._queues = queues
        self._board = board
        self._batch = batch
        self._now = now
        self._idle = idle
        self._thorough = thorough
        self._looking = threading.Lock()
        self._looked_at = 0.0
        self._let_go = False
        self._second_looks: deque[tuple[float, Delivery]] = deque()
        self._halt = threading.Event()

    def next(self, slot: Slot) -> Work | Handling | None:  # noqa: ARG002 - any slot may take any work
        """Return the work to start now; waits a moment for it when there is none."""
        self._messages.resume()
        work = self._start()
        if work is not None or self._halt.is_set():
            return work
        with self._looking:  # one thread looks; the others wait here for what it finds
            work = self._start()
            if work is not None or self._halt.is_set():
                return work
            if self._claims.most_urgent() is not None:  # a suspect runs, or waits to run, alone
                self._halt.wait(ALONE_PAUSE)
                return None
            if not self._fill(ALL) and not self._look_though_served():
                if not self._second_looks:
                    self._idle()
                self._consumer.wait(self._pause())
        return self._start()

    def stop(self) -> None:
        """Let no further job start, and end every wait."""
        self._halt.set()
        self._consumer.wake()

    def give_back(self, queue: str | None = None) -> None:
        """Give back what waits for a slot. Raises StoreError; what is not given back then is later."""
        self._claims.give_back(queue=queue)
        self.requeue_returned()

    def requeue_returned(self) -> None:
        """Give back the news of the rows that are given back by now."""
        for delivery in reversed(self._claims.take_returned()):  # each goes to the head of its queue
            reached("worker.before_requeue")
            self._requeue(delivery)
        self._unannounce(self._consumer.doubtful())

    def _requeue(self, delivery: Delivery) -> None:
        if not self._consumer.requeue(delivery):
            self._unannounce([delivery.notification])

    def _unannounce(self, news: Iterable[Notification]) -> None:
        """Have rows announced again that wait, and whose news may be nowhere any more."""
        for one in news:
            self._store.unannounce([one.job_id], one.stamp)

    def let_go(self) -> None:
        """Give back all that waits, and hold no news: others may have a free slot."""
        self._messages.suspend()
        self.give_back()
        self._consumer.suspend()
        self._let_go = True

    def ended_turn(self) -> None:
        """Take note that a slot is free again."""
        self._claims.ended_turn()

    def put_back(self, work: Work) -> None:
        """Give back one that was taken to be started and did not run."""
        self._claims.put_back(work, acked=True)

    def _start(self) -> Work | Handling | None:
        if self._halt.is_set():
            return None
        if handed := self._board.take_handed():
            self._take_over(handed)
        urgency = self._turns.urgency()
        if urgency and self._may_find_more_urgent(urgency) and self._looking.acquire(blocking=False):
            try:
                self._fill(urgency)
            finally:
                self._looking.release()
        work = self._turns.start()
        if isinstance(work, Work) and work.delivery is not None:
            self._consumer.ack(work.delivery)
        return work

    def _take_over(self, handed: Sequence[int]) -> None:
        """Claim what a dead neighbour left; what somebody touches just now once more with the next start."""
        busy: Collection[int] = handed
        try:
            refused = self._claims.claim(handed)
            busy = {job for job, answer in refused.items() if answer is Answer.BUSY}
        finally:
            self._board.handed_done(set(handed).difference(busy))
            if busy:
                self._board.keep_handed()
        for queue in self._claims.queues() - set(self._queues.active()):  # paused meanwhile, or another's
            self.give_back(queue)

    def _may_find_more_urgent(self, urgency: int) -> bool:
        """Say whether something may have arrived that goes before what was claimed ahead."""
        if self._consumer.asks_database:
            return boot_time() - self._looked_at > LOOK_EVERY or self._looks.seen < urgency
        return self._has_arrived(urgency) or self._lost.is_due

    def _has_arrived(self, below: int) -> bool:
        arrived = self._consumer.most_urgent()
        return arrived is not None and arrived < below

    def _fill(self, below: int) -> int:
        """Claim work more urgent than ``below``; return how much."""
        self._looked_at = boot_time()
        if self._consumer.asks_database:
            return self._receive(below) + self._looks.take(below)
        if below == ALL:
            self._listen()
        found = self._receive(below) if self._lost.gives_way() else 0
        return found or self._lost.take(below) or self._receive(below)

    def _listen(self) -> None:
        """Hear first what is most urgent now, if the news was let go while no slot was free."""
        if self._let_go:
            self._let_go = False
            self._consumer.wait(LISTEN)

    def _look_though_served(self) -> int:
        """Look into the database although the broker serves us, and has nothing."""
        if self._consumer.asks_database:
            return 0
        if self._thorough:
            return self._looks.take(ALL)
        self._looks.announce_seldom()
        return self._lost.take(ALL, idle=True)

    # Deliveries ---------------------------------------------------------------------------------------

    def _receive(self, below: int) -> int:
        """Claim what deliveries tell of, until there is something to start or no delivery is left."""
        wanted = self._batch.size()
        while not self._halt.is_set() and (below == ALL or self._has_arrived(below)):
            deliveries = self._again(below) or self._consumer.receive(min(wanted, self._board.room))
            self._lost.heard(deliveries)
            if not deliveries:
                return 0
            reached("worker.after_delivery")
            found = self._claim(deliveries)
            if found:
                return found
            wanted *= 2  # news of jobs that are over comes in crowds: after the broker was blocked, for example
        return 0

    def _claim(self, deliveries: Sequence[Delivery]) -> int:
        """Claim the rows of deliveries; return how many there are to start, now or in a moment."""
        first: dict[int, Delivery] = {}
        for delivery in deliveries:
            if first.setdefault(delivery.notification.job_id, delivery) is not delivery:
                self._consumer.ack(delivery)  # the same news twice
        try:
            refused = self._claims.claim(list(first), first)
        except BaseException:
            for delivery in reversed(first.values()):
                self._consumer.requeue(delivery)
            raise
        for job, answer in reversed(refused.items()):  # each goes to the head of its queue
            self._refused(first[job], answer)
        busy = sum(answer is Answer.BUSY for answer in refused.values())
        return len(first) - len(refused) + busy

    def _refused(self, delivery: Delivery, answer: Answer) -> None:
        """Settle the news of a row that could not be claimed."""
        news = delivery.notification
        if answer is Answer.BUSY:
            self._requeue(delivery)
            return
        if answer is Answer.GONE and (self._now() - news.stamp).total_seconds() < YOUNG:
            self._second_looks.append((boot_time() + LOOK_AGAIN_AFTER, delivery))
            return
        if answer is Answer.NOT_DUE:  # somebody gave it another time: it is announced when that has come
            self._unannounce([news])
        self._consumer.ack(delivery)

    def _again(self, below: int) -> list[Delivery]:
        """Return deliveries whose second look is due, and which tell of something more urgent than ``below``."""
        if not self._second_looks:
            return []
        now = boot_time()
        due = [one for one in self._second_looks if one[0] <= now and one[1].notification.priority < below]
        again = due[: self._board.room]
        for one in again:
            self._second_looks.remove(one)
        return [delivery for _, delivery in again]

    def _pause(self) -> float:
        if self._second_looks:
            return LOOK_AGAIN_AFTER
        return self._looks.until_due() if self._consumer.asks_database else DUE_LOOK_EVERY
