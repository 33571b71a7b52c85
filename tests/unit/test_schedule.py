"""The ticks of a schedule: cron lines, time zones and their changed clocks, missed ticks, and what is refused."""

import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomqueue import JobContext, TomQueue
from tomqueue.definition import Misfire, Schedule, Tick, schedule, turn_of
from tomqueue.errors import DefinitionError

BERLIN = "Europe/Berlin"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
SPRING = datetime(2026, 3, 29, tzinfo=UTC)
"""Midnight in UTC of the day when Berlin's clocks go from 2:00 to 3:00, at 1:00 UTC."""
AUTUMN = datetime(2026, 10, 25, tzinfo=UTC)
"""Midnight in UTC of the day when Berlin's clocks go back from 3:00 to 2:00, at 1:00 UTC."""
LINES = ("30 2 * * *", "*/20 * * * *", "15 1-3 * * *", "0 */2 * * *", "5,45 2,3 * * 0", "0 0 1 * *", "59 23 L 2 *")


@pytest.fixture
def tq() -> TomQueue:
    """Give an application whose database nobody asks."""
    return TomQueue("sqlite:///never-opened.db")


def hours(cron: str, since: datetime, number: int, timezone: str | None = BERLIN) -> list[str]:
    """Return the next ticks as the clock on the wall shows them, with the offset from UTC."""
    line, zone = Schedule(cron=cron, timezone=timezone), ZoneInfo(timezone or "UTC")
    found, at = [], since
    for _ in range(number):
        at = line.after(at, at)
        found.append(f"{at.astimezone(zone):%d %H:%M %z}".replace("+0", "+").removesuffix("00"))
    return found


@pytest.mark.parametrize(
    ("cron", "ticks"),
    [
        ("30 2 * * *", ["29 03:00 +2", "30 02:30 +2"]),  # at the first moment after the gap
        ("0,30 2 * * *", ["29 03:00 +2", "30 02:00 +2"]),  # once for all that the gap swallows
        ("30 1-3 * * *", ["29 01:30 +1", "29 03:00 +2", "29 03:30 +2"]),
        ("*/30 * * * *", ["29 01:00 +1", "29 01:30 +1", "29 03:00 +2", "29 03:30 +2"]),  # every half hour that passes
        ("30 * * * *", ["29 01:30 +1", "29 03:30 +2"]),  # that hour has no half past
    ],
)
def test_a_skipped_hour(cron: str, ticks: list[str]) -> None:
    """As Debian's cron: a fixed time in the gap comes right after it, an interval goes on by the time that passes."""
    assert hours(cron, SPRING - timedelta(seconds=1), len(ticks)) == ticks


@pytest.mark.parametrize(
    ("cron", "ticks"),
    [
        ("30 2 * * *", ["25 02:30 +2", "26 02:30 +1"]),  # the first of the two only
        ("30 1-3 * * *", ["25 02:30 +2", "25 03:30 +1"]),
        ("*/30 * * * *", ["25 02:00 +2", "25 02:30 +2", "25 02:00 +1", "25 02:30 +1", "25 03:00 +1"]),
        ("30 * * * *", ["25 02:30 +2", "25 02:30 +1", "25 03:30 +1"]),  # once in each hour that passes
    ],
)
def test_a_repeated_hour(cron: str, ticks: list[str]) -> None:
    """As Debian's cron: a fixed time runs once, an interval goes on by the time that passes."""
    assert hours(cron, AUTUMN - timedelta(seconds=1), len(ticks)) == ticks


def test_a_fixed_time_is_over_in_the_second_run_of_its_hour() -> None:
    """A worker that looks between the two half past twos does not run the second, nor one that has passed."""
    second_time = AUTUMN + timedelta(hours=1, minutes=15)  # 2:15, for the second time
    assert hours("30 2 * * *", second_time, 1) == ["26 02:30 +1"]
    assert hours("5 2 * * *", second_time, 1) == ["26 02:05 +1"]


@given(
    cron=st.sampled_from(LINES),
    timezone=st.sampled_from([BERLIN, "UTC", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"]),
    moment=st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    share=st.floats(0, 1, exclude_max=True),
)
def test_the_next_tick_is_the_same_from_wherever_one_looks(
    cron: str, timezone: str, moment: datetime, share: float
) -> None:
    """It lies ahead, and stays the same until it has come: so it does not matter when and where workers look."""
    line = Schedule(cron=cron, timezone=timezone)
    tick = line.after(moment, moment)
    assert tick > moment
    later = moment + (tick - moment) * share
    assert line.after(min(later, tick - timedelta(microseconds=1)), moment) == tick


@given(seconds=st.integers(1, 10**7), passed=st.floats(0, 10**8))
def test_every_keeps_its_beat(seconds: int, passed: float) -> None:
    """The next tick is a whole number of spans after the last one, and ahead."""
    beat, now = timedelta(seconds=seconds), NOON + timedelta(seconds=passed)
    tick = Schedule(every=beat).after(now, NOON)
    assert (tick - NOON) % beat == timedelta(0)
    assert now < tick <= now + beat


def test_the_weekday_and_the_day_of_the_month_are_joined_as_in_cron() -> None:
    """Both given: either will do. Six fields begin with the seconds."""
    assert hours("0 0 13 * 5", NOON, 3, None) == ["05 00:00 +0", "12 00:00 +0", "13 00:00 +0"]
    assert Schedule(cron="*/20 * * * * *").after(NOON, NOON) == NOON + timedelta(seconds=20)


# Missed ticks -----------------------------------------------------------------------------------------


def minutely(misfire: Misfire) -> Schedule:
    """Return a schedule with a tick every minute."""
    return Schedule(cron="* * * * *", misfire=misfire)


@pytest.mark.parametrize("misfire", list(Misfire))
def test_a_tick_in_time_is_one_job(misfire: Misfire) -> None:
    """Whatever the policy, and also with the delay of a busy database."""
    turn = turn_of(minutely(misfire), NOON, NOON + timedelta(seconds=20), 100)
    assert turn == ([NOON], NOON + timedelta(minutes=1))


def test_missed_ticks_are_left_out() -> None:
    """``skip``: what is later than a minute is not made up for; a tick that just came is."""
    rare = Schedule(cron="0 * * * *", misfire=Misfire.SKIP)
    assert turn_of(rare, NOON, NOON + timedelta(minutes=61, seconds=1), 100) == ([], NOON + timedelta(hours=2))
    now = NOON + timedelta(minutes=10, seconds=20)
    turn = turn_of(minutely(Misfire.SKIP), NOON, now, 100)
    assert turn == ([NOON + timedelta(minutes=10)], NOON + timedelta(minutes=11))


def test_one_job_stands_for_missed_ticks() -> None:
    """``once``: named after the first of them."""
    turn = turn_of(minutely(Misfire.ONCE), NOON, NOON + timedelta(days=400), 100)
    assert turn == ([NOON], NOON + timedelta(days=400, minutes=1))


def test_each_missed_tick_becomes_a_job_piece_by_piece() -> None:
    """``all``: as many as one transaction takes, and then the next."""
    now = NOON + timedelta(minutes=5)
    assert turn_of(minutely(Misfire.ALL), NOON, now, 4) == (
        [NOON + timedelta(minutes=minute) for minute in range(4)], NOON + timedelta(minutes=4),
    )  # fmt: skip
    assert turn_of(minutely(Misfire.ALL), NOON + timedelta(minutes=4), now, 4) == (
        [NOON + timedelta(minutes=4), NOON + timedelta(minutes=5)], NOON + timedelta(minutes=6),
    )  # fmt: skip


# Declarations -----------------------------------------------------------------------------------------


def nothing() -> None:
    """Stand for a job: only its declaration counts here."""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cron": "0 0 30 2 *"}, r"report: cron='0 0 30 2 \*' is no cron line \(Bad day-of-month\): it looks like"),
        ({"cron": "0 0 * 2 MON#5,TUE#5", "timezone": 7}, "report: timezone=7 must be a str such as 'Europe/Berlin'"),
        ({"cron": "@daily"}, "report: cron='@daily' is no cron line"),
        ({"cron": "61 * * * *"}, "Bad minute"),
        ({"cron": ""}, "report: cron='' is no cron line"),
        ({"cron": 5}, "report: cron=5 must be a str"),
        ({"cron": f"{'1,' * 200}1 * * * *"}, "is longer than 200 characters"),
        ({"cron": "0 0 * * *", "every": 60}, "report: every=60 and cron= are both given"),
        (
            {"cron": "0 0 * * *", "timezone": "Europe/Berln"},
            "timezone='Europe/Berln' is no time zone: did you mean 'Eu",
        ),
        ({"cron": "0 0 * * *", "timezone": "../Berlin"}, r"is no time zone: "),
        ({"cron": "0 0 * * *", "timezone": "Europe"}, r"is no time zone: "),
        ({"cron": "0 0 * * *", "misfire": "never"}, "misfire='never' is unknown: use one of skip, once, all"),
        ({"every": 0}, "report: every=0 must be between 1 and"),
        ({"every": timedelta(seconds=-5)}, "must be between 1 and"),
        ({"every": 0.5}, "must be between 1 and"),
        ({"every": "5 min"}, "must be a number"),
        ({"every": 60, "timezone": BERLIN}, "timezone='Europe/Berlin' says nothing without cron="),
        ({"misfire": "all"}, "misfire='all' says nothing without cron= or every="),
    ],
)
def test_a_schedule_that_cannot_work_is_refused_where_it_is_declared(
    tq: TomQueue, options: dict[str, Any], message: str
) -> None:
    """The message names the job, the option and what to do."""
    with pytest.raises(DefinitionError, match=message):
        tq.job(name="report", **options)(nothing)
    assert tq.registry.names() == []


def test_a_host_without_time_zones_says_what_to_install(tq: TomQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slim container has none; UTC needs none."""
    monkeypatch.setattr(schedule, "available_timezones", set)
    monkeypatch.setattr(schedule, "ZoneInfo", unknown_zone)
    with pytest.raises(DefinitionError, match=r"timezone='Europe/Berlin' is unknown here.*pip install tzdata"):
        tq.job(name="report", cron="0 0 * * *", timezone=BERLIN)(nothing)
    tq.job(name="report", cron="0 0 * * *")(nothing)


def unknown_zone(name: str) -> None:
    """Know no time zone."""
    raise zoneinfo.ZoneInfoNotFoundError(name)


def test_a_job_that_needs_arguments_cannot_be_periodic(tq: TomQueue) -> None:
    """Nobody would pass them; a context is no argument, and defaults are enough."""

    def needy(month: str) -> None: ...

    def needs_keyword(*, month: str) -> None: ...

    def with_context(ctx: JobContext, month: str) -> None: ...

    jobs: list[Callable[..., Any]] = [needy, needs_keyword, with_context]
    for job in jobs:
        with pytest.raises(DefinitionError, match=r"report: a periodic job .* is called without arguments"):
            tq.job(name="report", every=60)(job)

    @tq.job(name="content", every=60)
    def content(ctx: JobContext, month: str = "May", *more: int) -> None: ...

    assert tq.registry.periodic("content").payload == "{}"


def test_a_class_is_made_at_each_tick(tq: TomQueue) -> None:
    """Its defaults are of that moment; a field without one is refused."""
    with pytest.raises(DefinitionError, match="digest: a periodic job"):

        @tq.job(name="digest", every=60)
        class Needy:
            month: str

            def process(self) -> None: ...

    made = iter(range(10))

    @tq.job(name="digest", every=60)
    @dataclass
    class Digest:
        number: int = 0

        def __post_init__(self) -> None:
            self.number = next(made)

        def process(self) -> None: ...

    assert [tq.registry.periodic("digest").payload for _ in range(2)] == ['{"number":0}', '{"number":1}']


def test_the_registry_knows_what_is_periodic(tq: TomQueue) -> None:
    """Cron lines are kept with single spaces and their zone."""
    tq.job(name="plain")(nothing)
    tq.job(name="nightly", cron=" 0  3 * * * ", timezone=BERLIN, misfire="skip")(nothing)
    tq.job(name="often", every=timedelta(minutes=5))(nothing)
    assert tq.registry.schedules() == {
        "nightly": Schedule(cron="0 3 * * *", timezone=BERLIN, misfire=Misfire.SKIP),
        "often": Schedule(every=timedelta(minutes=5)),
    }


@pytest.mark.parametrize(
    "meta", [None, "", "{}", "[]", '{"tenant":"acme"}', '{"schedule":"a","tick":"soon"}', "[" * 9999]
)
def test_meta_that_tells_of_no_tick_is_left_alone(meta: str | None) -> None:
    """Rows are data: layers write there what they like."""
    assert Tick.of_meta(meta) is None
    tick = Tick(schedule="report", at=NOON)
    assert Tick.of_meta(tick.within(None)) == tick


def test_a_tick_stands_beside_what_a_layer_wrote() -> None:
    """Unless that is no JSON object: it is the layer's."""
    tick = Tick(schedule="report", at=NOON)
    assert tick.within('{"tenant":"acme"}') == '{"tenant":"acme","schedule":"report","tick":"2026-06-01T12:00:00Z"}'
    assert Tick.of_meta(tick.within('{"tenant":"acme"}')) == tick
    assert tick.within("acme") == "acme"
