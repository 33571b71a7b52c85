"""The deferred process: announces what becomes due. One leads at a time; any number may stand by.

Up to four times a second it reads from the index what is due or falls due within the next seconds, in bounded
pieces: scheduled, retried, edited, freed, inserted by plain SQL, all alike. So each row is known before its time,
the memory follows the piece and never the number of future jobs, and no message is needed for any of it.
"""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

from tomqueue.daemon.due_clock import DueClock
from tomqueue.daemon.leadership import Leadership
from tomqueue.service import boot_time
from tomqueue.store.admissions import Admissions
from tomqueue.store.sql import SqlStore
from tomqueue.transport.announcer import Announcer
from tomqueue.transport.base import Publisher
from tomqueue.transport.due import DueHeap

__all__ = ["Deferred"]

HORIZON = timedelta(seconds=3)
"""What falls due so soon is held: long enough that a late look loses no row's moment."""
LOOK_EVERY = 1.0
"""A row that is inserted, or freed, with less time than this left is late by at most this."""
LOOK_AGAIN = 0.25
SHARE_OF_LOOKS = 0.02
"""A look may take this share of the time until the next; one that takes longer is repeated only every second."""
CLOCK_EVERY = 1.0
PIECE = 500
"""Rows that one transaction announces: a more urgent one that falls due meanwhile waits for no more."""
MOST_OF_EACH = 5_000
MOST_HELD = 4 * MOST_OF_EACH
"""Rows that are held at most, the same number of each priority."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0


class Deferred:
    """Announces due rows while it leads. ``report`` hears of every error; none ends the process."""

    def __init__(
        self,
        store: SqlStore,
        publisher: Publisher,
        leadership: Leadership,
        report: Callable[[BaseException], None],
    ) -> None:
        self._store = store
        self._leadership = leadership
        self._report = report
        self._clock = DueClock(store.now)
        self._announcer = Announcer(store, publisher, self._clock.now)
        self._admissions = Admissions(store, self._clock.now)
        self._due = DueHeap()
        self._cut: set[int] = set()
        self._announced = 0
        self._look_at = 0.0
        self._clock_at = 0.0
        self._pause = 0.0
        self._halt = threading.Event()

    def run(self) -> None:
        """Work until stopped."""
        while not self._halt.is_set():
            try:
                seconds = self._turn()
                self._pause = 0.0
            except Exception as error:  # noqa: BLE001 - reported; the process goes on
                self._report(error)
                self._forget()
                seconds = self._pause = min(self._pause * 2 or FIRST_PAUSE, LONGEST_PAUSE)
            self._halt.wait(seconds)
        try:
            self._leadership.resign()
        except Exception as error:  # noqa: BLE001 - reported; the lease runs out by itself
            self._report(error)

    def stop(self) -> None:
        """End ``run``."""
        self._halt.set()

    def _turn(self) -> float:
        """Do what is to be done now; return for how many seconds nothing is."""
        if not self._leadership.leads():
            self._forget()
            return self._leadership.next_try()
        if boot_time() >= self._clock_at:
            self._clock.refresh()
            self._clock_at = boot_time() + CLOCK_EVERY
        self._announcer.settle()
        if boot_time() >= self._look_at or self._runs_short():
            self._look()
        if due := self._due.take(self._clock.now(), PIECE):
            self._announced += self._announcer.announce(due)
        return self._until_next()

    def _look(self) -> None:
        """Read what is due or soon will be; what the limit cuts off follows when the piece is nearly used up."""
        began = boot_time()
        self._admissions.look()
        self._announcer.know_queues()
        rows = self._store.coming(HORIZON, MOST_OF_EACH)
        self._due.load((row.id, row.run_at, row.priority) for row in rows)
        counts = Counter(row.priority for row in rows)
        self._cut = {priority for priority, count in counts.items() if count >= MOST_OF_EACH}
        self._announced = 0
        pause = (boot_time() - began) / SHARE_OF_LOOKS
        self._look_at = boot_time() + min(max(pause, LOOK_AGAIN), LOOK_EVERY)

    def _runs_short(self) -> bool:
        """Say whether there is more than was read and it is time to read on.

        Rows that could not be announced are read again: without any that could, this waits for the next look.
        """
        return bool(self._announced) and any(self._due.left(rank) <= MOST_OF_EACH // 4 for rank in self._cut)

    def _until_next(self) -> float:
        seconds = self._look_at - boot_time()
        soonest = self._due.next()
        if soonest is not None:
            seconds = min(seconds, (soonest - self._clock.now()).total_seconds())
        return max(0.0, seconds)

    def _forget(self) -> None:
        self._due.load(())
        self._cut.clear()
        self._look_at = self._clock_at = 0.0
