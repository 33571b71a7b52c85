"""Periodic jobs in a worker: from the tick to the job that runs."""

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from tests.harness import Reporter, happens, make_worker, record_events, run_here, store_of, work, working
from tomqueue import JobContext, State, TomQueue
from tomqueue.enqueue.request import Request
from tomqueue.errors import JobNotFound, StoreUnavailable
from tomqueue.store.migrate import migrate
from tomqueue.store.open import open_store
from tomqueue.store.schedules import ScheduleState, ScheduleTable
from tomqueue.worker.scheduler import Scheduler

HOURLY = "0 * * * *"


def due_since(tq: TomQueue, name: str, ago: timedelta = timedelta(seconds=5)) -> datetime:
    """Let a schedule have been due since then; return when."""
    table = ScheduleTable(store_of(tq))
    table.declare(tq.registry.schedules())
    moment = store_of(tq).now() - ago
    schedules = store_of(tq).tables.schedules
    with store_of(tq).writing() as connection:
        connection.execute(update(schedules).where(schedules.c.name == name).values(next_run_at=moment))
    return moment


def scheduler(tq: TomQueue, ahead: timedelta = timedelta(0)) -> Scheduler:
    """Return a scheduler whose own clock goes fast, and which looks when it is told to."""
    made = Scheduler(tq.tools(), lambda: store_of(tq).now() + ahead)
    made._schedules = tq.registry.schedules()
    return made


@pytest.fixture(params=["sqlite_url", "postgres_url", "mariadb_url"])
def anywhere(request: pytest.FixtureRequest) -> Iterator[TomQueue]:
    """Give an application on each database."""
    url = request.getfixturevalue(request.param)
    app = TomQueue(url)
    store = open_store(app.settings)
    migrate(store.engine, store.tables)
    store.close()
    yield app
    app.close()


def test_a_tick_becomes_a_job_that_runs(anywhere: TomQueue) -> None:
    """With the queue, the priority and the number of attempts that are declared; it knows its tick."""
    tq = anywhere
    ran: list[tuple[Any, ...]] = []
    events = record_events(tq)

    @tq.job(name="report", cron=HOURLY, queue="reports", priority="high", max_attempts=3)
    def report(ctx: JobContext, month: str = "May") -> None:
        ran.append((ctx.tick, ctx.queue, ctx.priority, ctx.max_attempts, month))

    due = due_since(tq, "report")
    with working(tq.tools()):
        assert happens(lambda: ran)
    assert ran == [(due, "reports", "high", 3, "May")]
    assert "job.enqueued" in events
    (row,) = tq.schedules.list()
    assert (row.state, row.last_run_at) == (ScheduleState.ACTIVE, due)
    assert row.next_run_at is not None
    assert row.next_run_at > store_of(tq).now()


def test_every_goes_on_by_itself(tq: TomQueue) -> None:
    """A worker that runs enqueues one tick after the other, in its beat."""
    ticks: list[datetime] = []

    @tq.job(name="pulse", every=1, misfire="all")
    def pulse(ctx: JobContext) -> None:
        assert ctx.tick is not None
        assert ctx.tick <= store_of(tq).now()
        ticks.append(ctx.tick)

    with working(tq.tools()):
        assert happens(lambda: len(ticks) >= 3)
    assert ticks == [ticks[0] + timedelta(seconds=number) for number in range(len(ticks))]


def test_several_workers_enqueue_a_tick_once(tq: TomQueue) -> None:
    """All of them look; the job runs once for each tick."""
    ticks: list[datetime] = []

    @tq.job(name="pulse", every=1, misfire="all")
    def pulse(ctx: JobContext) -> None:
        assert ctx.tick is not None
        ticks.append(ctx.tick)

    first = due_since(tq, "pulse", timedelta(seconds=40))
    with working(tq.tools()), working(tq.tools()), working(tq.tools()):
        assert happens(lambda: len(ticks) >= 42)
    assert sorted(ticks) == [first + timedelta(seconds=second) for second in range(len(ticks))]


def test_a_worker_until_idle_enqueues_what_is_due_and_ends(tq: TomQueue) -> None:
    """``workoff`` as a cron job of the host is a way to run them."""
    ticks: list[datetime | None] = []

    @tq.job(name="report", cron=HOURLY, misfire="all")
    def report(ctx: JobContext) -> None:
        ticks.append(ctx.tick)

    work(tq)
    assert ticks == []
    first = due_since(tq, "report", timedelta(hours=120))
    work(tq)
    assert len(ticks) == 121  # the first is no full hour: the rows of a test may say anything
    assert ticks[0] == first
    assert tq.jobs.count() == 0


def test_an_application_without_periodic_jobs_has_no_scheduler(tq: TomQueue) -> None:
    """It pays nothing: no thread, no connection, no look."""
    done: list[int] = []

    @tq.job(name="plain")
    def plain() -> None:
        done.append(1)

    plain.enqueue()
    with working(tq.tools()):
        assert happens(lambda: done)
        assert "tomqueue-scheduler" not in {thread.name for thread in threading.enumerate()}
    assert tq.schedules.list() == []


def test_the_thread_ends_with_its_worker(tq: TomQueue) -> None:
    """A drain leaves nobody behind who would enqueue."""
    tq.job(name="report", cron=HOURLY)(nothing)
    with working(tq.tools()):
        assert happens(lambda: "tomqueue-scheduler" in {thread.name for thread in threading.enumerate()})
    assert "tomqueue-scheduler" not in {thread.name for thread in threading.enumerate()}


def nothing() -> None:
    """Stand for a job: only its schedule counts here."""


def test_no_tick_comes_before_the_database_says_so(tq: TomQueue) -> None:
    """A process whose own clock is ahead asks the database first."""
    tq.job(name="report", every=600)(nothing)
    due_since(tq, "report", timedelta(seconds=-60))
    early = scheduler(tq, ahead=timedelta(minutes=5))
    assert not early.look()
    assert tq.jobs.count() == 0


def test_a_tick_is_never_run_inline(tq: TomQueue) -> None:
    """``delay_jobs=False`` is for callers: nobody has called here, and the tick's transaction is open."""
    tq.delay_jobs = False
    threads: list[str] = []

    @tq.job(name="report", cron=HOURLY)
    def report(ctx: JobContext) -> None:
        threads.append(f"{threading.current_thread().name} {ctx.id > 0}")

    due_since(tq, "report")
    with working(tq.tools()):
        assert happens(lambda: threads)
    assert threads == ["worker-under-test True"]


def test_a_class_is_made_and_asked_at_each_tick(tq: TomQueue) -> None:
    """Its ``enqueue`` hook may still change where the job goes."""
    ran: list[tuple[str, str]] = []

    @tq.job(name="digest", every=3600)
    class Digest:
        to: str = "all"

        def enqueue(self, draft: Any) -> None:
            draft.queue = "mailers"

        def process(self, ctx: JobContext) -> None:
            ran.append((ctx.queue, self.to))

    due_since(tq, "digest")
    work(tq)
    assert ran == [("mailers", "all")]


def test_trouble_with_one_schedule_is_reported_and_leaves_the_others_alone(tq: TomQueue, reporter: Reporter) -> None:
    """A layer that raises: the tick is still due, and tried again after a pause."""
    ran: list[str] = []
    tq.job(name="broken", cron=HOURLY)(nothing)

    @tq.job(name="sound", cron=HOURLY)
    def sound() -> None:
        ran.append("sound")

    def refuse(request: Request, proceed: Callable[[Request], None]) -> None:
        if request.drafts[0].definition.name == "broken":
            raise LookupError("no tenant")
        proceed(request)

    tq.enqueue_layers.insert(refuse, before="Persist")
    due = due_since(tq, "broken", timedelta(seconds=30))
    due_since(tq, "sound")
    work(tq)
    assert ran == ["sound"]
    assert [str(error) for error in reporter.errors] == ["no tenant"]
    assert {row.name: row.next_run_at for row in tq.schedules.list()}["broken"] == due


def test_a_time_zone_that_is_missing_here_is_reported(tq: TomQueue, reporter: Reporter) -> None:
    """The row says what a host with other data wrote: this one leaves the tick to others."""
    tq.job(name="report", cron=HOURLY)(nothing)
    due = due_since(tq, "report")
    schedules = store_of(tq).tables.schedules
    with store_of(tq).writing() as connection:
        connection.execute(update(schedules).values(timezone="Mars/Olympus"))
    looking = scheduler(tq)
    looking._seen_at = float("inf")  # declared before
    assert looking.look()
    assert "is no time zone" in str(reporter.errors[0])
    assert tq.schedules.list()[0].next_run_at == due
    assert not looking.look()


def test_the_database_may_be_away(tq: TomQueue, reporter: Reporter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look is tried again, ever less often, and what was due then is enqueued."""
    ran: list[int] = []
    upcoming, calls = ScheduleTable.upcoming, iter(range(2))

    @tq.job(name="report", cron=HOURLY)
    def report() -> None:
        ran.append(1)

    def away(table: ScheduleTable) -> Any:
        if next(calls, None) is not None:
            raise StoreUnavailable("the server is restarted")
        return upcoming(table)

    due_since(tq, "report")
    monkeypatch.setattr(ScheduleTable, "upcoming", away)
    with working(tq.tools()):
        assert happens(lambda: ran)
    assert [str(error) for error in reporter.errors] == ["the server is restarted"]  # once for both


def test_what_is_left_out_is_said(tq: TomQueue, caplog: pytest.LogCaptureFixture) -> None:
    """``skip``: a warning names the job, since when, and what comes next; no job is enqueued."""
    tq.job(name="report", every=86400, misfire="skip")(nothing)
    due_since(tq, "report", timedelta(hours=3))
    with caplog.at_level(logging.WARNING, logger="tomqueue"):
        work(tq)
    assert "report: what was due since" in caplog.text
    assert tq.jobs.count() == 0
    (row,) = tq.schedules.list()
    assert row.next_run_at is not None
    assert row.next_run_at > store_of(tq).now()
    assert row.last_run_at is None


# From Python ------------------------------------------------------------------------------------------


def test_schedules_can_be_looked_at_run_and_paused(tq: TomQueue) -> None:
    """Also before the first worker has started; what is run by hand leaves the next tick alone."""
    ran: list[datetime | None] = []

    @tq.job(name="report", every=3600)
    def report(ctx: JobContext) -> None:
        ran.append(ctx.tick)

    (row,) = tq.schedules.list()
    assert (row.state, row.next_run_at, row.every) == (ScheduleState.NEW, None, timedelta(hours=1))
    tq.schedules.pause("report")
    before = tq.schedules.list()[0]
    assert before.state is ScheduleState.PAUSED
    job = tq.schedules.run("report")
    assert tq.jobs.get(job.id).state is State.READY
    run_here(make_worker(tq.tools()))
    assert len(ran) == 1
    assert tq.schedules.list()[0].next_run_at == before.next_run_at
    due_since(tq, "report")
    work(tq)
    assert len(ran) == 1
    tq.schedules.resume("report")
    work(tq)
    assert len(ran) == 1
    assert tq.schedules.list()[0].state is ScheduleState.ACTIVE


def test_a_schedule_that_is_not_there_is_named(tq: TomQueue) -> None:
    """With those that are."""
    tq.job(name="report", every=3600)(nothing)
    tq.job(name="plain")(nothing)
    with pytest.raises(JobNotFound, match="no periodic job of this application is called 'plain'; there are: report"):
        tq.schedules.run("plain")
    for change in (tq.schedules.pause, tq.schedules.resume):
        with pytest.raises(JobNotFound, match="no schedule is called 'plain'; known schedules: none yet"):
            change("plain")


def test_any_other_job_has_no_tick(tq: TomQueue) -> None:
    """Also a periodic one that a caller enqueued."""
    seen: list[datetime | None] = []

    @tq.job(name="report", every=3600)
    def report(ctx: JobContext) -> None:
        seen.append(ctx.tick)

    report.enqueue()
    work(tq)
    assert seen == [None]
