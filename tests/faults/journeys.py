"""What TomQueue asks of its store, as steps that can be broken at any statement and looked at afterwards."""

import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from tests.conformance.jobs import FUTURE, change, insert, new, row, take, want
from tomqueue.job import Claimed
from tomqueue.store.base import Delete, Release
from tomqueue.store.catalog import Catalog, Filter
from tomqueue.store.leases import Leases
from tomqueue.store.sql import SqlStore

__all__ = ["JOURNEYS", "Journey"]


class Journey:
    """One call. ``looks`` returns how each thing that it changes stands: True changed, False as it was."""

    in_steps = False
    """Whether it is several transactions, each of which may be done before the trouble of the next."""

    def __init__(self, store: SqlStore) -> None:
        self.store = store
        self.leases = Leases(store)
        self.queue = f"q{secrets.token_hex(6)}"
        self.worker = secrets.randbits(62)
        self.token = secrets.randbits(62)
        self.prepare()

    def prepare(self) -> None:
        """Make what is there before."""

    def act(self) -> None:
        """Make the call."""
        raise NotImplementedError

    def again(self) -> None:
        """Do what its caller does when the outcome is unknown: most calls are just made again."""
        self.act()

    def looks(self) -> set[bool]:
        """Say what has changed."""
        raise NotImplementedError

    def enqueued(self, count: int = 2, **values: Any) -> list[int]:
        """Insert jobs of this journey's own queue."""
        return insert(self.store, *(new(queue=self.queue, **values) for _ in range(count)))

    def claimed(self, count: int = 2) -> list[int]:
        """Insert and claim jobs."""
        self.enqueued(count)
        return [job.id for job in take(self.store, want(self.queue, limit=count, worker=self.worker), self.token)]

    def due(self) -> list[int]:
        """Insert unannounced jobs whose time has come."""
        ids = self.enqueued(run_at=FUTURE)
        change(self.store, *ids, run_at=self.store.now() - timedelta(seconds=1))
        return ids

    def rows(self, ids: list[int]) -> list[Any]:
        """Read rows, all of which are there."""
        return [row(self.store, job) for job in ids]


class Enqueue(Journey):
    """Three jobs in one transaction, of a queue that nobody knew."""

    def act(self) -> None:
        self.store.insert([new(queue=self.queue) for _ in range(3)])

    def again(self) -> None:
        if self.looks() == {False}:
            self.act()

    def looks(self) -> set[bool]:
        return {bool({0: 0, 3: 3}[Catalog(self.store).count(Filter(queue=self.queue))])}


class Take(Journey):
    """Jobs asked of the database."""

    def prepare(self) -> None:
        self.ids = self.enqueued()

    def act(self) -> None:
        wanted = want(self.queue, worker=self.worker)
        assert [job.attempts for job in take(self.store, wanted, self.token)] == [1, 1]

    def again(self) -> None:
        self.store.undo(self.ids, self.token)
        change(self.store, *self.ids, announced_at=self.store.now() - timedelta(seconds=1))
        self.act()

    def looks(self) -> set[bool]:
        states = {(one.attempts, one.locked_by, one.claim_token) for one in self.rows(self.ids)}
        assert states <= {(0, None, None), (1, self.worker, self.token)}
        return {bool(attempts) for attempts, _, _ in states}


class ClaimByKey(Take):
    """Jobs that news told of."""

    def act(self) -> None:
        answers = self.store.claim(self.ids, self.worker, self.token)
        assert [isinstance(answers[job], Claimed) for job in self.ids] == [True, True]


class FinishAndTake(Take):
    """The usual turn of a worker: some end, others begin, in one transaction."""

    def prepare(self) -> None:
        self.held = self.claimed()
        self.old, self.token = self.token, secrets.randbits(62)
        super().prepare()

    def act(self) -> None:
        endings = [Delete(job, self.old) for job in self.held]
        assert len(take(self.store, want(self.queue, worker=self.worker), self.token, endings)) == 2

    def again(self) -> None:
        self.store.finish([Delete(job, self.old) for job in self.held])
        super().again()

    def looks(self) -> set[bool]:
        return super().looks() | {one is None for one in self.rows(self.held)}


class Finish(Journey):
    """Jobs that succeeded, failed, are to be tried again, or are given back."""

    def prepare(self) -> None:
        self.ids = self.claimed(4)

    def act(self) -> None:
        succeeded, failed, retried, given_back = self.ids
        common = {"token": self.token, "attempts": 1, "last_error": "OSError"}
        self.store.finish(
            [
                Delete(succeeded, self.token, retried=True),
                Release(id=failed, failed=True, **common),  # type: ignore[arg-type]
                Release(id=retried, run_at=FUTURE, **common),  # type: ignore[arg-type]
                Release(id=given_back, token=self.token, attempts=0, keep_announced=True, keep_crashes=True),
            ]
        )

    def looks(self) -> set[bool]:
        succeeded, failed, retried, given_back = self.rows(self.ids)
        if succeeded is not None:
            kept = (succeeded, failed, retried, given_back)
            assert all((one.attempts, one.locked_by, one.last_error) == (1, self.worker, None) for one in kept)
            return {False}
        assert (failed.attempts, failed.failed_at is not None, failed.locked_by) == (1, True, None)
        assert (retried.attempts, retried.run_at, retried.locked_by) == (1, FUTURE, None)
        assert (given_back.attempts, given_back.announced_at is not None, given_back.locked_by) == (0, True, None)
        return {True}


class Undo(Journey):
    """A claim of unknown outcome that is undone; then unique jobs hold their keys again."""

    in_steps = True

    def prepare(self) -> None:
        self.ids = self.claimed()

    def act(self) -> None:
        self.store.undo(self.ids, self.token)

    def looks(self) -> set[bool]:
        states = {(one.attempts, one.locked_by, one.announced_at is None) for one in self.rows(self.ids)}
        assert states <= {(1, self.worker, False), (0, None, True)}
        return {not attempts for attempts, _, _ in states}


class Announce(Journey):
    """A worker's own look for what is due; it writes down new queues as well."""

    in_steps = True

    def prepare(self) -> None:
        self.ids = self.due()

    def act(self) -> None:
        self.store.announce()

    def looks(self) -> set[bool]:
        return {one.announced_at is not None for one in self.rows(self.ids)}


class AnnounceNews(Announce):
    """The deferred process announces; the news of what it did is known, whatever happened."""

    in_steps = False

    def prepare(self) -> None:
        super().prepare()
        self.since = self.store.now()

    def act(self) -> None:
        assert {one.id for one in self.store.announce_news(self.ids)} == set(self.ids)

    def again(self) -> None:
        told = {one.id for one in self.store.announced_since(self.ids, self.since)}
        told |= {one.id for one in self.store.announce_news(self.ids)}
        assert told == set(self.ids)


class Coming(Announce):
    """The deferred process reads what falls due; nothing changes."""

    def act(self) -> None:
        assert set(self.ids) <= {one.id for one in self.store.coming(timedelta(seconds=1), 5000)}

    def looks(self) -> set[bool]:
        return set()


class Unannounce(Journey):
    """News that nobody confirmed."""

    def prepare(self) -> None:
        self.ids = self.enqueued(1)
        self.stamp = self.rows(self.ids)[0].announced_at

    def act(self) -> None:
        self.store.unannounce(self.ids, self.stamp)

    def looks(self) -> set[bool]:
        return {one.announced_at != self.stamp for one in self.rows(self.ids)}


class Restamp(Unannounce):
    """News that is published late."""

    in_steps = True

    def act(self) -> None:
        self.store.restamp(self.ids, self.stamp)


JOURNEYS: Mapping[str, Callable[[SqlStore], Journey]] = {
    journey.__name__: journey
    for journey in (
        Enqueue, Take, ClaimByKey, FinishAndTake, Finish, Undo, Announce, AnnounceNews, Coming, Unannounce, Restamp,
    )
}  # fmt: skip
