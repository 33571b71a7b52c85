"""Unique keys on MySQL and MariaDB, by the driver."""

from collections.abc import Callable, Sequence
from typing import Any

from tomqueue.job import NewJob
from tomqueue.settings import Settings
from tomqueue.store.base import Inserted
from tomqueue.store.mysql_link import rows, run
from tomqueue.store.mysql_text import NOW, is_held_key, keyed_row, packets
from tomqueue.store.statements import KEYED

__all__ = ["MysqlKeys"]

KEYS_READ = 500
"""Keys that one statement looks for."""
InsertMade = Callable[[Any, str, Sequence[tuple[str, list[Any]]]], list[Inserted]]


class MysqlKeys:
    """Inserts rows whose key is free, and lets the callers' transactions take turns with a key.

    An INSERT that meets a key, or waits for one, locks the gap before it in the index. Where that is the first key, the
    gap is the place of every plain row: others wait, or there is a deadlock. So a key is looked for before; that locks
    no gap at READ COMMITTED. The unique index decides in any case.
    """

    def __init__(self, jobs: str, index: str, insert_made: InsertMade, settings: Settings) -> None:
        self._jobs = jobs
        self._index = index
        self._insert_made = insert_made
        self._patience = max(1, int(settings.database_timeout))

    def insert(self, link: Any, jobs: Sequence[NewJob]) -> list[Inserted | None]:
        """Insert rows of different keys; None for each whose key another row holds."""
        if len(jobs) == 1:
            return [self._insert_one(link, jobs[0])]
        locks = {place: lock_of(job) for place, job in enumerate(jobs)}
        held = self._held(link, list(locks.values()))
        free = [place for place, lock in locks.items() if lock not in held]
        # most often all that is free now is so in a moment: few statements; else one by one
        made = dict(zip(free, self._insert_all(link, [jobs[place] for place in free]), strict=True))
        return [made.get(place) for place in range(len(jobs))]

    def is_held(self, link: Any, lock: str) -> bool:
        """Say whether a row holds a key; wait for a transaction that takes it."""
        return bool(rows(link, f"SELECT id FROM {self._jobs} WHERE unique_lock = %s LOCK IN SHARE MODE", (lock,)))

    def take_turn(self, link: Any, lock: str) -> None:
        """Wait until nobody else looks for a key or takes it; whoever waits for too long goes on."""
        rows(link, "SELECT GET_LOCK(%s, %s)", (f"tomqueue {lock}", self._patience))

    def end_turn(self, link: Any, lock: str) -> None:
        """Let the next one look."""
        rows(link, "SELECT RELEASE_LOCK(%s)", (f"tomqueue {lock}",))

    def let_expired_go(self, link: Any, locks: Sequence[str]) -> None:
        """Take locks from rows whose time to hold them is over."""
        marks = ",".join(["%s"] * len(locks))
        over = f"unique_lock IN ({marks}) AND unique_expires_at <= {NOW}"
        run(link, f"UPDATE {self._jobs} SET unique_lock = NULL WHERE {over}", locks)

    def _held(self, link: Any, locks: Sequence[str]) -> set[str]:
        held: set[str] = set()
        for begin in range(0, len(locks), KEYS_READ):
            some = locks[begin : begin + KEYS_READ]
            marks = ",".join(["%s"] * len(some))
            found = rows(link, f"SELECT unique_lock FROM {self._jobs} WHERE unique_lock IN ({marks})", some)
            held.update(lock for (lock,) in found)
        return held

    def _insert_all(self, link: Any, jobs: Sequence[NewJob]) -> list[Inserted | None]:
        made: list[Inserted | None] = []
        for some in packets(jobs):
            try:
                made += self._insert_made(link, KEYED, [keyed_row(job) for job in some])
            except Exception as error:
                if not is_held_key(error, self._index):
                    raise
                made += [self._insert_one(link, job) for job in some]
        return made

    def _insert_one(self, link: Any, job: NewJob) -> Inserted | None:
        if self.is_held(link, lock_of(job)):
            return None
        try:  # without a turn: who is quicker is met within the moment of this transaction, which is tried again
            return self._insert_made(link, KEYED, [keyed_row(job)])[0]
        except Exception as error:  # the statement is undone, the transaction goes on
            if not is_held_key(error, self._index):
                raise
            return None


def lock_of(job: NewJob) -> str:
    """Return what the unique index is to hold of a unique job."""
    assert job.unique is not None
    return job.unique.lock(job.name)
