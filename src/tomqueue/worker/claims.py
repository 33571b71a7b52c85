"""What this process has claimed: rows that wait for a slot, and endings that wait for their commit.

One list under one lock, so that a row is either started or given back, never both.
"""

import heapq
import logging
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import count
from operator import itemgetter

from tomqueue.crash_points import reached
from tomqueue.errors import OutcomeUnknown
from tomqueue.events import Events
from tomqueue.job import Claimed, checksum_of
from tomqueue.priority import nearest_rank
from tomqueue.service import boot_time
from tomqueue.store.base import Answer, Store, Want
from tomqueue.transport.base import Delivery
from tomqueue.worker.attempt import Work
from tomqueue.worker.board import Board
from tomqueue.worker.doubts import Doubts
from tomqueue.worker.endings import Ended, Endings
from tomqueue.worker.finish import given_back

__all__ = ["Claims"]

VERSION = "v1:"
TIED_AFTER = 0.01
"""Seconds that a tied ending waits at most for others, while tied jobs follow each other."""
NO_DELIVERIES: Mapping[int, Delivery] = {}


class Claims:
    """Takes, starts, gives back and finishes rows. ``die`` ends the process when its lease is over."""

    def __init__(
        self,
        store: Store,
        board: Board,
        worker: int,
        events: Events,
        logger: logging.Logger,
        *,
        report: Callable[[BaseException], None],
        keep_place: bool,
        die: Callable[[], None],
    ) -> None:
        self._store = store
        self._board = board
        self._worker = worker
        self._events = events
        self._keep_place = keep_place
        self._die = die
        self._lock = threading.Lock()
        self._order = count()
        self._waiting: list[tuple[int, int, Work]] = []
        self._endings = Endings(store, events, logger, report=report, forget=self._forget)
        self._doubts = Doubts(store, self._forget)
        self._running = 0
        self._suspect_runs = False

    # Claiming -----------------------------------------------------------------------------------------

    def take(self, want: Want) -> list[Claimed]:
        """Finish what has ended and claim what ``want`` says, in one transaction; return what was claimed."""
        self._check_lease()
        ended = self._endings.take_out(beside_claim=True)
        recorded: list[int] = []
        token = secrets.randbits(62)

        def record(ids: Sequence[int]) -> None:
            recorded.extend(ids)
            with self._lock:
                self._board.record(ids)

        try:
            claimed, held = self._store.take(want, token, record, [one.ending for one in ended])
        except BaseException as error:
            self._endings.put_back(ended, error)
            self._did_not_claim(recorded, token, error)
            raise
        if claimed:
            reached("worker.after_claim")
        # what lost its news is found again by its stamp: nothing needs to be published
        self._add([Work(row, keeps_place=want.before is not None) for row in claimed])
        # an attempt of the transaction that was rolled back and tried again may have chosen others
        self._forget(list((Counter(recorded) - Counter(row.id for row in claimed)).elements()))
        self._endings.settled(ended, held)
        return claimed

    def claim(self, ids: Sequence[int], deliveries: Mapping[int, Delivery] = NO_DELIVERIES) -> dict[int, Answer]:
        """Finish what has ended and claim rows by key, with the deliveries that told of them, in one transaction.

        Returns those that were not claimed, and why.
        """
        self._check_lease()
        ended = self._endings.take_out(beside_claim=True)
        token = secrets.randbits(62)
        with self._lock:
            self._board.record(ids)
        try:
            answers, held = self._store.finish_and_claim([one.ending for one in ended], ids, self._worker, token)
        except BaseException as error:
            self._endings.put_back(ended, error)
            self._did_not_claim(ids, token, error)
            raise
        reached("worker.after_claim")
        self._endings.settled(ended, held)
        refused = {job: answer for job, answer in answers.items() if isinstance(answer, Answer)}
        self._forget(list(refused))  # one that we hold already (the same news twice) stays on the board
        works = [Work(row, deliveries.get(job)) for job, row in answers.items() if isinstance(row, Claimed)]
        stays, moved = split(works, is_moved)
        self._add(stays)
        for work in moved:  # let go without its old news, so that fresh news follows
            self.put_back(work, acked=True)
            refused[work.claimed.id] = Answer.MOVED
        for work in stays:
            if is_changed(work):
                self._events.emit("news.differed", job=work.claimed)
        return refused

    def start(self) -> Work | None:
        """Take the most urgent waiting row out of the list, to start its job; ``ended_turn`` follows.

        A suspect starts only when nothing else runs in this process, and nothing starts beside it: if the process
        dies, it was the suspect.
        """
        self._check_lease()
        if self._endings.tied_since:
            self._let_follow()
        with self._lock:
            if not self._waiting or self._suspect_runs:
                return None
            if self._running and self._waiting[0][2].claimed.suspect:
                return None
            work = heapq.heappop(self._waiting)[2]
            self._running += 1
            self._suspect_runs = work.claimed.suspect
            return work

    def _let_follow(self) -> None:
        """Commit tied endings before the next job starts: another job may be waiting for that.

        Several of the same kind in a row are committed together, after a moment.
        """
        waiting = self._waiting
        if not (waiting and waiting[0][2].claimed.tied) or boot_time() - self._endings.tied_since > TIED_AFTER:
            self._endings.commit_tied()

    def may_start_other(self) -> bool:
        """Say whether work without a row may start, and count it; ``ended_turn`` follows. Not beside a suspect."""
        with self._lock:
            if self._suspect_runs:
                return False
            self._running += 1
            return True

    def ended_turn(self) -> None:
        """Take note that what was started does not run any more."""
        with self._lock:
            self._running -= 1
            self._suspect_runs = False

    def waiting(self) -> list[Claimed]:
        """Return the rows that wait for a slot."""
        with self._lock:
            return [work.claimed for _, _, work in self._waiting]

    def queues(self) -> set[str]:
        """Return the queues of the rows that wait."""
        with self._lock:
            return {work.claimed.queue for _, _, work in self._waiting}

    def most_urgent(self) -> int | None:
        """Return the rank of the row that would start next; None when none waits."""
        waiting = self._waiting
        return waiting[0][0] if waiting else None

    def give_back(self, *, queue: str | None = None) -> None:
        """Give back, uncharged, what waits (of one queue). Raises StoreError; then it is committed later.

        ``take_returned`` has the deliveries to requeue, as soon as it is committed.
        """
        self._give_back(lambda row: queue is None or row.queue == queue)

    def withdraw(self, cancelled: Collection[tuple[int, int]]) -> None:
        """Give back, as ``give_back`` does, what waits and is cancelled: ids, and the tokens of their claims."""
        self._give_back(lambda row: (row.id, row.token) in cancelled)

    def _give_back(self, meant: Callable[[Claimed], bool]) -> None:
        with self._lock:
            gone = [entry for entry in self._waiting if meant(entry[2].claimed)]
            if gone:
                self._waiting = [entry for entry in self._waiting if not meant(entry[2].claimed)]
                heapq.heapify(self._waiting)
        for _, _, work in sorted(gone, key=itemgetter(0, 1)):
            self.put_back(work)
        if gone:
            reached("worker.in_give_back")
        self.flush()

    def take_returned(self) -> list[Delivery]:
        """Return the deliveries of rows that are given back, in the order of the rows."""
        return self._endings.take_returned()

    def put_back(self, work: Work, *, acked: bool = False) -> None:
        """Let the row of a job that did not run go, uncharged; with an open delivery it keeps its place by that."""
        delivery = None if acked else work.delivery
        keep_place = self._keep_place or work.keeps_place or delivery is not None
        ending = given_back(work.claimed, keep_place=keep_place)
        self.ended(Ended(job=work.claimed, ending=ending, delivery=delivery))

    # Finishing ----------------------------------------------------------------------------------------

    def ended(self, ended: Ended) -> None:
        """Take note of how a job ended; committed with the next take, or by the housekeeper soon."""
        self._endings.add(ended)

    def committed(self, ended: Ended) -> None:
        """Take note of how a job ended that has committed this itself."""
        self.done(ended.job)
        self._endings.tell([ended])

    def done(self, job: Claimed) -> None:
        """Take note that a row is finished, or no longer ours."""
        self._forget([job.id])

    def flush(self, older_than: float = 0.0) -> None:
        """Commit the endings if the oldest has waited for that many seconds. Raises StoreError; none is lost."""
        if self._endings:
            self._check_lease()
            self._endings.commit(older_than)

    @property
    def unfinished(self) -> bool:
        """Whether anything still waits: rows for a slot, or endings for their commit."""
        return bool(self._waiting or self._endings)

    def take_counts(self) -> Counter[tuple[str, str]]:
        """Return the outcomes since the last call, by queue and event."""
        return self._endings.take_counts()

    def put_counts_back(self, counts: Counter[tuple[str, str]]) -> None:
        """Count again what could not be written."""
        self._endings.put_counts_back(counts)

    def resolve_doubts(self) -> None:
        """Free what claims of unknown outcome may have taken, until they can no longer appear."""
        self._doubts.resolve()

    # Parts --------------------------------------------------------------------------------------------

    def _check_lease(self) -> None:
        if not self._board.has_lease():
            self._die()

    def _add(self, works: Sequence[Work]) -> None:
        with self._lock:
            for work in works:
                heapq.heappush(self._waiting, (work.claimed.rank, next(self._order), work))

    def _forget(self, ids: Sequence[int]) -> None:
        with self._lock:
            for job in ids:
                self._board.forget(job)

    def _did_not_claim(self, ids: Sequence[int], token: int, error: BaseException) -> None:
        if isinstance(error, OutcomeUnknown):
            self._doubts.add(ids, token)
        else:
            self._forget(ids)


def split(works: Iterable[Work], apart: Callable[[Work], bool]) -> tuple[list[Work], list[Work]]:
    """Return those that stay, and those that are set apart."""
    sides: tuple[list[Work], list[Work]] = [], []
    for work in works:
        sides[apart(work)].append(work)
    return sides


def is_moved(work: Work) -> bool:
    """Say whether the row was given another queue or priority since its news was sent."""
    if work.delivery is None:
        return False
    row, news = work.claimed, work.delivery.notification
    return row.queue != news.queue or nearest_rank(row.rank) != news.priority


def is_changed(work: Work) -> bool:
    """Say whether the row is another than its news told of; the checksum of another version is no opinion."""
    told = "" if work.delivery is None else work.delivery.notification.checksum
    row = work.claimed
    return told.startswith(VERSION) and told != checksum_of(row.id, row.queue, row.rank, row.name, row.payload)
