"""The periodic jobs of the application: every worker looks, and whoever comes first enqueues a tick."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from tomqueue.definition import Schedule, Tick, turn_of
from tomqueue.errors import StoreUnavailable
from tomqueue.service import Repeating, boot_time
from tomqueue.store.schedules import SEEN_EVERY, ScheduleTable
from tomqueue.worker.tools import Tools

__all__ = ["Scheduler"]

LOOK_EVERY = 1.0
"""Seconds between two looks at most: what a person changes counts from the next one on."""
LOOK_AGAIN = 0.01
"""Pause after a look that found something due: the next tick may be due as well."""
PIECE = 100
"""Missed ticks that one transaction enqueues."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Between two looks while they fail."""
HELD_FOR = 30.0
"""Seconds until a schedule that could not be enqueued is tried again; the others go on."""
TIME_TO_END = 2.0


class Scheduler:
    """A thread that enqueues due ticks; there is none where the application has no periodic jobs.

    ``now`` is the database's clock as this process keeps it. By that the thread sleeps; what is due it asks the
    database itself, so that no job runs before its time. ``table`` is the store's own unless one is given.
    """

    def __init__(self, tools: Tools, now: Callable[[], datetime], table: ScheduleTable | None = None) -> None:
        self._tools = tools
        self._now = now
        self._table = ScheduleTable(tools.store) if table is None else table
        self._schedules: dict[str, Schedule] = {}
        self._seen_at: float | None = None
        self._held: dict[str, float] = {}
        self._pause = LOOK_EVERY
        self._away = 0.0
        self._thread = Repeating(
            "tomqueue-scheduler", self._turn,
            interval=lambda: self._away or self._pause, report=tools.reporting.report,
        )  # fmt: skip

    def start(self) -> None:
        """Begin, if there is anything periodic."""
        self._schedules = self._tools.registry.schedules()
        if self._schedules:
            self._thread.start()

    def stop(self) -> None:
        """End; a tick that is being enqueued gets a moment, and is another worker's if it is not committed."""
        self._thread.stop(TIME_TO_END)

    def catch_up(self) -> None:
        """Enqueue what is due here and now, once: for a worker that stops when nothing is ready."""
        self._schedules = self._tools.registry.schedules()
        try:
            while self._schedules and self.look():
                pass
        except Exception as error:  # noqa: BLE001 - reported; the next worker looks again
            self._tools.reporting.report(error)

    def look(self) -> bool:
        """Enqueue what is due; say whether anything was. Raises StoreError."""
        self._tell()
        upcoming = [(due, name) for due, name in self._table.upcoming() if self._is_ours(name)]
        left = min(((due - self._now()).total_seconds() for due, _ in upcoming), default=LOOK_EVERY)
        self._pause = max(LOOK_AGAIN, min(left, LOOK_EVERY))
        if left > 0:
            return False
        now = self._tools.store.now()
        due_now = [name for due, name in upcoming if due <= now]
        for name in due_now:
            self._try(name, now)
        return bool(due_now)

    def _turn(self) -> None:
        try:
            self.look()
            self._away = 0.0
        except Exception:
            self._away = min(self._away * 2 or FIRST_PAUSE, LONGEST_PAUSE)
            raise

    def _tell(self) -> None:
        """Write what the application declares when this worker starts; later only that it still does."""
        if self._seen_at is None:
            self._table.declare(self._schedules, self._tools.ahead)
        elif boot_time() - self._seen_at > SEEN_EVERY:
            self._table.seen(self._schedules)
        else:
            return
        self._seen_at = boot_time()

    def _is_ours(self, name: str) -> bool:
        return name in self._schedules and self._held.get(name, 0.0) <= boot_time()

    def _try(self, name: str, now: datetime) -> None:
        """Enqueue one schedule's ticks; trouble that is its own (a layer, a hook) must not stop the others."""
        try:
            self._tick(name, now)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - reported; tried again after a pause
            self._held[name] = boot_time() + HELD_FOR
            self._tools.reporting.report(error)

    def _tick(self, name: str, now: datetime) -> None:
        row = self._table.get(name)
        if row.next_run_at is None or row.next_run_at > now:
            return  # another worker was quicker
        registry, ahead = self._tools.registry, self._tools.ahead
        turn = turn_of(row.schedule, row.next_run_at + ahead, now + ahead, PIECE)

        def enqueue(connection: object) -> None:
            ticks = [Tick(schedule=name, at=at) for at in turn.ticks]
            self._tools.enqueue_many([replace(registry.periodic(name), tick=tick) for tick in ticks], connection)

        if self._table.tick(row, turn.earlier(ahead), enqueue) and not turn.ticks:
            self._tools.logger.warning(
                "%s: what was due since %s was missed and is left out (misfire=skip); next at %s",
                name, row.next_run_at + ahead, turn.following,
            )  # fmt: skip
