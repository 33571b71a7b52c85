"""What a publisher asks the database, in a thread of its own: a slow database must not cost the broker's heartbeat."""

import threading
from collections.abc import Callable, Container, Sequence
from datetime import datetime, timedelta
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

from tomqueue.errors import StoreError
from tomqueue.reporting import Reporting
from tomqueue.service import boot_time
from tomqueue.store.sql import SqlStore
from tomqueue.transport.rabbitmq.outbox import Parcel

__all__ = ["Repairs"]

CLOCK_IS_OLD = 60.0
PAUSE = 1.0
Answer = TypeVar("Answer")


class Repairs:
    """Knows the database's clock, re-stamps what waited too long, and un-announces what the broker never had."""

    def __init__(self, store: SqlStore, reporting: Reporting) -> None:
        self._store = store
        self._reporting = reporting
        self._work: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="tomqueue-rabbitmq-repairs", daemon=True)
        self._stopping = threading.Event()
        self._clock: tuple[datetime, float] | None = None
        self._measuring = False

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is under way."""
        self._stopping.set()
        self._work.put(None)
        self._thread.join(PAUSE)

    def now(self) -> datetime | None:
        """Return the database's time; None when it is not known yet."""
        if self._clock is None:
            return None
        then, at = self._clock
        return then + timedelta(seconds=boot_time() - at)

    def measure(self, then: Callable[[], None]) -> None:
        """Ask for the database's clock, unless that was done a moment ago; call ``then`` when it is known."""
        if self._measuring or (self._clock is not None and boot_time() - self._clock[1] < CLOCK_IS_OLD):
            return
        self._measuring = True
        self._work.put(lambda: self._measure(then))

    def restamp(self, parcels: Sequence[Parcel], then: Callable[[list[Parcel]], None]) -> None:
        """Give the rows a new stamp; call ``then`` with what is still to be published."""
        self._work.put(lambda: self._restamp(parcels, then))

    def unannounce(self, parcel: Parcel) -> None:
        """Let the rows be announced again."""
        for stamp, ids in parcel.by_stamp().items():
            self._work.put(partial(self._until_done, partial(self._store.unannounce, ids, stamp)))

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - reported; the thread goes on
                self._reporting.report(error)

    def _measure(self, then: Callable[[], None]) -> None:
        try:
            before = boot_time()
            now = self._until_done(self._store.now)
            if now is not None:
                self._clock = now, (before + boot_time()) / 2
        finally:
            self._measuring = False
        then()

    def _restamp(self, parcels: Sequence[Parcel], then: Callable[[list[Parcel]], None]) -> None:
        fresh: list[Parcel] = []
        try:
            fresh = self._restamped(parcels)
        finally:
            then(fresh)

    def _restamped(self, parcels: Sequence[Parcel]) -> list[Parcel]:
        """Look at all of them first: after an outage most are done, or were announced by others."""
        ids = sorted(one for parcel in parcels for one in parcel.ids)
        since = min(parcel.stamp for parcel in parcels)
        rows = self._until_done(lambda: self._store.announced_since(ids, since)) or []
        waiting = {row.id for row in rows}
        fresh = (self._stamped_anew(parcel, waiting) for parcel in parcels if not waiting.isdisjoint(parcel.ids))
        return [parcel for parcel in fresh if parcel.notifications]

    def _stamped_anew(self, parcel: Parcel, waiting: Container[int]) -> Parcel:
        stamps: dict[int, datetime] = {}
        for old, ids in parcel.by_stamp().items():
            if left := [one for one in ids if one in waiting]:
                new, changed = self._until_done(partial(self._store.restamp, left, old)) or (old, [])
                stamps |= dict.fromkeys(changed, new)
        fresh = [one._replace(stamp=stamps[one.job_id]) for one in parcel.notifications if one.job_id in stamps]
        return Parcel(parcel.queue, parcel.priority, min(stamps.values(), default=parcel.stamp), fresh)

    def _until_done(self, ask: Callable[[], Answer]) -> Answer | None:
        """Ask until the database answers; None when we are stopped before."""
        while True:
            try:
                return ask()
            except StoreError as error:
                self._reporting.report(error)
            if self._stopping.wait(PAUSE):
                return None
