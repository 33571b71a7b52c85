"""Periodic jobs while a test lets time pass: each tick at its time, by the hands of the clock that the test moves."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from tomqueue import JobContext
from tomqueue.testing import DatabaseKit, Kit

HOUR = timedelta(hours=1)
KOLKATA = ZoneInfo("Asia/Kolkata")  # every day of it has 24 hours


def test_ticks_come_at_their_times(kit: Kit) -> None:
    """In one order with everything else that falls due."""
    ran: list[tuple[str, datetime]] = []

    @kit.tq.job(name="nightly", cron="30 3 * * *", timezone="Asia/Kolkata")
    def nightly(ctx: JobContext) -> None:
        assert ctx.tick is not None
        ran.append(("nightly", ctx.tick))

    @kit.tq.job(name="note")
    def note() -> None:
        ran.append(("note", kit.now()))

    began = kit.now()
    note.using(run_at=datetime.now(UTC) + HOUR * 36).enqueue()
    outcomes = kit.run_due(until=HOUR * 72)
    nights = [at.astimezone(KOLKATA) for name, at in ran if name == "nightly"]
    assert [at.strftime("%H:%M") for at in nights] == ["03:30"] * 3
    assert [(after.date() - night.date()).days for night, after in pairwise(nights)] == [1, 1]
    assert all(began < night <= began + HOUR * 72 for night in nights)
    assert [at for _, at in ran] == sorted(at for _, at in ran)
    assert [one.outcome for one in outcomes] == ["finished"] * 4
    kit.assert_not_enqueued()


def test_a_beat_goes_on_where_it_was(kit: Kit) -> None:
    """Over several calls, and by whole spans."""
    ticks: list[datetime] = []

    @kit.tq.job(name="beat", every=timedelta(minutes=10))
    def beat(ctx: JobContext) -> None:
        assert ctx.tick is not None
        ticks.append(ctx.tick)

    kit.drain()  # the first worker declares it
    kit.run_due(until=timedelta(minutes=35))
    kit.run_due(until=timedelta(minutes=35))
    assert [after - tick for tick, after in pairwise(ticks)] == [timedelta(minutes=10)] * 6


def test_what_was_missed_is_as_its_policy_says(kit: Kit) -> None:
    """Time that passes without a worker, and then one."""
    ticks: dict[str, list[datetime]] = {"once": [], "skip": [], "all": []}

    def note(ctx: JobContext) -> None:
        assert ctx.tick is not None
        ticks[ctx.name].append(ctx.tick)

    for policy in ticks:
        kit.tq.job(name=policy, every=HOUR, misfire=policy)(note)
    kit.drain()
    began = kit.now()
    kit.advance(HOUR * 3.5)
    kit.drain()
    assert {policy: len(found) for policy, found in ticks.items()} == {"once": 1, "skip": 0, "all": 3}
    assert all(began < at <= kit.now() for at in ticks["all"])


def test_a_paused_schedule_does_not_hold_the_clock(kit: Kit) -> None:
    """Nor does one whose job nobody declares any more."""

    @kit.tq.job(name="beat", every=HOUR)
    def beat() -> None: ...

    if isinstance(kit, DatabaseKit):
        kit.tq.schedules.pause("beat")
        assert kit.run_due(HOUR * 3) == []
        kit.tq.schedules.resume("beat")
    assert [one.name for one in kit.run_due(HOUR * 2.5)] == ["beat", "beat"]
    del kit.tq.registry._by_name["beat"]
    assert kit.run_due(HOUR * 3) == []


def test_a_schedule_whose_layer_fails_is_held(kit: Kit) -> None:
    """It is reported, its tick is not enqueued, and the clock goes on."""
    reported: list[BaseException] = []

    class Reporter:
        def notify(self, error: BaseException) -> None:
            reported.append(error)

    def refusing(_request: object, _proceed: object) -> None:
        raise ValueError("as it must")

    kit.tq.exception_reporter = Reporter()
    kit.tq.enqueue_layers.insert(refusing, before="Persist")

    @kit.tq.job(name="beat", every=HOUR)
    def beat() -> None: ...

    began = kit.now()
    assert kit.run_due(HOUR * 2) == []
    assert kit.now() >= began + HOUR * 2
    assert str(reported[0]) == "as it must"
