"""A worker: turns its stack until it is told to stop."""

import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tomqueue.errors import JobInterrupted, LeaseLost, StoreError
from tomqueue.priority import nearest_rank
from tomqueue.service import boot_time
from tomqueue.stack import Layer
from tomqueue.store.admissions import Admissions
from tomqueue.store.base import Announced
from tomqueue.store.checkpoints import CheckpointTable
from tomqueue.store.parked import unpark
from tomqueue.store.pruning import Pruning
from tomqueue.transport.announcer import Announcer
from tomqueue.transport.base import Wanted
from tomqueue.worker.attempt import Attempt
from tomqueue.worker.batch import BatchSize
from tomqueue.worker.board import Board, Leaving
from tomqueue.worker.checkpoints import OwnCheckpoints
from tomqueue.worker.claim import Claim
from tomqueue.worker.claims import Claims
from tomqueue.worker.clock import DatabaseClock
from tomqueue.worker.error_handling import ErrorHandling
from tomqueue.worker.housekeeper import Housekeeper
from tomqueue.worker.intake import Intake
from tomqueue.worker.invoke import Invoke
from tomqueue.worker.loading import Loading
from tomqueue.worker.looks import Looks
from tomqueue.worker.loop import LoopThread
from tomqueue.worker.lost_news import LostNews
from tomqueue.worker.messages import Messages
from tomqueue.worker.options import WorkerOptions
from tomqueue.worker.policies import Policies
from tomqueue.worker.pop import Pop
from tomqueue.worker.pruner import Pruner
from tomqueue.worker.queues import Queues
from tomqueue.worker.scheduler import Scheduler
from tomqueue.worker.slot import Slot
from tomqueue.worker.slots import Slots
from tomqueue.worker.stack import worker_stack
from tomqueue.worker.timeout import Timeout
from tomqueue.worker.tools import Tools
from tomqueue.worker.watchdog import Watchdog

__all__ = ["Worker"]

SETTLE_EVERY = 0.5
STATM = Path("/proc/self/statm")


class Worker:
    """Runs jobs in the calling thread (one slot) or in threads, until ``stop``.

    ``board`` is shared with the supervisor, ``worker`` is the id of this process start in the leases table.
    ``orphaned`` says whether the supervisor is gone, ``die`` ends the process at once; one that shares its process
    with the application has none, and abandons its jobs. ``uses_signals`` says whether the one slot, in the main
    thread, may take SIGALRM to end blocking calls. ``watch`` is a layer just inside Claim, outside of the
    application's.
    """

    def __init__(
        self,
        tools: Tools,
        board: Board,
        worker: int,
        options: WorkerOptions,
        *,
        watchdog: Watchdog | None = None,
        orphaned: Callable[[], bool] = lambda: False,
        die: Callable[[], None] | None = None,
        uses_signals: bool = True,
        watch: Layer[Attempt, bool] | None = None,
    ) -> None:
        die = die or self.abandon
        self._uses_signals = uses_signals
        self._watch = watch
        self._tools = tools
        self._board = board
        self._options = options
        self._halt = threading.Event()
        settings, store = tools.settings, tools.store
        self._clock = DatabaseClock(store.now)
        self._batch = BatchSize(settings.batch_seconds, settings.max_batch)
        self._queues = Queues(options.queues, tools.catalog.queues.states, self._paused)
        self._consumer = tools.transport.consumer(self._queues.active, options.ranks)
        self._messages = self._open_messages()
        keep_place = not tools.transport.pushes
        self._claims = Claims(
            store, board, worker, tools.events, tools.logger,
            report=tools.reporting.report, keep_place=keep_place, die=die,
        )  # fmt: skip
        self._intake = self._make_intake(worker)
        self._scheduler = Scheduler(tools, self._clock.now)
        self._loop = LoopThread()
        self._checkpoints = OwnCheckpoints(CheckpointTable(store), settings.max_checkpoint_bytes)
        self._turn = self._stack(Policies(settings, keep_place=keep_place))
        self._slots: list[Slot] = []
        self._housekeeper = Housekeeper(
            slots=self._slots, claims=self._claims, intake=self._intake, queues=self._queues, catalog=tools.catalog,
            clock=self._clock, board=board, batch=self._batch, write_progress=self._checkpoints.write_progress,
            pruner=Pruner(Pruning(store), self._clock.now), watchdog=watchdog, every=settings.heartbeat,
            report=tools.reporting.report, orphaned=orphaned, drain=self.stop, die=die,
        )  # fmt: skip

    def run(self) -> None:
        """Work until stopped; then finish what runs, give back the rest, and commit everything.

        Raises StoreError when the last outcomes cannot be committed: their rows stay claimed until the lease ends.
        """
        self._know_queues()
        self._schedule()
        self._queues.refresh()
        self._unpark()
        self._tools.events.emit("worker.started")
        self._board.ready = True
        try:
            self._make_slots().run(self._options.threads, self._housekeeper.start)
        finally:
            self._wind_up()
        self._tools.events.emit("worker.stopped")

    def stop(self, reason: Leaving = Leaving.DRAINED) -> None:
        """Start no further job; ``run`` returns when those that run have ended.

        Not for a signal handler, which could wait for a lock of its own thread: there, set the board's ``drain_by``.
        """
        self._board.leave(reason, boot_time() + self._tools.settings.grace)
        self._halt.set()
        self._intake.stop()
        self._messages.drain()

    def abandon(self) -> NoReturn:
        """End without touching a row, as far as a thread can. Raises LeaseLost.

        Its jobs are interrupted, and what they would have written is never committed.
        """
        self.stop()
        for slot in self._slots:
            if (job := slot.job) is not None:
                slot.interrupt(JobInterrupted, job)
        raise LeaseLost("the lease of this in-process worker is over: others may run what it had claimed")

    def _wind_up(self) -> None:
        """Give back what did not run, commit everything, and end every thread and connection of this worker's own."""
        self.stop()
        try:
            self._scheduler.stop()
            self._messages.close()
            self._settle()
            self._consumer.close()
            self._settle()  # what the broker may not have taken back
        finally:
            self._housekeeper.halt()
            self._tools.publisher.close()
            self._loop.close()

    def _make_intake(self, worker: int) -> Intake:
        """Put together what brings work in: the news, and the looks into the database."""
        store, board, claims, queues, now = self._tools.store, self._board, self._claims, self._queues, self._clock.now
        thorough, ranks = self._options.until_idle, self._options.ranks
        looks = Looks(
            store, claims, queues, board,
            worker=worker, batch=self._batch, now=now, announce=self._announce(), ranks=ranks, thorough=thorough,
        )  # fmt: skip
        lost = LostNews(
            claims, self._consumer, queues, board, self._tools.events,
            worker=worker, batch=self._batch, now=now, ranks=ranks,
        )  # fmt: skip
        return Intake(
            store, claims, self._consumer, queues, board, messages=self._messages, looks=looks, lost=lost,
            batch=self._batch, now=now, idle=self._idle, thorough=thorough,
        )  # fmt: skip

    def _make_slots(self) -> Slots:
        return Slots(
            self._board, self._turn, self._slots, halt=self._halt, worked=self._recycle_if_due,
            measured=self._batch.measured, every=self._tools.settings.batch_seconds / 4,
            uses_signals=self._uses_signals,
        )  # fmt: skip

    def _open_messages(self) -> Messages:
        """Open what the consumers of the queues that we serve need; none when we are to stop once no job is ready."""
        tools, options = self._tools, self._options
        consumers = [one for one in tools.consumers if not options.queues or one.queue in options.queues]
        consumers = [one for one in consumers if one.priority.rank in options.ranks]
        mailbox = None
        if consumers and not options.until_idle:
            wanted = Wanted(
                consumers=consumers, queues=self._queues.active, slots=options.threads, arrived=self._consumer.wake
            )
            mailbox = tools.transport.mailbox(wanted)
            if mailbox is None:
                names = ", ".join(one.name for one in consumers)
                tools.logger.warning("no messages come to %s: there is no broker, set broker_url", names)
        return Messages(mailbox, tools.events, tools.logger, tools.reporting)

    def _know_queues(self) -> None:
        """See that consumers' queues can be paused and served, though no job was ever in them; declare the limits."""
        self._tools.store.know_queues({one.queue for one in self._tools.consumers})
        self._tools.store.know_limits(self._tools.registry.limits())

    def _unpark(self) -> None:
        """Release jobs that were parked because nobody knew them, and that this worker knows.

        It takes them itself as far as it can: beside it there are workers that would only park them again.
        """
        try:
            released = unpark(self._tools.store, self._tools.registry.names())
            served, ranks = set(self._queues.active()), self._options.ranks
            mine = [job for job, queue, rank in released if queue in served and nearest_rank(rank) in ranks]
            if mine:
                self._claims.claim(mine[: self._board.room])
        except StoreError as error:  # their back-off ends by itself
            self._tools.reporting.report(error)

    def _schedule(self) -> None:
        """Begin to enqueue periodic jobs; what ends once nothing is ready enqueues those that are due, and no more."""
        if self._options.until_idle:
            self._scheduler.catch_up()
        else:
            self._scheduler.start()

    def _settle(self) -> None:
        """Give back what did not run and commit what did; try until this process must have ended."""
        while True:
            try:
                self._intake.give_back()
                self._housekeeper.stop()
            except StoreError as error:
                if boot_time() > self._board.drain_by - SETTLE_EVERY:
                    raise
                self._tools.reporting.report(error)
                time.sleep(SETTLE_EVERY)
            else:
                return

    # Ends ---------------------------------------------------------------------------------------------

    def _idle(self) -> None:
        if not self._options.until_idle:
            return
        if self._claims.unfinished:  # a job ended meanwhile, and may be ready again
            self._claims.flush()
            self._consumer.wake()
        elif self._board.empty:
            self.stop(Leaving.IDLE)

    def _recycle_if_due(self) -> None:
        most_jobs, most_memory = self._options.max_jobs, self._options.max_memory
        if most_jobs is not None and self._board.started >= most_jobs:
            self.stop(Leaving.RECYCLED)
        if most_memory is not None and memory_used() > most_memory:
            self._tools.logger.info("used more than %d bytes: making room for a fresh process", most_memory)
            self.stop(Leaving.RECYCLED)

    def _announce(self) -> Callable[[], Announced]:
        """Return the due look: with a broker, what it announces is published too."""
        tools = self._tools
        admissions = Admissions(tools.store, self._clock.now)
        if not tools.transport.pushes:
            return admissions.before(tools.store.announce)
        return admissions.before(Announcer(tools.store, tools.publisher, self._clock.now).look)

    def _paused(self, queue: str) -> None:
        self._messages.follow()
        self._intake.give_back(queue)

    def _stack(self, policies: Policies) -> Callable[[Attempt], bool]:
        tools = self._tools
        load = Loading(tools.registry, policies, tools.store, tools.logger, self._checkpoints, keyring=tools.keyring)
        stack = worker_stack(
            ErrorHandling(tools.logger, tools.reporting.report, self._halt.wait),
            Pop(self._intake, self._messages.ended, tools.settings.max_run_time, tools.settings.max_attempts),
            Claim(self._claims, load, tools.events, tools.logger, tools.reporting, now=self._clock.now),
            Timeout(),
            Invoke(tools.events, self._loop, tools.reporting.report, most_bytes=tools.settings.max_payload_bytes),
        )
        stack = tools.layers.into(stack)
        return (stack if self._watch is None else stack.with_after("Claim", self._watch)).folded()


def memory_used() -> int:
    """Return the resident memory of this process in bytes; where /proc is missing (macOS), the most it has used."""
    if STATM.exists():
        return int(STATM.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
