"""What this process has claimed: rows that wait for a slot, and endings that wait for their commit.

One list under one lock, so that a row is either started or given back, never both.
"""

import heapq
import logging
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from tomqueue.errors import OutcomeUnknown, StoreError, StoreUnavailable
from tomqueue.job import Claimed
from tomqueue.service import boot_time
from tomqueue.store.base import Answer, Ending, Release, Store, Want
from tomqueue.transport.base import Delivery
from tomqueue.worker.attempt import Work
from tomqueue.worker.board import Board
from tomqueue.worker.finish import given_back

__all__ = ["Claims"]

DOUBT = 2.0
"""Seconds during which a claim whose COMMIT is in doubt may still appear (MECHANISMS: unknown COMMIT)."""


NO_DELIVERIES: Mapping[int, Delivery] = {}


@dataclass(frozen=True, slots=True)
class Doubt:
    """Rows that may have been claimed under a token, and until when that may still happen."""

    token: int
    ids: Sequence[int]
    until: float


class Claims:
    """Takes, starts, gives back and finishes rows. ``die`` ends the process when its lease is over."""

    def __init__(
        self,
        store: Store,
        board: Board,
        worker: int,
        logger: logging.Logger,
        report: Callable[[BaseException], None],
        *,
        keep_place: bool,
        die: Callable[[], None],
    ) -> None:
        self._store = store
        self._board = board
        self._worker = worker
        self._logger = logger
        self._report = report
        self._keep_place = keep_place
        self._die = die
        self._lock = threading.Lock()
        self._order = count()
        self._waiting: list[tuple[int, int, Work]] = []
        self._endings: list[Ending] = []
        self._ended_at = 0.0
        self._doubts: list[Doubt] = []
        self._counts: Counter[tuple[str, str]] = Counter()

    # Claiming -----------------------------------------------------------------------------------------

    def take(self, want: Want) -> int:
        """Finish what has ended and claim what ``want`` says, in one transaction; return how many were claimed."""
        self._check_lease()
        endings = self._swap_endings()
        recorded: list[int] = []
        token = secrets.randbits(62)

        def record(ids: Sequence[int]) -> None:
            recorded.extend(ids)
            with self._lock:
                self._board.record(ids)

        try:
            claimed, held = self._store.take(want, token, record, endings)
        except BaseException as error:
            self._put_back(endings)
            self._did_not_claim(recorded, token, error)
            raise
        self._settled(endings, held)
        self._add([Work(row) for row in claimed])
        return len(claimed)

    def claim(self, ids: Sequence[int], deliveries: Mapping[int, Delivery] = NO_DELIVERIES) -> dict[int, Answer]:
        """Claim rows by key, with the deliveries that told of them; return those that were not claimed, and why."""
        self._check_lease()
        token = secrets.randbits(62)
        with self._lock:
            self._board.record(ids)
        try:
            answers = self._store.claim(ids, self._worker, token)
        except BaseException as error:
            self._did_not_claim(ids, token, error)
            raise
        refused = {job: answer for job, answer in answers.items() if isinstance(answer, Answer)}
        self._forget(list(refused))
        self._add([Work(row, deliveries.get(job)) for job, row in answers.items() if isinstance(row, Claimed)])
        return refused

    def start(self) -> Work | None:
        """Take the most urgent waiting row out of the list, to start its job."""
        self._check_lease()
        with self._lock:
            return heapq.heappop(self._waiting)[2] if self._waiting else None

    def most_urgent(self) -> int | None:
        """Return the rank of the row that would start next; None when none waits."""
        waiting = self._waiting
        return waiting[0][0] if waiting else None

    def give_back(self, *, queue: str | None = None) -> list[Delivery]:
        """Give back, uncharged, what waits (of one queue); return the deliveries to requeue once that is committed."""
        with self._lock:
            gone = [entry for entry in self._waiting if queue is None or entry[2].claimed.queue == queue]
            self._waiting = [entry for entry in self._waiting if entry not in gone]
            heapq.heapify(self._waiting)
        for _, _, work in gone:
            self.ended(given_back(work.claimed, keep_place=self._keep_place))
        if gone:
            self.flush()
        return [work.delivery for _, _, work in gone if work.delivery is not None]

    # Finishing ----------------------------------------------------------------------------------------

    def ended(self, ending: Ending) -> None:
        """Take note of how a job ended; committed with the next take, or by the housekeeper soon."""
        with self._lock:
            if not self._endings:
                self._ended_at = boot_time()
            self._endings.append(ending)

    def done(self, job: Claimed) -> None:
        """Take note that a row is finished, or no longer ours."""
        with self._lock:
            self._board.forget(job.id)

    def flush(self, older_than: float = 0.0) -> None:
        """Commit the endings if the oldest has waited for that many seconds. Raises StoreError; none is lost."""
        if not self._endings or boot_time() - self._ended_at < older_than:
            return
        self._check_lease()
        endings = self._swap_endings()
        try:
            held = self._store.finish(endings)
        except (StoreUnavailable, OutcomeUnknown):
            self._put_back(endings)
            raise
        except StoreError:
            held = [self._finish_singly(ending) for ending in endings]
        except BaseException:
            self._put_back(endings)
            raise
        self._settled(endings, held)

    @property
    def unfinished(self) -> bool:
        """Whether anything still waits: rows for a slot, or endings for their commit."""
        return bool(self._waiting or self._endings)

    def resolve_doubts(self) -> None:
        """Free what claims of unknown outcome may have taken, until they can no longer appear."""
        doubts, self._doubts = self._doubts, []
        for doubt in doubts:
            try:
                self._store.undo(doubt.ids, doubt.token)
            except StoreError:
                self._doubts.append(doubt)
                raise
            if boot_time() < doubt.until:
                self._doubts.append(doubt)
            else:
                self._forget(doubt.ids)

    # Counting -----------------------------------------------------------------------------------------

    def count(self, queue: str, event: str) -> None:
        """Count an outcome."""
        self._counts[queue, event] += 1

    def take_counts(self) -> Counter[tuple[str, str]]:
        """Return the outcomes since the last call, by queue and event."""
        counts, self._counts = self._counts, Counter()
        return counts

    # Parts --------------------------------------------------------------------------------------------

    def _check_lease(self) -> None:
        if not self._board.has_lease():
            self._die()

    def _add(self, works: Sequence[Work]) -> None:
        with self._lock:
            for work in works:
                heapq.heappush(self._waiting, (work.claimed.priority, next(self._order), work))

    def _swap_endings(self) -> list[Ending]:
        with self._lock:
            endings, self._endings = self._endings, []
            return endings

    def _put_back(self, endings: list[Ending]) -> None:
        with self._lock:
            self._endings = endings + self._endings

    def _settled(self, endings: Sequence[Ending], held: Sequence[bool]) -> None:
        self._forget([ending.id for ending in endings])
        for ending, ours in zip(endings, held, strict=True):
            if not ours:
                self._logger.warning("job %d: this worker lost its claim; its outcome changed nothing", ending.id)

    def _forget(self, ids: Sequence[int]) -> None:
        with self._lock:
            for job in ids:
                self._board.forget(job)

    def _did_not_claim(self, ids: Sequence[int], token: int, error: BaseException) -> None:
        if isinstance(error, OutcomeUnknown):
            self._doubts.append(Doubt(token, list(ids), boot_time() + DOUBT))
        else:
            self._forget(ids)

    def _finish_singly(self, ending: Ending) -> bool:
        """Finish one row of a batch that the database refused; if its text is the trouble, without the text."""
        try:
            return self._store.finish([ending])[0]
        except StoreUnavailable:
            self._put_back([ending])
            raise
        except StoreError as error:
            if not isinstance(ending, Release):
                raise
            self._report(error)
            stub = f"(the error's text could not be stored: {type(error).__name__})"
            return self._store.finish([replace(ending, last_error=stub)])[0]
