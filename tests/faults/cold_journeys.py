"""What supervisors, counters and people ask of the store: leases, sweep, statistics, retries by hand."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from tests.conformance.jobs import FUTURE, change, take, want
from tests.faults.journeys import Journey
from tomqueue.store.base import Delete, Release
from tomqueue.store.catalog import Catalog
from tomqueue.store.checkpoints import CheckpointTable
from tomqueue.store.leases import Fate, Freed, WorkerRow
from tomqueue.store.sql import SqlStore
from tomqueue.store.stats import StatsRow

__all__ = ["COLD_JOURNEYS"]

HOUR = 3_600_000_000


class Register(Journey):
    """The lease of a worker that starts."""

    def prepare(self) -> None:
        now = self.store.now()
        self.lease = WorkerRow(
            id=self.worker, name="host:1", supervisor=self.token, kind="worker", queues="", slots=1, started_at=now,
            expires_at=now,
        )  # fmt: skip

    def act(self) -> None:
        self.leases.register(self.lease)

    def looks(self) -> set[bool]:
        return {self.worker in {one.id for one in self.leases.all()}}


class Renew(Register):
    """A heartbeat."""

    def prepare(self) -> None:
        super().prepare()
        self.leases.register(self.lease)

    def act(self) -> None:
        assert self.leases.renew(self.token, 20.0) == {self.worker}

    def looks(self) -> set[bool]:
        (lease,) = (one for one in self.leases.all() if one.id == self.worker)
        return {lease.expires_at > self.lease.expires_at}


class Remove(Renew):
    """The lease of a worker whose jobs are free."""

    def act(self) -> None:
        self.leases.remove(self.worker)

    def looks(self) -> set[bool]:
        return {self.worker not in {one.id for one in self.leases.all()}}


class Lead(Journey):
    """A deferred process that becomes the leader."""

    def prepare(self) -> None:
        with self.store.writing() as connection:
            connection.execute(self.store.tables.workers.delete().where(self.store.tables.workers.c.id == 0))

    def act(self) -> None:
        assert self.leases.lead(self.worker, 20.0)

    def looks(self) -> set[bool]:
        workers = self.store.tables.workers
        with self.store.reading() as connection:
            found = connection.execute(workers.select().where(workers.c.id == 0)).one_or_none()
        return {found is not None and found.supervisor == self.worker}


class StayLeader(Lead):
    """A leader that renews its lease, and resigns."""

    in_steps = True

    def prepare(self) -> None:
        super().prepare()
        self.leases.lead(self.worker, 20.0)

    def act(self) -> None:
        self.leases.lead(self.worker, 20.0)
        self.leases.resign(self.worker)

    def looks(self) -> set[bool]:
        return {not changed for changed in super().looks()}


class Free(Journey):
    """Rows of a child that died, one of each fate; then unique jobs hold their keys again."""

    in_steps = True

    def prepare(self) -> None:
        self.ids = self.claimed(4)

    def act(self) -> None:
        fates = [Freed(id=job, fate=fate, run_at=FUTURE, error="x") for job, fate in zip(self.ids, Fate, strict=True)]
        self.leases.free(self.worker, fates, 3)

    def looks(self) -> set[bool]:
        found = self.rows(self.ids)
        freed = {one.locked_by is None for one in found}
        wanted = [(0, 0), (0, 0), (1, 1), (1, 0)] if freed == {True} else [(1, 0)] * 4
        assert [(one.attempts, one.crashes) for one in found] == wanted
        return freed


class Sweep(Register):
    """Rows of a host that is lost, found and freed."""

    in_steps = True

    def prepare(self) -> None:
        super().prepare()
        self.ids = self.claimed()

    def act(self) -> None:
        assert self.worker in self.leases.orphans() or self.looks() == {True}
        self.leases.free_all(self.worker)

    def looks(self) -> set[bool]:
        states = {(one.attempts, one.locked_by, bool(one.suspect)) for one in self.rows(self.ids)}
        assert states <= {(1, self.worker, False), (0, None, True)}
        return {freed for _, _, freed in states}


class Bury(Renew):
    """A lease that is over is taken over."""

    def prepare(self) -> None:
        super().prepare()
        change_lease(self.store, self.worker, self.store.now() - timedelta(seconds=9))

    def act(self) -> None:
        assert self.leases.bury(self.worker, 20.0)

    def again(self) -> None:
        if self.looks() == {False}:
            self.act()

    def looks(self) -> set[bool]:
        return {one.kind == "dead" for one in self.leases.all() if one.id == self.worker}


class HandedOver(Journey):
    """What was handed over to a worker that did not claim it."""

    def prepare(self) -> None:
        self.ids = self.enqueued()

    def act(self) -> None:
        self.leases.unannounce(self.ids)

    def looks(self) -> set[bool]:
        return {one.announced_at is None for one in self.rows(self.ids)}


class Count(Journey):
    """A worker's counters of a minute that nobody has begun. An unknown COMMIT may count twice."""

    def act(self) -> None:
        minute = FUTURE.replace(second=0, microsecond=0)
        Catalog(self.store).stats.add([StatsRow(minute=minute, queue=self.queue, finished=3, retried=0, failed=0)])

    def looks(self) -> set[bool]:
        found = sum(
            one.finished for one in Catalog(self.store).stats.since(FUTURE - timedelta(1)) if one.queue == self.queue
        )
        assert found in {0, 3, 6}
        return {bool(found)}


class ByHand(Journey):
    """A person pauses a queue, and retries a failed job."""

    in_steps = True

    def prepare(self) -> None:
        self.ids = self.enqueued()
        change(self.store, *self.ids, failed_at=FUTURE, announced_at=None)

    def act(self) -> None:
        catalog = Catalog(self.store)
        catalog.queues.pause(self.queue)
        catalog.retry_all(self.ids)

    def looks(self) -> set[bool]:
        paused = Catalog(self.store).queues.states()[self.queue]
        return {paused, *(one.failed_at is None for one in self.rows(self.ids))}


class EndKept(Journey):
    """The end of two jobs of which all is kept, one of them failed: rows, result, history and error go together."""

    def prepare(self) -> None:
        self.enqueued(ties={"result_ttl": HOUR, "keep_completed": HOUR})
        wanted = want(self.queue, limit=2, worker=self.worker)
        self.ids = [job.id for job in take(self.store, wanted, self.token)]

    def act(self) -> None:
        succeeded, failed = self.ids
        ending = Release(id=failed, token=self.token, tied=True, attempts=1, failed=True, last_error="OSError")
        self.store.finish([Delete(succeeded, self.token, tied=True, retried=True, result="1"), ending])

    def looks(self) -> set[bool]:
        succeeded, failed = self.ids
        tables = self.store.tables
        with self.store.reading() as connection:
            results = set(connection.execute(select(tables.results.c.job_id)).scalars())
            history = set(connection.execute(select(tables.history.c.job_id)).scalars())
            errors = set(connection.execute(select(tables.errors.c.job_id)).scalars())
        gone, kept = self.rows(self.ids)
        there = {succeeded in results, failed in results, succeeded in history, failed in errors}
        return {gone is None, kept.failed_at is not None, *there}


class Checkpoint(Journey):
    """The first checkpoint of a job, which ties its row."""

    def prepare(self) -> None:
        self.ids = self.claimed(1)

    def act(self) -> None:
        assert CheckpointTable(self.store).save(self.ids[0], self.token, "1")

    def looks(self) -> set[bool]:
        return {self.rows(self.ids)[0].tied, CheckpointTable(self.store).value(self.ids[0]) == "1"}


def change_lease(store: SqlStore, worker: int, expires_at: Any) -> None:
    """Change when a lease ends."""
    workers = store.tables.workers
    with store.writing() as connection:
        connection.execute(workers.update().where(workers.c.id == worker).values(expires_at=expires_at))


COLD_JOURNEYS: Mapping[str, Callable[[SqlStore], Journey]] = {
    journey.__name__: journey
    for journey in (
        Register,
        Renew,
        Remove,
        Lead,
        StayLeader,
        Free,
        Sweep,
        Bury,
        HandedOver,
        Count,
        ByHand,
        EndKept,
        Checkpoint,
    )
}
