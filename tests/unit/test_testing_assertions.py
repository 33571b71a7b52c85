"""Which jobs a test means, and what it is told."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from tomqueue import Job, Priority, State, TomQueue
from tomqueue.definition import Registry
from tomqueue.errors import ArgumentsError, DefinitionError, UnknownJob
from tomqueue.testing.assertions import listing, wanted

NOW = datetime(2030, 1, 1, tzinfo=UTC)
tq = TomQueue("sqlite:///unused.db")


@tq.job(name="send")
def send(user_id: int, text: str = "hi") -> None:
    """Stand for a job."""


@tq.job(name="letter")
@dataclass
class Letter:
    to: str

    def process(self) -> None: ...


def job(payload: str = '{"user_id":7}', **values: Any) -> Job:
    """Return a job of the first kind."""
    fields: dict[str, Any] = {
        "id": 1, "queue": "default", "priority": Priority.NORMAL, "name": "send", "payload": payload,
        "state": State.READY, "run_at": NOW, "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return Job(**{**fields, **values})


@pytest.mark.parametrize(("what", "args", "terms"), [
    (None, None, {}),
    (send, None, {}),
    (send, [7], {}),
    (send, (7,), {"queue": "default"}),
    (send, {"user_id": 7}, {"priority": "normal"}),
    (send, {}, {}),
    ("send", {"user_id": 7}, {}),
    (send.prepare(7), None, {}),
])  # fmt: skip
def test_what_is_meant(what: object, args: Any, terms: dict[str, Any]) -> None:
    """By a declared job, a prepared call or a name; by all arguments in their order, or some of them by name."""
    assert wanted(tq.registry, what, args, terms.get("queue"), terms.get("priority")).means(job())


@pytest.mark.parametrize(("what", "args", "terms"), [
    (send, [8], {}),
    (send, [7, "ho"], {}),
    (send, {"user_id": 8}, {}),
    (send, {"text": "hi"}, {}),  # a default that the caller left out is not stored
    (send, None, {"queue": "other"}),
    (send, None, {"priority": "high"}),
    (Letter, None, {}),
    (Letter("me"), None, {}),
])  # fmt: skip
def test_what_is_not_meant(what: object, args: Any, terms: dict[str, Any]) -> None:
    """One thing that differs is enough."""
    assert not wanted(tq.registry, what, args, terms.get("queue"), terms.get("priority")).means(job())


def test_a_class_is_meant_by_an_instance_or_by_some_fields() -> None:
    """An instance says all of them."""
    letter = job('{"to":"me"}', name="letter")
    assert wanted(tq.registry, Letter("me"), None, None, None).means(letter)
    assert wanted(tq.registry, Letter, {"to": "me"}, None, None).means(letter)
    assert not wanted(tq.registry, Letter("you"), None, None, None).means(letter)


@pytest.mark.parametrize(("what", "args", "error"), [
    ("sent", None, UnknownJob),
    (object(), None, DefinitionError),
    (int, None, DefinitionError),
    (send, ["seven"], ArgumentsError),
    (send, [7, "hi", "more"], ArgumentsError),
    ("send", [7], TypeError),
    (Letter("me"), ["me"], TypeError),
    (send.prepare(7), [7], TypeError),
])  # fmt: skip
def test_what_cannot_be_meant(what: object, args: Any, error: type[Exception]) -> None:
    """A mistake in the test is no job that is missing."""
    with pytest.raises(error):
        wanted(tq.registry, what, args, None, None)


def test_a_priority_that_there_is_not() -> None:
    """It is refused, too."""
    with pytest.raises(ValueError, match="urgent"):
        wanted(Registry(), None, None, None, "urgent")


def test_the_list_of_jobs_is_bounded() -> None:
    """In its lines, and in what it shows of arguments."""
    text = listing([job('{"text":"' + "x" * 1000 + '"}', id=number) for number in range(25)])
    assert len(text.splitlines()) == 21
    assert text.splitlines()[-1] == "  and 5 more"
    assert max(map(len, text.splitlines())) < 300


def test_a_line_says_what_one_looks_for() -> None:
    """Id, name, arguments, queue, priority and state."""
    assert listing([job()]) == '  job 1 send {"user_id":7} queue=default priority=normal ready'


def test_what_is_wanted_is_said_in_words() -> None:
    """As it begins the message."""
    assert str(wanted(tq.registry, send, [7], "mailers", "high")) == 'send {"user_id":7} queue=mailers priority=high'
    assert str(wanted(tq.registry, send, {"user_id": 7}, None, None)) == 'send with {"user_id":7}'
    assert str(wanted(tq.registry, None, None, None, None)) == "job"
