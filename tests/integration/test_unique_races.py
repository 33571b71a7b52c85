"""Unique jobs from many processes at once, and processes that die while they hold a key, on each database."""

import multiprocessing
from collections.abc import Iterator
from multiprocessing.pool import Pool
from multiprocessing.synchronize import Barrier

import pytest
from sqlalchemy import create_engine

from tomqueue import State, TomQueue, configure_sqlite
from tomqueue.settings import Settings
from tomqueue.store.migrate import migrate
from tomqueue.store.open import open_store
from tomqueue.testing import on_own_database

PROCESSES = 16
ROUNDS = 8
KINDS = ("sqlite", "postgres", "mariadb")
_start: list[Barrier] = []


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest) -> str:
    """Give the URL of an empty database with TomQueue's tables, of one kind after the other."""
    found = str(request.getfixturevalue(f"{request.param}_url"))
    store = open_store(Settings(database_url=found))
    migrate(store.engine, store.tables)
    store.close()
    return found


@pytest.fixture
def tq(url: str) -> Iterator[TomQueue]:
    """Give an application on that database."""
    made = TomQueue(url)
    yield made
    made.close()


@pytest.fixture(scope="module")
def processes() -> Iterator[Pool]:
    """Give processes that can begin at the same moment."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(PROCESSES, be_ready, (context.Barrier(PROCESSES),)) as pool:
        yield pool
        pool.close()
        pool.join()


def be_ready(start: Barrier) -> None:
    """Keep, in a process of the pool, what lets all of them begin together."""
    _start.append(start)


def race(asked: tuple[str, int]) -> list[tuple[int, bool]]:
    """Enqueue by the same keys as all others at once; return the jobs, and whether each was there already.

    Every other process does so in a transaction of its own application, between two rows that it writes.
    """
    url, number = asked
    tq = TomQueue(url)

    @tq.job(name="refresh", unique=lambda key: f"key-{key}")
    def refresh(key: int) -> None: ...

    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        configure_sqlite(engine)
    plain = refresh.using(unique=False)
    plain.enqueue(-1)
    found = []
    for key in range(ROUNDS):
        _start[0].wait(60)
        if number % 2:
            job = refresh.enqueue(key)
        else:
            with engine.begin() as connection:
                plain.using(connection=connection).enqueue(-1)
                job = refresh.using(connection=connection).enqueue(key)
                plain.using(connection=connection).enqueue(-1)
        found.append((job.id, job.is_existing))
    engine.dispose()
    tq.close()
    return found


def test_sixteen_processes_make_one_job(tq: TomQueue, url: str, processes: Pool) -> None:
    """All are answered with the same job, and one of them has made it; no transaction was aborted."""
    answers = processes.map(race, [(url, number) for number in range(PROCESSES)], chunksize=1)
    for key, found in enumerate(zip(*answers, strict=True)):
        assert len({job for job, _ in found}) == 1, f"key {key}"
        assert sum(not existing for _, existing in found) == 1, f"key {key}"
    assert len([job for job in tq.jobs.list(limit=None) if job.unique_key]) == ROUNDS
    assert tq.jobs.count() == ROUNDS + PROCESSES + PROCESSES // 2 * ROUNDS * 2


def test_a_process_that_is_killed_in_its_job_leaves_the_key_as_documented(tq: TomQueue) -> None:
    """Until start: free since the claim, and taken again when the job waits again. Until finish: held throughout."""
    kit = on_own_database(tq)

    @tq.job(name="short", unique=True)
    def short() -> None: ...

    @tq.job(name="long", unique=True, unique_until="finish")
    def long() -> None: ...

    first, second = short.enqueue(), long.enqueue()
    kit.crash_at("worker.after_claim")
    assert [job.id for job in kit.enqueued()] == [first.id, second.id]
    assert short.enqueue().id == first.id
    assert long.enqueue().id == second.id
    kit.drain()
    assert not short.enqueue().is_existing
    assert not long.enqueue().is_existing


def test_a_process_that_is_killed_too_often_lets_the_key_go(tq: TomQueue) -> None:
    """The job has failed for good, and another one may be enqueued."""
    kit = on_own_database(tq)

    @tq.job(name="deadly", unique=True, unique_until="finish")
    def deadly() -> None: ...

    first = deadly.enqueue()
    for _ in range(tq.settings.max_crashes):
        assert deadly.enqueue().id == first.id
        kit.crash_at("worker.after_job")
    assert tq.jobs.get(first.id).state is State.FAILED
    assert not deadly.enqueue().is_existing


def test_a_crash_in_an_enqueue_leaves_no_key(tq: TomQueue) -> None:
    """Before the commit nobody holds it."""
    kit = on_own_database(tq)

    @tq.job(name="refresh", unique=True)
    def refresh() -> None: ...

    kit.crash_at("enqueue.before_commit", refresh.enqueue)
    assert not refresh.enqueue().is_existing
