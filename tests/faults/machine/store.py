"""The real SQLite store, on a connection that can break during COMMIT."""

import atexit
import shutil
from collections.abc import Callable
from enum import Enum
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

from tomqueue.errors import OutcomeUnknown
from tomqueue.settings import Settings
from tomqueue.store.open import open_store, ready_store
from tomqueue.store.sqlite import SqliteStore

__all__ = ["BreakingStore", "Breaks", "open_copy"]

T = TypeVar("T")


class Breaks(Enum):
    """When the connection breaks, as the server sees it."""

    BEFORE_COMMIT = "before"
    AFTER_COMMIT = "after"


class BreakingStore(SqliteStore):
    """With ``breaks`` set, the next transaction ends in an OutcomeUnknown."""

    breaks: Breaks | None = None

    def _transact_once(self, work: Callable[[Any], T]) -> T:
        breaks, self.breaks = self.breaks, None
        if breaks is Breaks.BEFORE_COMMIT:
            link = self._links.get()
            self._begin(link)
            work(link)
            link.rollback()
            raise OutcomeUnknown("the connection broke while committing; nothing was committed")
        result = super()._transact_once(work)
        if breaks is Breaks.AFTER_COMMIT:
            raise OutcomeUnknown("the connection broke while committing; it was committed")
        return result


@cache
def template() -> Path:
    """Make, once, an SQLite file with our tables."""
    folder = mkdtemp(prefix="tomqueue-template-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "jobs.db"
    store = ready_store(Settings(database_url=f"sqlite:///{path}"))
    store._links.get().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store._links.get().execute("CREATE TABLE effects (number INTEGER)")
    store.close()
    return path


def open_copy(folder: Path, **settings: Any) -> BreakingStore:
    """Return a store on a fresh copy of it in ``folder``."""
    path = folder / "jobs.db"
    shutil.copy(template(), path)
    chosen = Settings(database_url=f"sqlite:///{path}", sqlite_synchronous="NORMAL", **settings)
    return BreakingStore(open_store(chosen).engine, chosen)
