"""What goes on in a worker process beside its jobs: a guard that never waits, and a keeper that may.

Both look every 50 ms, less often while the process is idle.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from tomqueue.errors import JobInterrupted, JobTimeout, StoreError
from tomqueue.service import Repeating, boot_time
from tomqueue.store.catalog import Catalog
from tomqueue.store.stats import StatsRow
from tomqueue.worker.batch import BatchSize
from tomqueue.worker.board import Board
from tomqueue.worker.cancels import Cancels
from tomqueue.worker.claims import Claims
from tomqueue.worker.clock import DatabaseClock
from tomqueue.worker.intake import Intake
from tomqueue.worker.pruner import Pruner
from tomqueue.worker.queues import Queues
from tomqueue.worker.slot import Slot
from tomqueue.worker.watchdog import Watchdog

__all__ = ["TIME_TO_UNWIND", "Housekeeper"]

TICK = 0.05
IDLE_TICK = 0.2
LONGEST_PAUSE = 5.0
FLUSH_AFTER = 0.1
"""A finished job's row waits at most this long for its commit."""
HOARD = 0.25
"""With no free slot for so long, what is claimed ahead is given back to those that have one."""
TIME_TO_UNWIND = 2.0
"""Before the end of the grace time a running job is interrupted, so that it can clean up."""
STATS_KEPT = timedelta(days=8)
PRUNE_EVERY = 3600.0
PRUNE_PIECE = 1000
"""Counters and workflows that are deleted at once, once an hour; while there are more, with each look at the clock."""
COLUMNS = {"job.finished": "finished", "job.retried": "retried", "job.failed": "failed"}


class Housekeeper:
    """Flushes endings, gives back what lies too long, interrupts what is to end, keeps counters and the clock.

    It also writes the progress of jobs, and deletes what is kept for a while only.

    ``orphaned`` says whether the supervisor is gone; ``drain`` lets no further job start (it is called again and
    again once the board says so); ``die`` ends the process at once.
    """

    def __init__(
        self,
        *,
        slots: Sequence[Slot],
        claims: Claims,
        intake: Intake,
        queues: Queues,
        catalog: Catalog,
        clock: DatabaseClock,
        board: Board,
        batch: BatchSize,
        watchdog: Watchdog | None,
        write_progress: Callable[[], None],
        pruner: Pruner,
        every: float,
        report: Callable[[BaseException], None],
        orphaned: Callable[[], bool],
        drain: Callable[[], None],
        die: Callable[[], None],
    ) -> None:
        self._slots = slots
        self._claims = claims
        self._cancels = Cancels(slots, claims, catalog)
        self._intake = intake
        self._queues = queues
        self._catalog = catalog
        self._clock = clock
        self._board = board
        self._batch = batch
        self._watchdog = watchdog
        self._every = every
        self._write_progress = write_progress
        self._pruner = pruner
        self._orphaned = orphaned
        self._drain = drain
        self._die = die
        self._seldom_at = boot_time()
        self._prune_at = 0.0
        self._let_go = False
        self._away = 0.0
        self._guard = Repeating("tomqueue-guard", self._watch, interval=self._guard_pause, report=report)
        self._keeper = Repeating("tomqueue-keeper", self._keep, interval=self._pause, report=report)

    def start(self) -> None:
        """Begin."""
        self._guard.start()
        self._keeper.start()

    def stop(self) -> None:
        """End, and commit what is left. Raises StoreError when the database does not take it."""
        self.halt()
        self._claims.flush()
        self._write_counts()

    def halt(self) -> None:
        """End, whatever is left."""
        self._keeper.stop()
        self._guard.stop()
        if self._watchdog is not None:
            self._watchdog.stop()

    def _watch(self) -> None:
        """Do what must happen in time, and needs neither the database nor a lock that is held across it."""
        if self._orphaned() or not self._board.has_lease():
            self._die()
        if self._watchdog is not None:
            self._watchdog.rearm()
        if self._board.drain_by:
            self._drain()
        self._interrupt_overdue()

    def _keep(self) -> None:
        """Do what may have to wait for the database; while it is away, ever less often."""
        try:
            self._keep_once()
            self._away = 0.0
        except StoreError:
            self._away = min(self._away * 2 or TICK, LONGEST_PAUSE)
            raise

    def _keep_once(self) -> None:
        self._give_back_hoard()
        self._claims.flush(FLUSH_AFTER)
        self._intake.requeue_returned()
        self._claims.resolve_doubts()
        self._cancels.look()
        self._queues.refresh()
        self._write_progress()
        if boot_time() - self._seldom_at > self._every:
            self._seldom_at = boot_time()
            self._clock.refresh()
            self._write_counts()
            self._prune_counts()
            if self._idle():
                self._catalog.rest()
        self._pruner.step()

    def _prune_counts(self) -> None:
        if boot_time() < self._prune_at:
            return
        before = self._clock.now() - STATS_KEPT
        stats = self._catalog.stats.prune(before, PRUNE_PIECE)
        if max(stats, self._catalog.workflows.prune(before, PRUNE_PIECE)) < PRUNE_PIECE:
            self._prune_at = boot_time() + PRUNE_EVERY

    def _idle(self) -> bool:
        return not self._claims.unfinished and all(slot.job is None for slot in self._slots)

    def _guard_pause(self) -> float:
        busy = any(slot.job is not None for slot in self._slots)
        return TICK if busy or self._board.drain_by else IDLE_TICK

    def _pause(self) -> float:
        if self._away:
            return self._away
        return IDLE_TICK if self._idle() and not self._board.drain_by else TICK

    def _interrupt_overdue(self) -> None:
        now = boot_time()
        drain_by = self._board.drain_by
        for slot in self._slots:
            job = slot.job  # before its deadline, and named below: by then another may run here
            if job is None:
                continue
            if now > slot.deadline:
                slot.interrupt(JobTimeout, job)
            elif drain_by and now > drain_by - TIME_TO_UNWIND:
                slot.interrupt(JobInterrupted, job)

    def _give_back_hoard(self) -> None:
        now = boot_time()
        if not all(slot.job is not None and now - slot.since > HOARD for slot in self._slots):
            self._let_go = False
            return
        if self._claims.most_urgent() is not None:
            self._batch.slow()
        elif self._let_go:
            return
        self._let_go = True
        self._intake.let_go()

    def _write_counts(self) -> None:
        counts = self._claims.take_counts()
        minute = self._clock.now().astimezone(UTC).replace(second=0, microsecond=0)
        rows = [
            stats_row(minute, queue, {event: number for (one, event), number in counts.items() if one == queue})
            for queue in sorted({queue for queue, _ in counts})
        ]
        if not rows:
            return
        try:
            self._catalog.stats.add(rows)
        except StoreError:
            self._claims.put_counts_back(counts)
            raise


def stats_row(minute: datetime, queue: str, numbers: dict[str, int]) -> StatsRow:
    """Return the counters of one queue; outcomes that have no column (snoozed, parked) are not kept."""
    kept = {column: numbers.get(event, 0) for event, column in COLUMNS.items()}
    return StatsRow(minute=minute, queue=queue, **kept)
