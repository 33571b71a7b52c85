"""Which job is next: the most urgent, queues in turn, those that are due."""

import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.harness import PATIENCE, happens, make_app, row, store_of, work, working
from tomqueue import JobContext, Priority, TomQueue
from tomqueue.service import boot_time

MANY = 500
"""Jobs enough for a worker to learn that it may claim ahead."""


def spend(seconds: float) -> None:
    """Use up time, as work does."""
    until = boot_time() + seconds
    while boot_time() < until:
        pass


def locked(tq: TomQueue) -> list[int]:
    """Read the ids of the rows that anyone has claimed."""
    jobs = store_of(tq).tables.jobs
    with store_of(tq).reading() as connection:
        return list(connection.execute(select(jobs.c.id).where(jobs.c.locked_by.is_not(None))).scalars())


def test_the_most_urgent_runs_first(tq: TomQueue) -> None:
    """High before normal before low before bulk, and within a priority the oldest."""
    ran: list[str] = []

    @tq.job
    def note(text: str) -> None:
        ran.append(text)

    for text in ("1", "2"):
        for priority in ("bulk", "normal", "high", "low"):
            note.using(priority=priority).enqueue(f"{priority} {text}")
    work(tq)
    assert ran == [f"{priority} {text}" for priority in Priority for text in ("1", "2")]


def test_an_urgent_job_passes_what_was_claimed_ahead(tq: TomQueue) -> None:
    """A high job enqueued while a batch of bulk jobs is claimed starts next."""
    ran: list[str] = []
    ahead: list[int] = []

    @tq.job(priority="high")
    def urgent() -> None:
        ran.append("urgent")

    @tq.job(priority="bulk")
    def bulk(number: int) -> None:
        ran.append(f"bulk {number}")
        if not ahead and len(claimed := locked(tq)) > 5:
            ahead.extend(claimed)
            ran.append("now")
            urgent.enqueue()
            spend(0.03)  # longer than two looks are apart

    tq.enqueue_many(bulk.prepare(number) for number in range(MANY))
    work(tq)
    assert ran.index("urgent") == ran.index("now") + 1
    assert len(ran) == MANY + 2


def test_a_crowd_of_urgent_jobs_passes_too(tmp_path: Path) -> None:
    """A look that takes as much as it may has not seen the rest: the next one follows before anything less urgent."""
    tq, ran = make_app(tmp_path / "jobs.db", max_batch=8), list[str]()

    @tq.job(priority="high")
    def urgent() -> None:
        ran.append("urgent")

    @tq.job(priority="bulk")
    def bulk(number: int) -> None:
        ran.append(f"bulk {number}")
        if "now" not in ran and len(locked(tq)) > 5:
            ran.append("now")
            tq.enqueue_many([urgent.prepare() for _ in range(30)])
            spend(0.03)  # longer than two looks are apart

    tq.enqueue_many(bulk.prepare(number) for number in range(MANY))
    work(tq)
    now = ran.index("now") + 1
    assert ran[now : now + 30] == ["urgent"] * 30
    tq.close()


def test_queues_take_turns(tmp_path: Path) -> None:
    """A long queue does not hold up a short one of the same priority."""
    tq, ran = make_app(tmp_path / "jobs.db", max_batch=1), list[str]()

    @tq.job
    def note(ctx: JobContext) -> None:
        ran.append(ctx.queue)

    tq.enqueue_many(note.using(queue="long").prepare() for _ in range(12))
    tq.enqueue_many(note.using(queue=queue).prepare() for queue in ("short", "brief") for _ in range(2))
    work(tq)
    assert len(ran) == 16
    assert Counter(ran[:6]) == {"long": 2, "short": 2, "brief": 2}
    assert {"short", "brief"} <= set(ran[:3])
    tq.close()


def test_a_worker_serves_its_queues(tq: TomQueue) -> None:
    """Jobs of other queues stay; a queue that comes later is served as well when none was named."""
    ran: list[str] = []

    @tq.job
    def note(ctx: JobContext) -> None:
        ran.append(ctx.queue)
        if ctx.queue == "b":
            note.using(queue="fresh").enqueue()

    for queue in ("a", "b", "c"):
        note.using(queue=queue).enqueue()
    work(tq, queues=("c", "unheard-of"))
    assert ran == ["c"]
    work(tq, queues=("a", "b"))
    assert sorted(ran) == ["a", "b", "c"]
    with working(tq.tools()):
        assert happens(lambda: "fresh" in ran)


def test_a_paused_queue_gives_back_what_was_claimed_ahead(tq: TomQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a moment its jobs are free and uncharged, and run when it is resumed."""
    monkeypatch.setattr("tomqueue.worker.housekeeper.HOARD", PATIENCE)  # not because the job is slow
    ran: list[int] = []
    paused, go_on = threading.Event(), threading.Event()

    @tq.job(queue="mailers")
    def mail(ctx: JobContext) -> None:
        ran.append(ctx.id)
        if not paused.is_set() and len(locked(tq)) > 5:
            tq.tools().catalog.queues.pause("mailers")
            paused.set()
            go_on.wait(PATIENCE)

    jobs = tq.enqueue_many(mail.prepare() for _ in range(MANY))
    with working(tq.tools()):
        assert paused.wait(PATIENCE)
        assert happens(lambda: locked(tq) == ran[-1:])
        done = len(ran)
        assert all(row(tq, job.id).attempts == 0 for job in jobs[done : done + 20])
        go_on.set()
        assert happens(lambda: row(tq, jobs[done - 1].id) is None)
        assert len(ran) == done
        tq.tools().catalog.queues.resume("mailers")
        assert happens(lambda: len(ran) == MANY)
    assert sorted(ran) == [job.id for job in jobs]


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_a_deferred_job_is_found_when_it_is_due(tq: TomQueue, busy: bool) -> None:
    """Not before its time, and without anyone's help; also while there is other work."""
    done = threading.Event()
    early: list[float] = []
    left = {"first", "second"}

    @tq.job(priority="high")
    def later(ctx: JobContext, name: str) -> None:
        early.append((ctx.run_at - store_of(tq).now()).total_seconds())
        left.discard(name)
        if not left:
            done.set()

    @tq.job(priority="bulk")
    def endless() -> None:
        if not done.is_set():
            endless.enqueue()

    soon = store_of(tq).now() + timedelta(seconds=1)
    first = later.using(run_at=soon).enqueue("first")
    second = later.using(delay=0.9).enqueue("second")
    assert (row(tq, first.id).run_at, first.state, second.state) == (soon, "scheduled", "scheduled")
    with working(tq.tools()):
        if busy:
            endless.enqueue()
        assert done.wait(PATIENCE)
    assert max(early) <= 0


def test_work_that_is_not_due_is_left(tq: TomQueue) -> None:
    """A worker that runs until nothing is ready does not wait for tomorrow's jobs."""

    @tq.job
    def later() -> None: ...

    job = later.using(delay=3600).enqueue()
    work(tq)
    assert row(tq, job.id).attempts == 0


@pytest.mark.parametrize("threads", [1, 3])
def test_until_idle_does_what_its_own_jobs_enqueue(tq: TomQueue, threads: int) -> None:
    """A chain of jobs, and a retry that is due at once, are done before it stops."""
    ran: list[int] = []

    @tq.job(backoff=0)
    def chain(ctx: JobContext, number: int) -> None:
        if ctx.attempt == 1:
            raise OSError
        ran.append(number)
        if number:
            chain.enqueue(number - 1)

    chain.enqueue(20)
    work(tq, threads=threads)
    assert ran == list(range(20, -1, -1))
    assert tq.jobs.list() == []


def test_a_slow_job_gives_back_what_was_claimed_ahead(tq: TomQueue) -> None:
    """A second worker runs what the first one had claimed, while the first is busy."""
    hanging, go_on = threading.Event(), threading.Event()
    ran: list[int] = []
    stuck: list[int] = []

    @tq.job
    def quick(ctx: JobContext) -> None:
        ran.append(ctx.id)
        if not hanging.is_set() and len(locked(tq)) > 5:
            stuck.append(ctx.id)
            hanging.set()
            go_on.wait(PATIENCE)

    tq.enqueue_many(quick.prepare() for _ in range(MANY))
    with working(tq.tools()):
        assert hanging.wait(PATIENCE)
        with working(tq.tools()):
            assert happens(lambda: len(ran) == MANY)
            assert happens(lambda: locked(tq) == stuck)
            go_on.set()
    assert tq.jobs.list() == []
