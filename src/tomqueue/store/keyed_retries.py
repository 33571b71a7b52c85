"""A person's retry of a unique job, which takes its key again."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Table
from sqlalchemy.exc import IntegrityError

from tomqueue.errors import JobStateError, StoreError
from tomqueue.job import Job, State, lock_of
from tomqueue.store.keys import holder_of, let_expired_go
from tomqueue.store.sql import SqlStore

__all__ = ["KeyedRetries"]


class KeyedRetries:
    """Retries jobs whose unique key may be another one's by now."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._jobs: Table = store.tables.jobs

    def holder(self, job: Job) -> int | None:
        """Read which other job holds the unique key of ``job``; None when none does, or it has no key."""
        if job.unique_key is None or job.unique_held:
            return None
        lock, now = lock_of(job.name, job.unique_key), self._store.now()
        return self._store.read(lambda connection: holder_of(connection, self._jobs, lock, now))

    def retry(self, job: Job, key: str, change: Callable[[Mapping[str, Any]], bool]) -> bool:
        """Let ``change`` retry a job, which takes ``key`` in the same statement; return what that says.

        ``change`` is given the columns that are to change besides.

        Its time to hold it is over no more. Where another one holds the key, a job that waits goes on without, and one
        that has failed is refused: raises JobStateError.
        """
        lock = lock_of(job.name, key)
        while (holder := self.holder(job)) is None:
            self._store.write(lambda connection: let_expired_go(connection, self._jobs, [lock], self._store.now()))
            try:
                return change({"unique_lock": lock, "unique_expires_at": None})
            except StoreError as error:
                if not isinstance(error.__cause__, IntegrityError):
                    raise  # else another one was quicker to take the key
        if job.state is State.FAILED:
            raise JobStateError(
                f"job {job.id} is failed and cannot be retried: job {holder} holds its unique key by now; "
                "wait until that one lets it go, or cancel it first"
            )
        return change({})
