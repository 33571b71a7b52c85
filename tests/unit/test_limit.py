"""What limits say: options that cannot work are refused where they are written, and the key of a call."""

import inspect
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tomqueue import TomQueue
from tomqueue.definition import Limit, rate_interval
from tomqueue.definition.limit import limiting_of
from tomqueue.definition.options import Options
from tomqueue.errors import DefinitionError, EnqueueError
from tomqueue.store.quotas import HORIZON, MOST, Quota
from tomqueue.times import pace

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(account_id: int, month: str = "May") -> None:
    """Stand for the application's."""


def declared(**options: Any) -> Any:
    """Return the limiting of a declaration."""
    return limiting_of("report", Options(**options), inspect.signature(job).parameters)


def key_of(queue: str = "default", *, values: dict[str, Any] | None = None, **options: Any) -> str:
    """Return the key of a call."""
    given = {"account_id": 7, "month": "May"} if values is None else values
    return str(declared(**options).counted(lambda: given).limit_key(queue))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"concurrency": 0}, "concurrency=0 must be between 1 and"),
        ({"concurrency": True}, "must be a whole number"),
        ({"concurrency": 1.5}, "must be a whole number"),
        ({"rate": "often"}, "rate='often' is no rate: it looks like 10/s"),
        ({"rate": 100}, "rate=100 is no rate"),
        ({"rate": "0/min"}, "lets no job start"),
        ({"rate": "-1/s"}, "is no rate"),
        ({"rate": "100/fortnight"}, "is no rate"),
        ({"rate": "1001/s"}, "more than 1,000 a second"),
        ({"concurrency": 1, "concurrency_key": "account"}, "must be a function of the job's arguments"),
        ({"concurrency": 1, "concurrency_key": int}, "takes|cannot|must be"),
        (
            {"concurrency": 1, "concurrency_key": lambda acount_id: acount_id},
            "takes 'acount_id', and the job has account",
        ),
        ({"concurrency": 1, "concurrency_key": lambda *args: args}, r"takes \*args"),
        ({"concurrency_key": lambda account_id: account_id}, "concurrency_key without concurrency: say how many"),
        ({"rate": "1/s", "concurrency_key": lambda account_id: account_id}, "for a rate it is called rate_key"),
        ({"rate_key": lambda account_id: account_id}, "rate_key without rate"),
        ({"concurrency": 1, "rate": "1/s", "rate_key": lambda account_id: account_id}, "give it as concurrency_key"),
        ({"concurrency": 1, "fair_key": lambda account_id: account_id}, "a job has one of them"),
    ],
)
def test_what_cannot_work_is_refused_at_the_declaration(options: dict[str, Any], complaint: str) -> None:
    """The message names the job and the option."""
    with pytest.raises(DefinitionError, match=rf"report: .*({complaint})"):
        declared(**options)


def test_a_key_is_the_name_and_what_its_function_says() -> None:
    """Of the arguments by name, defaults too; a fair key is one of its queue."""
    assert declared() is None
    assert key_of(concurrency=2) == "report"
    assert key_of(rate="1/s", rate_key=lambda account_id: account_id) == "report:7"
    assert key_of(concurrency=1, concurrency_key=lambda month, account_id: f"{month}/{account_id}") == "report:May/7"
    assert key_of("mailers", fair_key=lambda account_id: account_id) == "mailers/fair:7"
    assert declared(concurrency=2, rate="100/min").limit == Limit(
        name="report", concurrency=2, every=timedelta(seconds=0.6)
    )


@pytest.mark.parametrize("said", [None, "", " a", "a\n", "a\x00", "\ud800", 1.5, b"a", ["a"]])
def test_a_key_that_cannot_be_stored_is_refused_at_the_enqueue(said: object) -> None:
    """And the message says what it was."""
    with pytest.raises(EnqueueError, match="report: concurrency_key returned"):
        key_of(concurrency=1, concurrency_key=lambda: said)


def test_a_key_that_is_too_long_or_raises_is_refused_at_the_enqueue() -> None:
    """A column has an end, and an application's function may be wrong."""
    with pytest.raises(EnqueueError, match="has 207 characters, and 200 are the most"):
        key_of(concurrency=1, concurrency_key=lambda: "x" * 200)
    with pytest.raises(EnqueueError, match="concurrency_key raised ZeroDivisionError"):
        key_of(concurrency=1, concurrency_key=lambda account_id: account_id / 0)


@pytest.mark.parametrize("options", [{"redact": ("month",)}, {"encrypt": True}])
def test_no_message_of_a_discreet_job_quotes_a_value(options: dict[str, Any]) -> None:
    """Nor what it was raised from."""
    nothing: dict[str, str] = {}
    for key in (lambda: {"a": "hunter2"}, lambda: nothing["hunter2"]):
        with pytest.raises(EnqueueError, match="report: concurrency_key r") as raised:
            key_of(concurrency=1, concurrency_key=key, **options)
        assert "hunter2" not in str(raised.value)
        assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_functions_and_classes_say_their_keys() -> None:
    """A class's fields are its arguments; the context is none."""
    tq = TomQueue("sqlite:///never-opened.db")

    @tq.job(name="call", concurrency=1, concurrency_key=lambda account_id: account_id)
    def call(account_id: int, month: str = "May") -> None: ...

    @tq.job(name="letter", fair_key=lambda tenant: tenant)
    @dataclass
    class Letter:
        tenant: str

        def process(self) -> None: ...

    for prepared, key in ((call.prepare(account_id=3), "call:3"), (tq.prepare(Letter("a")), "default/fair:a")):
        assert prepared.counted is not None
        assert prepared.counted.limit_key("default") == key
    assert tq.registry.limits() == [Limit(name="call", concurrency=1)]


@pytest.mark.parametrize("rate", ["10/s", "7/s", "100/min", "1000/h", "5000/day", "1/day"])
def test_a_rate_is_shown_as_it_was_written(rate: str) -> None:
    """The span between two starts says it all."""
    assert pace(rate_interval(rate)) == rate


# Quotas -------------------------------------------------------------------------------------------------


def quota(**values: Any) -> Quota:
    """Return the room of a key where nothing is in."""
    return Quota(**{"most": None, "taken": 0, "idle": 0, "every": None, "free_at": None, "now": NOW, **values})


def test_room_is_what_is_left_of_each_limit() -> None:
    """Never negative, never more than one transaction lets in, and no further ahead than the horizon."""
    assert quota(most=5, taken=3).room == 2
    assert quota(most=1, taken=4).room == 0
    assert quota(most=10**6).room == MOST
    second = timedelta(seconds=1)
    assert quota(every=second).room == HORIZON // second
    assert quota(every=second, idle=1).room == 2
    assert quota(every=second, free_at=NOW + HORIZON * 2).room == 0
    assert quota(every=second, most=1, taken=0).room == 1


def test_moments_begin_now_or_where_the_last_one_ended() -> None:
    """What nobody used is gone: a rate does not save up."""
    second = timedelta(seconds=1)
    assert quota(every=second, free_at=NOW - 9 * second).slots(2) == [NOW, NOW + second]
    assert quota(every=second, free_at=NOW + second).slots(1) == [NOW + second]
    assert quota(every=second).next_at(2) == NOW + 2 * second
    assert quota(every=second, free_at=NOW).next_at(0) == NOW
    lowered = quota(every=second, free_at=NOW + timedelta(days=1))
    assert lowered.next_at(0) == NOW + HORIZON + second


def test_a_look_is_due_where_no_end_will_make_room() -> None:
    """When the next one falls due, or the next moment comes near; else somebody's end is the look."""
    second, later = timedelta(seconds=1), NOW + timedelta(hours=1)
    assert quota(most=2).look_at(1, later) == later
    assert quota(most=2).look_at(3, later) is None
    assert quota(most=2, taken=2).look_at(0, None) is None
    assert quota(every=10 * second).look_at(2, None) == NOW + 10 * second - HORIZON
    assert quota(every=second, idle=3).look_at(0, None) == NOW + second
    assert quota(most=10**6).look_at(MOST + 1, None) == NOW
