"""What a supervisor writes about its children: their leases, and what becomes of their rows when they die.

All of it in one thread of its own. The supervisor's loop must react within a moment to signals, deaths and
time-outs, so it never touches the database: it leaves an errand here, and a database that is slow or away only
keeps the errands waiting. Each is tried until it is done.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

from tomqueue.crash_points import reached
from tomqueue.daemon.deaths import Death, fates
from tomqueue.daemon.heartbeat import trusted_until
from tomqueue.service import Repeating, boot_time
from tomqueue.settings import Settings
from tomqueue.store.leases import Freed, Leases, WorkerRow
from tomqueue.store.sql import SqlStore
from tomqueue.worker.board import Board

__all__ = ["Birth", "Registry"]

TICK = 0.25
AGAIN_FOR = 2.0
"""A claim that was under way may still commit at the server after its client died: its rows are freed so long."""
HAND_OVER_WITHIN = 0.25
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0


@dataclass(slots=True)
class Birth:
    """A child that has been started, and takes no job before its lease is written."""

    row: WorkerRow
    board: Board


@dataclass(slots=True)
class Burial:
    """A child that has died, until its rows can no longer be claimed by it."""

    worker: int
    name: str
    death: Death
    rows: Sequence[Freed] | None = None
    until: float = 0.0


@dataclass(slots=True)
class HandOver:
    """Ids on a living child's board, until they are claimed, or late."""

    board: Board
    until: float
    ids: list[int] = field(default_factory=list)


class Registry:
    """Runs the errands. ``living`` returns the boards of children that can take a job now."""

    def __init__(
        self,
        store: SqlStore,
        settings: Callable[[], Settings],
        living: Callable[[], Sequence[Board]],
        logger: logging.Logger,
        *,
        timed: bool,
        report: Callable[[BaseException], None],
    ) -> None:
        self._store = store
        self._leases = Leases(store)
        self._settings = settings
        self._living = living
        self._logger = logger
        self._timed = timed
        self._report = report
        self._births: deque[Birth] = deque()
        self._burials: deque[Burial] = deque()
        self._hand_overs: list[HandOver] = []
        self._pause = 0.0
        self._thread = Repeating("tomqueue-registry", self._work, interval=self._interval, report=report)

    # For the supervisor's loop: none of these waits ---------------------------------------------------

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End, and wait for it at most that long: what is not buried by then is the next sweep's."""
        self._thread.stop(seconds)

    def born(self, birth: Birth) -> None:
        """Write a child's lease, then let it begin."""
        self._births.append(birth)
        self._thread.wake()

    def died(self, worker: int, name: str, death: Death) -> None:
        """Free what a child held, at once and again for two seconds, and hand it to living ones."""
        self._burials.append(Burial(worker, name, death))
        self._thread.wake()

    @property
    def pending(self) -> bool:
        """Whether any errand is left."""
        return bool(self._births or self._burials or self._hand_overs)

    # In the thread ------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while self._births:
                self._register(self._births[0])
                self._births.popleft()
            for burial in list(self._burials):
                self._bury(burial)
            self._check_hand_overs()
            self._pause = 0.0
        except BaseException:
            self._pause = min(self._pause * 2 or FIRST_PAUSE, LONGEST_PAUSE)
            raise

    def _interval(self) -> float:
        return self._pause or TICK

    def _register(self, birth: Birth) -> None:
        began, lease = boot_time(), self._settings().lease
        now = self._store.now()
        expires_at = now + timedelta(seconds=lease)
        self._leases.register(replace(birth.row, started_at=now, expires_at=expires_at))
        with suppress(ValueError):  # it has died meanwhile: its board is closed
            birth.board.lease_until = trusted_until(began, lease, timed=self._timed)

    def _bury(self, burial: Burial) -> None:
        if burial.rows is None:
            burial.rows = fates(burial.death, self._store.now(), self._settings().backoff_cap)
            burial.until = boot_time() + AGAIN_FOR
        reached("supervisor.before_free")
        over = boot_time() >= burial.until
        ready = self._leases.free(burial.worker, burial.rows, self._settings().max_crashes) if burial.rows else []
        if over or not burial.rows:
            self._leases.remove(burial.worker)
            self._burials.remove(burial)
        if ready:
            self._logger.info("freed %d jobs of %s", len(ready), burial.name)
            reached("supervisor.before_hand_over")
            self._hand_over(ready)

    def _hand_over(self, ids: Sequence[int]) -> None:
        """Give ids to children with a free slot, in turn: no trip to the tail of a long queue."""
        until = boot_time() + HAND_OVER_WITHIN
        hand_overs = [HandOver(board, until) for board in self._living()]
        for place, job in enumerate(ids):
            if not hand_overs:
                break
            hand_over = hand_overs[place % len(hand_overs)]
            with suppress(ValueError):  # that child has died meanwhile
                if hand_over.board.hand(job):
                    hand_over.ids.append(job)
        self._hand_overs += [hand_over for hand_over in hand_overs if hand_over.ids]

    def _check_hand_overs(self) -> None:
        """Let what was handed over and not claimed in time be announced again."""
        now = boot_time()
        for hand_over in [late for late in self._hand_overs if now >= late.until]:
            waiting = set(hand_over.ids)  # all of them, if that child has died: who was claimed is not touched
            with suppress(ValueError):
                waiting &= set(hand_over.board.handed())
            if waiting:
                self._leases.unannounce(sorted(waiting))
                with suppress(ValueError):
                    hand_over.board.handed_done(waiting)
            self._hand_overs.remove(hand_over)
