"""A worker whose statements fail: each job runs to its end, uncharged, and the log says in a line what happened."""

import logging
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from sqlalchemy import text

from tests.faults.injection import TROUBLES, Injector, Trouble, faulty_engine
from tests.harness import happens, working
from tomqueue import JobContext, TomQueue
from tomqueue.store.migrate import migrate

EFFECTS = "worker_effects"
TURN = 40
"""Statements that a worker makes of a few jobs, the atomic one included, or a few more."""
OF_EACH = 5


class Application:
    """One application, once with statements that fail for its worker and once without for the test."""

    def __init__(self, url: str, injector: Injector) -> None:
        self.runs: Counter[tuple[str, str, int]] = Counter()
        self.test = self.declared(TomQueue(url))
        bare = self.test.bare_store()
        migrate(bare.engine, bare.tables)
        with bare.engine.begin() as connection:
            connection.execute(text(f"CREATE TABLE {EFFECTS} (job_key VARCHAR(64))"))
        bare.close()
        self.worker = self.declared(TomQueue(engine=faulty_engine(url, injector), server_poll_interval=0.01))

    def declared(self, tq: TomQueue) -> TomQueue:
        """Declare the jobs."""

        @tq.job(name="plain", max_attempts=1)
        def plain(ctx: JobContext, key: str) -> None:
            self.runs["plain", key, ctx.attempt] += 1

        @tq.job(name="fragile", backoff=3600)
        def fragile(ctx: JobContext, key: str) -> None:
            self.runs["fragile", key, ctx.attempt] += 1
            raise OSError

        @tq.job(name="atomic", atomic=True, max_attempts=1)
        def atomic(ctx: JobContext, key: str) -> None:
            self.runs["atomic", key, ctx.attempt] += 1
            ctx.connection.execute(text(f"INSERT INTO {EFFECTS} (job_key) VALUES (:key)"), {"key": key})

        return tq

    def enqueue(self, key: str) -> None:
        """Enqueue one of each, two of the plain ones."""
        find: Any = self.test.registry.find
        self.test.enqueue_many([find(name).prepare(key) for name in ("plain", "fragile", "atomic", "plain")])

    def effects(self, key: str) -> int:
        """Return how often an atomic job has left its effect."""
        with self.test.tools().store.reading() as connection:
            found = connection.execute(text(f"SELECT count(*) FROM {EFFECTS} WHERE job_key = :key"), {"key": key})
            return int(found.scalar_one())

    def left(self) -> list[tuple[str, int]]:
        """Return the jobs that are not done, as names and attempts, less those that wait for their second attempt."""
        return [
            (job.name, job.attempts) for job in self.test.jobs.list() if job.name != "fragile" or not job.last_error
        ]


@pytest.fixture(scope="module")
def application(url: str, injector: Injector) -> Iterator[Application]:
    """Give the application."""
    application = Application(url, injector)
    yield application
    application.worker.close()
    application.test.close()


def test_no_attempt_is_charged(
    kind: str, application: Application, injector: Injector, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever fails: each plain job runs once, each effect of an atomic one is there once, in the first attempt."""
    random = Random(7)
    plans = [(trouble, random.randint(1, TURN)) for trouble in TROUBLES[kind] for _ in range(OF_EACH)]
    wrong = []
    with working(application.worker.tools()):
        for number, (trouble, at) in enumerate(plans):
            key = f"{number}"
            injector.arm(trouble, at, from_begin=True, spare=EFFECTS if trouble.own_doing else None)
            application.enqueue(key)
            done = happens(lambda: not application.left())
            struck = injector.disarm()
            found = {run[::2]: count for run, count in application.runs.items() if run[1] == key}
            said = judged(found, application.effects(key), trouble)
            if said or not done:
                wrong.append(f"{trouble} at {at} (struck {struck}): {said} {application.left()}")
                break
    assert wrong == []
    charged = application.test.jobs.list(state="scheduled", limit=1000)
    assert {(job.name, job.attempts) for job in charged} == {("fragile", 1)}
    ours = [record for record in caplog.records if record.name == "tomqueue" and record.levelno >= logging.ERROR]
    assert ours
    assert [record.getMessage() for record in ours if record.exc_info] == []


def judged(runs: dict[tuple[str, int], int], effects: int, trouble: Trouble) -> str:
    """Say what is wrong with how often jobs ran; an atomic job runs again when its transaction failed."""
    again = runs.pop(("atomic", 1), 0)
    if runs != {("plain", 1): 2, ("fragile", 1): 1}:
        return f"{runs}"
    if effects != 1 or again > 3:
        return f"{again} runs of the atomic job, {effects} effects"
    return ""
