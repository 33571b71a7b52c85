"""Limits in a worker: how many run at once, how often, whose turn it is, and how soon the next one starts."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy.orm import Session

from tests.harness import PATIENCE, happens, row, store_of, work, working
from tomqueue import JobContext, State, TomQueue
from tomqueue.errors import EnqueueError, JobNotFound, SettingsError
from tomqueue.store.migrate import migrate
from tomqueue.store.open import open_store
from tomqueue.transport.polling import PollingConsumer


@pytest.fixture(params=["sqlite_url", "postgres_url", "mariadb_url"])
def anywhere(request: pytest.FixtureRequest) -> Iterator[TomQueue]:
    """Give an application on each database."""
    app = TomQueue(request.getfixturevalue(request.param))
    store = open_store(app.settings)
    migrate(store.engine, store.tables)
    store.close()
    yield app
    app.close()


def test_so_many_run_at_once(anywhere: TomQueue) -> None:
    """Six threads, a limit of two for each key: two meet, never more, and all of them run."""
    tq = anywhere
    running: dict[str, int] = {"a": 0, "b": 0}
    most: list[int] = []
    done: list[int] = []
    lock = threading.Lock()
    pairs = {"a": threading.Barrier(2, timeout=PATIENCE), "b": threading.Barrier(2, timeout=PATIENCE)}

    @tq.job(name="call", concurrency=2, concurrency_key=lambda account: account)
    def call(account: str, number: int) -> None:
        with lock:
            running[account] += 1
            most.append(running[account])
        pairs[account].wait()
        with lock:
            running[account] -= 1
            done.append(number)

    jobs = tq.enqueue_many([call.prepare("ab"[number % 2], number) for number in range(24)])
    assert [job.state for job in jobs].count(State.READY) == 4
    assert jobs[-1].limit_key == "call:b"
    with working(tq.tools(), threads=6):
        assert happens(lambda: len(done) == 24)
    assert max(most) == 2
    assert tq.jobs.list() == []


@pytest.mark.parametrize("anywhere", ["sqlite_url", "postgres_url"], indirect=True)
def test_the_next_one_starts_as_soon_as_the_last_has_ended(anywhere: TomQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """One at a time in one worker, which finds each before it would wait for anything."""
    tq = anywhere
    ran: list[int] = []
    waited: list[int] = []
    wait = PollingConsumer.wait

    def noted(consumer: PollingConsumer, seconds: float) -> None:
        waited.append(len(ran))
        wait(consumer, seconds)

    @tq.job(name="one", concurrency=1)
    def one(number: int) -> None:
        ran.append(number)

    tq.enqueue_many([one.prepare(number) for number in range(20)])
    monkeypatch.setattr(PollingConsumer, "wait", noted)
    with working(tq.tools()):
        assert happens(lambda: len(ran) == 20 and waited)
    assert ran == [*range(20)]
    assert set(waited) == {20}


def test_a_job_that_waits_for_its_back_off_lets_others_run(tq: TomQueue) -> None:
    """And comes in again after it: the worker that runs looks at its moment."""
    ran: list[tuple[str, int]] = []

    @tq.job(name="flaky", concurrency=1, backoff=0.3)
    def flaky(ctx: JobContext, name: str) -> None:
        ran.append((name, ctx.attempt))
        if name == "bad" and ctx.attempt == 1:
            raise ValueError("not yet")

    flaky.enqueue("bad")
    flaky.enqueue("good")
    with working(tq.tools()):
        assert happens(lambda: len(ran) == 3)
    assert ran == [("bad", 1), ("good", 1), ("bad", 2)]


def test_a_rate_spreads_the_starts(tq: TomQueue) -> None:
    """Ten a second: each has a moment of its own, and begins no sooner."""
    began: list[tuple[datetime, datetime]] = []

    @tq.job(name="ping", rate="10/s")
    def ping(ctx: JobContext) -> None:
        began.append((row(tq, ctx.id).run_at, store_of(tq).now()))

    tq.enqueue_many([ping.prepare() for _ in range(6)])
    with working(tq.tools(), threads=2):
        assert happens(lambda: len(began) == 6)
    assert all(moment <= start for moment, start in began)
    moments = sorted(moment for moment, _ in began)[1:]  # the first was due when it was enqueued
    assert [after - before for before, after in pairwise(moments)] == [timedelta(seconds=0.1)] * 4


def test_tenants_take_turns(tq: TomQueue) -> None:
    """A tenant's job is behind a few of the one that came first with hundreds."""
    ran: list[str] = []

    @tq.job(name="import", fair_key=lambda tenant: tenant)
    def load(tenant: str) -> None:
        ran.append(tenant)

    tq.enqueue_many([load.prepare("big") for _ in range(300)])
    load.enqueue("small")
    work(tq)
    assert len(ran) == 301
    assert ran.index("small") <= 4


def test_an_atomic_job_frees_its_slot_with_its_commit(tq: TomQueue) -> None:
    """What it enqueues in its transaction comes in after it."""
    ran: list[int] = []

    @tq.job(name="step", concurrency=1, atomic=True)
    def step(ctx: JobContext, left: int) -> None:
        assert ctx.connection is not None
        ran.append(left)
        if left:
            step.enqueue(left - 1)

    step.enqueue(3)
    work(tq)
    assert ran == [3, 2, 1, 0]


def test_in_the_callers_session(tq: TomQueue) -> None:
    """The job is held while the transaction is open, and comes in with its commit; a rollback leaves nothing."""

    @tq.job(name="later", concurrency=1)
    def later(name: str) -> None: ...

    with Session(store_of(tq).engine) as session:
        job = later.using(session=session).enqueue("a")
        assert job.state is State.HELD
        session.commit()
        assert row(tq, job.id).announced_at is not None
        gone = later.using(session=session).enqueue("b")
        session.rollback()
    assert row(tq, gone.id) is None
    work(tq)
    assert tq.jobs.list() == []


def test_a_key_that_is_too_long_writes_nothing(tq: TomQueue) -> None:
    """The call raises, and says which key."""

    @tq.job(name="call", concurrency=1, concurrency_key=lambda key: key)
    def call(key: str) -> None: ...

    with pytest.raises(EnqueueError, match=r"call: the key of its limit, with the name .call., has 205 characters"):
        tq.enqueue_many([call.prepare("a"), call.prepare("x" * 200)])
    assert tq.jobs.list() == []


def test_a_limit_is_changed_while_it_works(tq: TomQueue) -> None:
    """By its name; what cannot be is refused."""

    @tq.job(name="call", concurrency=1)
    def call() -> None: ...

    tq.enqueue_many([call.prepare() for _ in range(5)])
    tq.limits.set("call", concurrency=3, rate="100/h")
    (limit,) = tq.limits.list()
    assert (limit.concurrency, limit.changed, limit.let_in, limit.waiting) == (3, True, 1, 4)
    tq.limits.reset("call")
    assert not tq.limits.list()[0].changed
    for wrong, complaint in (
        ({}, "say what"),
        ({"concurrency": 0}, "concurrency=0 must be between 1 and 1000000; to stop jobs, pause their queue"),
        ({"concurrency": 10**10}, "must be between 1 and"),
        ({"concurrency": "5"}, "concurrency='5' must be a whole number"),
        ({"rate": "x"}, "is no rate"),
    ):
        with pytest.raises(SettingsError, match=complaint):
            tq.limits.set("call", **wrong)
    with pytest.raises(JobNotFound, match="known limits: call"):
        tq.limits.set("cal", concurrency=1)
