"""What every kit does, in the same way."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.harness import record_events
from tomqueue import Discard, JobContext, Retry, Snooze, State
from tomqueue.errors import UnknownJob
from tomqueue.testing import DatabaseKit, EndlessJobs, Kit

HOUR = timedelta(hours=1)


def test_what_is_enqueued_is_found_and_run(kit: Kit) -> None:
    """By the application's own code, which names no session; what it enqueues in turn runs as well."""
    ran: list[str] = []

    @kit.tq.job(name="first", queue="mailers")
    def first(text: str) -> None:
        ran.append(text)
        second.enqueue()

    @kit.tq.job(name="second")
    def second() -> None:
        ran.append("second")

    job = first.enqueue("hello")
    assert [one.id for one in kit.assert_enqueued(first, ["hello"], queue="mailers", count=1)] == [job.id]
    assert [one.id for one in kit.enqueued()] == [job.id]
    kit.assert_not_enqueued(second)
    kit.assert_enqueued(second, count=0)
    assert [(one.name, one.outcome, one.attempt, one.error) for one in kit.drain()] == [
        ("first", "finished", 1, None), ("second", "finished", 1, None),
    ]  # fmt: skip
    assert ran == ["hello", "second"]
    assert kit.enqueued() == []
    assert kit.drain() == []


def test_a_failed_assertion_lists_what_is_there(kit: Kit) -> None:
    """So that nobody has to look for it."""

    @kit.tq.job(name="send")
    def send(user_id: int) -> None: ...

    with pytest.raises(AssertionError, match=r'no send \{"user_id":9\} enqueued; nothing else is either'):
        kit.assert_enqueued(send, [9])
    send.using(queue="mailers").enqueue(7)
    send.using(delay=60).enqueue(8)
    with pytest.raises(AssertionError) as missing:
        kit.assert_enqueued(send, [9])
    assert '{"user_id":7} queue=mailers priority=normal ready' in str(missing.value)
    assert '{"user_id":8} queue=default priority=normal scheduled' in str(missing.value)
    with pytest.raises(AssertionError, match="2, not 1, send enqueued"):
        kit.assert_enqueued(send, count=1)
    with pytest.raises(AssertionError, match=r"(?s)send queue=mailers is enqueued:.*{\"user_id\":7}"):
        kit.assert_not_enqueued(send, queue="mailers")


def test_order_is_a_workers(kit: Kit) -> None:
    """The most urgent first, then the one that is ready longest."""
    ran: list[int] = []

    @kit.tq.job(name="note")
    def note(number: int) -> None:
        ran.append(number)

    for number, priority in enumerate(["low", "normal", "normal", "high", "bulk"]):
        note.using(priority=priority).enqueue(number)
    kit.drain()
    assert ran == [3, 1, 2, 0, 4]


def test_the_first_error_is_raised_once_it_is_recorded(kit: Kit) -> None:
    """What was to follow stays enqueued, uncharged."""

    @kit.tq.job(name="fail", priority="high")
    def fail() -> None:
        raise ValueError("as it must")

    @kit.tq.job(name="note")
    def note() -> None: ...

    failing, following = fail.enqueue(), note.enqueue()
    with pytest.raises(ValueError, match="as it must"):
        kit.drain()
    after = {job.id: (job.state, job.attempts) for job in kit.enqueued()}
    assert after == {failing.id: (State.SCHEDULED, 1), following.id: (State.READY, 0)}
    assert "as it must" in (kit.enqueued(fail)[0].last_error or "")


def test_errors_may_be_recorded_instead(kit: Kit) -> None:
    """Then everything runs, and each outcome has its error."""

    @kit.tq.job(name="fail", max_attempts=1)
    def fail(text: str) -> None:
        raise ValueError(text)

    fail.enqueue("a")
    fail.enqueue("b")
    assert [(one.outcome, str(one.error)) for one in kit.drain(raise_errors=False)] == [
        ("failed", "a"),
        ("failed", "b"),
    ]
    assert kit.enqueued() == []  # failed jobs wait for nothing


def test_verdicts_are_outcomes(kit: Kit) -> None:
    """A job that says how it wants to end has no error that a test must see."""

    @kit.tq.job(name="decide")
    def decide(verdict: str) -> None:
        raise {"retry": Retry(delay=60), "snooze": Snooze(60), "discard": Discard("enough")}[verdict]

    for verdict in ("retry", "snooze", "discard"):
        decide.enqueue(verdict)
    assert [one.outcome for one in kit.drain()] == ["retried", "snoozed", "failed"]


def test_a_job_that_nobody_declares_is_an_error(kit: Kit) -> None:
    """It is parked as in a worker; in a test that is worth being raised."""

    @kit.tq.job(name="note")
    def note() -> None: ...

    note.enqueue()
    del kit.tq.registry._by_name["note"]
    with pytest.raises(UnknownJob, match="note"):
        kit.drain()
    assert [job.state for job in kit.enqueued()] == [State.PARKED]


def test_jobs_run_in_the_order_of_their_times_without_waiting(kit: Kit) -> None:
    """Delays, times and back-offs; each sees the time that it was to run at."""
    ran: list[tuple[str, int, float]] = []
    began = kit.now()

    def at() -> float:
        return round((kit.now() - began) / HOUR, 1)

    @kit.tq.job(name="flaky", backoff=[2.5 * 3600.0], max_attempts=3)
    def flaky(ctx: JobContext) -> None:
        ran.append(("flaky", ctx.attempt, at()))
        raise ValueError("not yet")

    @kit.tq.job(name="note")
    def note(ctx: JobContext, text: str) -> None:
        ran.append((text, ctx.attempt, at()))
        if text == "nap" and at() < 4:
            raise Snooze(HOUR * 3)

    note.using(run_at=datetime.now(UTC) + HOUR * 3).enqueue("three")
    note.using(delay=HOUR).enqueue("nap")
    flaky.enqueue()
    note.using(delay=HOUR * 9).enqueue("never")
    outcomes = kit.run_due(until=HOUR * 8)
    assert ran == [
        ("flaky", 1, 0.0),
        ("nap", 1, 1.0),
        ("flaky", 2, 2.5),
        ("three", 1, 3.0),
        ("nap", 1, 4.0),
        ("flaky", 3, 5.0),
    ]
    assert [one.outcome for one in outcomes] == ["retried", "snoozed", "retried", "finished", "finished", "failed"]
    assert kit.now() - began >= HOUR * 8
    assert [job.arguments for job in kit.enqueued()] == [{"text": "never"}]
    assert kit.run_due(until=kit.now() + HOUR * 2)[0].arguments == {"text": "never"}


def test_a_job_expires_in_the_time_that_passes(kit: Kit) -> None:
    """All instants of a row move together."""

    @kit.tq.job(name="note", expires=60)
    def note() -> None: ...

    note.enqueue()
    kit.advance(HOUR)
    (ran,) = kit.drain()
    assert (ran.outcome, "expired" in str(ran.error)) == ("failed", True)


def test_run_due_raises_if_it_is_told_to(kit: Kit) -> None:
    """At the first error, like drain."""

    @kit.tq.job(name="fail")
    def fail() -> None:
        raise ValueError("as it must")

    fail.using(delay=60).enqueue()
    with pytest.raises(ValueError, match="as it must"):
        kit.run_due(HOUR, raise_errors=True)


def test_time_that_cannot_be(kit: Kit) -> None:
    """It passes forward, and a time has a zone."""
    with pytest.raises(ValueError, match="forward"):
        kit.advance(-1)
    with pytest.raises(ValueError, match="zone"):
        kit.run_due(datetime(2030, 1, 1))  # noqa: DTZ001 - that is the point


def test_what_cannot_run_does_not_hold_the_clock(kit: Kit) -> None:
    """A paused queue, and a job that nobody knows, are passed by."""

    @kit.tq.job(name="note")
    def note() -> None: ...

    note.using(queue="paused", delay=60).enqueue()
    note.using(delay=120).enqueue()
    if isinstance(kit, DatabaseKit):
        kit.tq.tools().catalog.queues.pause("paused")
        assert [one.queue for one in kit.run_due(HOUR)] == ["default"]
    else:
        assert len(kit.run_due(HOUR)) == 2
    note.enqueue()
    del kit.tq.registry._by_name["note"]
    assert [one.outcome for one in kit.run_due(HOUR)] == ["parked"]


def test_a_job_that_enqueues_itself_does_not_hang_the_test(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named."""

    @kit.tq.job(name="again")
    def again() -> None:
        again.enqueue()

    for module in ("on_database", "transaction"):
        monkeypatch.setattr(f"tomqueue.testing.{module}.MOST", 20)
    again.enqueue()
    with pytest.raises(EndlessJobs, match="20 jobs ran, the last again"):
        kit.drain()


def test_inline_runs_at_the_enqueue(kit: Kit) -> None:
    """In the caller's thread; afterwards all is as before."""
    ran: list[int] = []

    @kit.tq.job(name="note")
    def note(number: int) -> None:
        ran.append(number)

    with kit.inline():
        note.enqueue(1)
    assert ran == [1]
    note.enqueue(2)
    assert ran == [1]
    kit.assert_enqueued(note, [2])


def test_an_atomic_job_commits_its_writes_with_its_finish(kit: Kit) -> None:
    """Its enqueues too; one that fails leaves nothing of them."""

    @kit.tq.job(name="note")
    def note(text: str) -> None: ...

    @kit.tq.job(name="both", atomic=True, max_attempts=2, backoff=0)
    def both(ctx: JobContext) -> None:
        note.enqueue(f"attempt {ctx.attempt}")
        if ctx.attempt == 1:
            raise ValueError("not yet")

    both.enqueue()
    assert [one.outcome for one in kit.run_due(60)] == ["retried", "finished", "finished"]
    assert kit.enqueued() == []


def test_events_and_layers_are_the_applications(kit: Kit) -> None:
    """A job in a test goes the way that it goes in a worker."""
    layers: list[str] = []

    def tracing(attempt: object, proceed: object) -> bool:
        layers.append("in")
        assert callable(proceed)
        return bool(proceed(attempt))

    kit.tq.worker_layers.insert(tracing, before="Timeout")
    seen = record_events(kit.tq)

    @kit.tq.job(name="note")
    async def note() -> None: ...

    note.enqueue()
    kit.drain()
    assert [event for event in seen if event.startswith("job.") and event != "job.enqueued"] == [
        "job.started", "job.finished",
    ]  # fmt: skip
    assert layers == ["in"]


def test_ctrl_c_in_a_job_ends_the_test(kit: Kit) -> None:
    """And what a test's own assertion or time-out raises there, too: the job is not charged for it."""

    @kit.tq.job(name="note")
    def note() -> None:
        pytest.fail("inside of a job")

    note.enqueue()
    with pytest.raises(pytest.fail.Exception, match="inside of a job"):
        kit.drain(raise_errors=False)
    assert [(job.state, job.attempts) for job in kit.enqueued()] == [(State.READY, 0)]


def test_unique_jobs(kit: Kit) -> None:
    """A key is held until its job runs, or its window is over by the kit's time; a retry holds it again."""
    tries: list[int] = []

    @kit.tq.job(name="refresh", unique=True, unique_for=HOUR, max_attempts=2)
    def refresh() -> None:
        tries.append(1)
        raise Retry(delay=60)

    first = refresh.enqueue()
    assert refresh.enqueue().id == first.id
    kit.assert_enqueued(refresh, count=1)
    kit.drain()
    assert refresh.enqueue().id == first.id
    kit.run_due(60)
    assert len(tries) == 2
    second = refresh.using(delay=2 * HOUR).enqueue()
    assert not second.is_existing
    kit.advance(HOUR)
    assert not refresh.enqueue().is_existing
