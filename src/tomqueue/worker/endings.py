"""Jobs that have ended, until that is committed: only then is it counted and told."""

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tomqueue.crash_points import reached
from tomqueue.errors import OutcomeUnknown, StoreError, StoreUnavailable
from tomqueue.events import Events
from tomqueue.job import Claimed
from tomqueue.service import boot_time
from tomqueue.store.base import Ending, Hold, Release, Store
from tomqueue.transport.base import Delivery

__all__ = ["Ended", "Endings"]


@dataclass(slots=True, kw_only=True)
class Ended:
    """What becomes of a job's row, and the event that tells of it (None: the job did not run).

    Not frozen, as others that are made for each job: that would take several times as long to make.
    """

    job: Claimed
    ending: Ending
    event: str | None = None
    error: BaseException | None = None
    delivery: Delivery | None = None
    """The news of a row that is given back: it goes back as well, once that is committed."""
    alone: bool = False
    """Whether its commit failed before: it is tried again without a claim beside it that it could spoil."""
    in_doubt: bool = False
    """Whether it may be committed already, so that a row which is not ours any more counts as done."""


class Endings:
    """Commits how jobs ended, in batches. None is lost while the database is away, or refuses one of them.

    ``forget`` is called with the ids of rows that this process holds no longer.
    """

    def __init__(
        self,
        store: Store,
        events: Events,
        logger: logging.Logger,
        *,
        report: Callable[[BaseException], None],
        forget: Callable[[Sequence[int]], None],
    ) -> None:
        self._store = store
        self._events = events
        self._logger = logger
        self._report = report
        self._forget = forget
        self._lock = threading.Lock()
        self._waiting: list[Ended] = []
        self._since = 0.0
        self.tied_since = 0.0
        """Since when the first tied one waits that was not tried yet; 0 when there is none."""
        self._counts: Counter[tuple[str, str]] = Counter()
        self._returned: list[Delivery] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, ended: Ended) -> None:
        """Take note of how a job ended."""
        with self._lock:
            if not self._waiting:
                self._since = boot_time()
            self._waiting.append(ended)
            if ended.ending.tied and not self.tied_since:
                self.tied_since = boot_time()

    def take_out(self, *, beside_claim: bool = False) -> list[Ended]:
        """Take out all that wait, for a transaction that commits them; or those that may stand beside a claim."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
            if beside_claim:
                self._waiting = [one for one in waiting if one.alone or one.ending.tied]
                return [one for one in waiting if not (one.alone or one.ending.tied)]
            self.tied_since = 0.0
            return waiting

    def take_out_tied(self) -> list[Ended]:
        """Take out those that are tied: others may be waiting for what follows them."""
        with self._lock:
            tied = [one for one in self._waiting if one.ending.tied]
            self._waiting = [one for one in self._waiting if not one.ending.tied]
            self.tied_since = 0.0
            return tied

    def put_back(self, ended: Sequence[Ended], error: BaseException) -> None:
        """Let what ``error`` kept from being committed wait again."""
        unknown = isinstance(error, OutcomeUnknown)
        again = [replace(one, alone=True, in_doubt=one.in_doubt or unknown) for one in ended]
        with self._lock:
            self._waiting = [*again, *self._waiting]

    def settled(self, ended: Sequence[Ended], held: Sequence[Hold]) -> None:
        """Take note of what was committed; ``held`` says for each whether its row was still ours."""
        if ended:
            reached("worker.after_finish")
        self._forget([one.job.id for one in ended])
        if deliveries := [one.delivery for one in ended if one.delivery is not None]:
            with self._lock:
                self._returned += deliveries
        ours: list[Ended] = []
        lost: list[Ended] = []
        for one, hold in zip(ended, held, strict=True):
            if hold is Hold.CANCELLED:
                ours.append(replace(one, event="job.cancelled"))
            else:
                (ours if hold or one.in_doubt else lost).append(one)
        self._retake_keys(ended)
        self.tell(ours)
        for one in lost:
            self._logger.warning("job %d: this worker lost its claim; its outcome changed nothing", one.job.id)
            if one.event is not None:
                self._events.emit("job.claim_lost", job=one.job)

    def _retake_keys(self, ended: Sequence[Ended]) -> None:
        """Let unique jobs that go on hold their keys again; one whose key is another job's by now goes on without."""
        again = {
            one.job.id: one.job
            for one in ended
            if one.job.unique_key is not None and isinstance(one.ending, Release) and not one.ending.failed
        }
        if not again:
            return
        try:
            without = self._store.retake_keys(list(again))
        except StoreError as error:  # they are committed, and run; another job of their key may come in beside them
            self._report(error)
            return
        for job_id, holder in without.items():
            by = "another job, which is just being enqueued" if holder is None else f"job {holder}"
            what = (job_id, again[job_id].name, by)
            self._logger.info("job %d %s: its unique key is held by %s; it goes on without it", *what)

    def tell(self, ended: Iterable[Ended]) -> None:
        """Count outcomes that are committed, and emit their events."""
        outcomes = [(one, one.event) for one in ended if one.event is not None]
        with self._lock:
            for one, event in outcomes:
                self._counts[one.job.queue, event] += 1
        for one, event in outcomes:
            details: dict[str, Any] = {} if one.error is None else {"error": one.error}
            self._events.emit(event, job=one.job, **details)

    def take_counts(self) -> Counter[tuple[str, str]]:
        """Return the outcomes since the last call, by queue and event."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            return counts

    def put_counts_back(self, counts: Counter[tuple[str, str]]) -> None:
        """Count again what could not be written."""
        with self._lock:
            self._counts.update(counts)

    def take_returned(self) -> list[Delivery]:
        """Return the deliveries of rows whose giving back is committed since the last call, in the rows' order."""
        with self._lock:
            returned, self._returned = self._returned, []
            return returned

    def commit(self, older_than: float) -> None:
        """Commit what waits if the oldest has waited for that many seconds. Raises StoreError; none is lost."""
        self.commit_tied()
        if self._waiting and boot_time() - self._since >= older_than:
            self._commit(self.take_out())

    def commit_tied(self) -> None:
        """Commit tied ones at once, if any was added since the last try. Raises StoreError; none is lost."""
        if self.tied_since and (ended := self.take_out_tied()):
            self._commit(ended)

    def _commit(self, ended: list[Ended]) -> None:
        reached("worker.before_flush")
        try:
            held = self._store.finish([one.ending for one in ended])
        except (StoreUnavailable, OutcomeUnknown) as error:
            self.put_back(ended, error)
            raise
        except Exception:  # noqa: BLE001 - one of them is the trouble, and says so alone
            self._commit_singly(deque(ended))
        except BaseException as error:
            self.put_back(ended, error)
            raise
        else:
            self.settled(ended, held)

    def _commit_singly(self, ended: deque[Ended]) -> None:
        """Commit one by one what was refused together, so that only the one that is the trouble waits."""
        trouble: Exception | None = None
        while ended:
            one = ended.popleft()
            try:
                self._commit_one(one)
            except Exception as error:  # noqa: BLE001 - raised when the others are through
                self.put_back([one], error)
                trouble = error
            except BaseException as error:
                self.put_back([one, *ended], error)
                raise
        if trouble is not None:
            raise trouble

    def _commit_one(self, one: Ended) -> None:
        """Commit one; if its text is the trouble, without the text."""
        try:
            held = self._store.finish([one.ending])
        except (StoreUnavailable, OutcomeUnknown):
            raise
        except StoreError as error:
            plain = without_text(one.ending, f"could not be stored: {type(error).__name__}")
            if plain is None:
                raise
            self._report(error)
            held = self._store.finish([plain])
        self.settled([one], held)


def without_text(ending: Ending, why: str) -> Ending | None:
    """Return an ending without the text that it brings along; None when it brings none."""
    if isinstance(ending, Release):
        return None if ending.last_error is None else replace(ending, last_error=f"(the error's text {why})")
    if ending.result is None and ending.error is None:
        return None
    return replace(ending, result=None, error=f"(the result, or why there is none, {why})")
