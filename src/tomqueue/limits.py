"""``tq.limits``: look at limits and fair sharing, and change a limit. What the CLI can, Python can."""

from collections.abc import Callable, Collection

from tomqueue.definition import Limit, concurrency_problem, rate_interval
from tomqueue.errors import SettingsError
from tomqueue.store.limit_table import LimitRow, LimitTable
from tomqueue.store.sql import SqlStore

__all__ = ["Limits"]


class Limits:
    """The limits of one TomQueue, each called by its job's name. ``declared`` are those of the application."""

    def __init__(self, store: Callable[[], SqlStore], declared: Callable[[], Collection[Limit]]) -> None:
        self._store = store
        self._declared = declared

    def list(self) -> "list[LimitRow]":
        """Return every limit by name, a row for each key that has jobs; also one that no worker has written yet."""
        found = LimitTable(self._store()).all()
        known = {row.name for row in found}
        new = [
            LimitRow(name=one.name, key=None, concurrency=one.concurrency, every=one.every, changed=False)
            for one in self._declared()
            if one.name not in known
        ]
        return sorted([*found, *new], key=lambda row: (row.name, row.key or ""))

    def set(self, name: str, *, concurrency: int | None = None, rate: str | None = None) -> None:
        """Change a limit, for all its keys, within a second; jobs that are in go on.

        It stays so, whatever is restarted, until ``reset``, or until the application declares something else than
        before. Raises JobNotFound, SettingsError for what cannot be.
        """
        if concurrency is None and rate is None:
            raise SettingsError(f"{name}: say what to change: concurrency, rate or both")
        if problem := concurrency_problem(concurrency):
            raise SettingsError(f"{name}: concurrency={concurrency!r} {problem}; to stop jobs, pause their queue")
        try:
            every = None if rate is None else rate_interval(rate)
        except ValueError as error:
            raise SettingsError(f"{name}: rate={rate!r} {error}") from error
        self._table().set(name, concurrency=concurrency, every=every)

    def reset(self, name: str) -> None:
        """Let a limit say again what the application declares. Raises JobNotFound."""
        self._table().reset(name)

    def _table(self) -> LimitTable:
        """Return the table with all that is declared here in it."""
        self._store().know_limits(self._declared())
        return LimitTable(self._store())
