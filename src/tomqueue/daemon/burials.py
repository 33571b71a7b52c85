"""Frees what dead children held, again and again for two seconds, and hands it to living ones."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tomqueue.errors import StoreError
from tomqueue.service import boot_time
from tomqueue.store.leases import Freed, Leases
from tomqueue.worker.board import Board

__all__ = ["Burials"]

AGAIN_EVERY = 0.25
AGAIN_FOR = 2.0
"""A claim that was under way may still commit at the server after its client died."""
HAND_OVER_WITHIN = 0.25


@dataclass(slots=True)
class Burial:
    """The rows of one dead child, until they can no longer be claimed by it."""

    worker: int
    name: str
    rows: Sequence[Freed]
    until: float
    next_at: float = 0.0


@dataclass(slots=True)
class HandOver:
    """Ids on a living child's board, until they are claimed or somebody else's."""

    board: Board
    ids: list[int] = field(default_factory=list)
    until: float = 0.0


class Burials:
    """All deaths of the last two seconds. ``living`` returns the boards of children that can take a job now."""

    def __init__(
        self,
        leases: Leases,
        living: Callable[[], Sequence[Board]],
        logger: logging.Logger,
        max_crashes: Callable[[], int],
    ) -> None:
        self._leases = leases
        self._living = living
        self._logger = logger
        self._max_crashes = max_crashes
        self._burials: list[Burial] = []
        self._hand_overs: list[HandOver] = []

    def bury(self, worker: int, name: str, rows: Sequence[Freed]) -> None:
        """Free the rows of a dead child, at once and then again. Raises StoreError; it is tried again by ``work``."""
        self._burials.append(Burial(worker, name, rows, boot_time() + AGAIN_FOR))
        self.work()

    @property
    def pending(self) -> bool:
        """Whether anything is still to be done."""
        return bool(self._burials or self._hand_overs)

    def forget_board(self, board: Board) -> None:
        """Let go of a board whose child has died; what was handed to it is announced again."""
        for hand_over in self._hand_overs:
            if hand_over.board is board:
                hand_over.until = 0.0
        self._check_hand_overs(dead=board)

    def work(self) -> None:
        """Do what is due."""
        now = boot_time()
        for burial in list(self._burials):
            if now >= burial.next_at:
                self._free(burial)
        self._check_hand_overs()

    def _free(self, burial: Burial) -> None:
        over = boot_time() >= burial.until
        try:
            ready = self._leases.free(burial.worker, burial.rows, self._max_crashes()) if burial.rows else []
            if over or not burial.rows:
                self._leases.remove(burial.worker)
                self._burials.remove(burial)
        except StoreError:
            burial.next_at = boot_time() + AGAIN_FOR
            raise
        burial.next_at = boot_time() + AGAIN_EVERY
        if ready:
            self._logger.info("freed %d jobs of %s", len(ready), burial.name)
            self._hand_over(ready)

    def _hand_over(self, ids: Sequence[int]) -> None:
        """Give ids to children with a free slot, in turn: no trip to the tail of a long queue."""
        boards = self._living()
        hand_overs = [HandOver(board, until=boot_time() + HAND_OVER_WITHIN) for board in boards]
        for place, job in enumerate(ids):
            hand_over = hand_overs[place % len(hand_overs)] if hand_overs else None
            if hand_over is not None and hand_over.board.hand(job):
                hand_over.ids.append(job)
        self._hand_overs += [hand_over for hand_over in hand_overs if hand_over.ids]

    def _check_hand_overs(self, dead: Board | None = None) -> None:
        now = boot_time()
        late = [hand_over for hand_over in self._hand_overs if now >= hand_over.until]
        self._hand_overs = [hand_over for hand_over in self._hand_overs if now < hand_over.until]
        for hand_over in late:
            waiting = set(hand_over.ids) & set(hand_over.board.handed())
            if waiting:
                self._leases.unannounce(sorted(waiting))
                if hand_over.board is not dead:
                    hand_over.board.handed_done(waiting)
