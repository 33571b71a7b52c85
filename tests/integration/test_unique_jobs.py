"""Unique jobs as an application declares and enqueues them, and what a worker makes of them."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.harness import change, make_due, record_events, row, store_of, work
from tomqueue import Snooze, State, TomQueue
from tomqueue.errors import ArgumentsError, DefinitionError, EnqueueError
from tomqueue.job import Job


def keys(tq: TomQueue) -> list[str | None]:
    """Return the keys of all jobs."""
    return [job.unique_key for job in tq.jobs.list()]


def test_a_key_that_is_held_gives_its_job(tq: TomQueue, caplog: pytest.LogCaptureFixture) -> None:
    """The second enqueue returns the first one's job, says so, and publishes nothing."""
    events = record_events(tq)
    told: list[int] = []
    tq.on("job.deduplicated", lambda job: told.append(job.id))

    @tq.job(name="send")
    def send(user_id: int) -> None: ...

    with caplog.at_level(logging.DEBUG, logger="tomqueue"):
        first = send.using(unique="welcome", delay=60).enqueue(1)
        second = send.using(unique="welcome").enqueue(2)
    assert (first.is_existing, first.unique_key, first.unique_held) == (False, "welcome", True)
    assert (second.is_existing, second.id, second.arguments) == (True, first.id, {"user_id": 1})
    assert second.state is State.SCHEDULED
    assert events == ["job.enqueued", "job.deduplicated"]
    assert told == [first.id]
    assert f"job {first.id} send holds the unique key already: nothing was enqueued" in caplog.text
    assert not tq.jobs.get(first.id).is_existing


def test_a_key_of_the_arguments(tq: TomQueue) -> None:
    """A callable says it, of the arguments however they are given, defaults too; None is no key."""

    @tq.job(unique=lambda user_id, *, lang: f"{user_id}-{lang}" if user_id else None)
    def send(user_id: int, *, lang: str = "en") -> None: ...

    assert send.enqueue(1).id == send.enqueue(user_id=1, lang="en").id
    assert not send.enqueue(1, lang="de").is_existing
    assert not send.enqueue(0).is_existing
    assert not send.enqueue(0).is_existing
    assert keys(tq) == ["1-en", "1-de", None, None]
    assert send.using(unique=False).enqueue(1).unique_key is None
    assert send.using(unique=lambda user_id, lang: f"{lang}").enqueue(1).unique_key == "en"


def test_true_is_the_arguments(tq: TomQueue) -> None:
    """In any order of a dict or a set, by position or by name; of another job of the same arguments it is another."""

    @tq.job(unique=True)
    def count(names: set[str], options: dict[str, int]) -> None: ...

    @tq.job(unique=True)
    def print_all(names: set[str], options: dict[str, int]) -> None: ...

    first = count.enqueue({"a", "b", "c"}, {"x": 1, "y": 2})
    assert count.enqueue(options={"y": 2, "x": 1}, names={"c", "b", "a"}).id == first.id
    assert count.enqueue({"a", "b"}, {"x": 1, "y": 2}).id != first.id
    assert print_all.enqueue({"a", "b", "c"}, {"x": 1, "y": 2}).id != first.id
    assert first.unique_key is not None
    assert first.unique_key.startswith("arguments:")


def test_a_class_has_a_key_of_its_instance(tq: TomQueue) -> None:
    """By a callable of the instance, by its fields, or by what an enqueue says."""

    @tq.job(unique=lambda newsletter: newsletter.text)
    @dataclass
    class Newsletter:
        text: str
        issue: int = 1

        def process(self) -> None: ...

    first = tq.enqueue(Newsletter("a"))
    assert tq.enqueue(Newsletter("a", 2)).id == first.id
    assert tq.enqueue(Newsletter("a", 2), unique=True).id != first.id
    assert tq.enqueue(tq.prepare(Newsletter("a", 2), unique=True)).is_existing
    assert tq.enqueue(Newsletter("b"), unique="a").id == first.id


def test_a_method_has_a_key_of_its_object_and_arguments(tq: TomQueue) -> None:
    """By a callable that takes what the method takes, or by all of it."""

    @tq.target
    @dataclass
    class User:
        name: str
        groups: frozenset[str] = frozenset()

        @tq.handle_asynchronously(unique=lambda self, device: f"{self.name}-{device}", unique_until="finish")
        def activate(self, device: int) -> None: ...

        @tq.handle_asynchronously(unique=True)
        def greet(self) -> None: ...

        @tq.handle_asynchronously(unique=lambda number: f"n{number}")
        @staticmethod
        def count(number: int) -> None: ...

    first = User("a").activate(1)
    assert (first.unique_key, first.unique_until) == ("a-1", "finish")
    assert User("a").activate(1).id == first.id
    assert User("a").activate(2).id != first.id
    greeted = User("a", frozenset({"x", "y"})).greet()
    assert User("a", frozenset({"y", "x"})).greet().id == greeted.id
    assert User("b").greet().id != greeted.id
    count: Any = User.count
    assert count(7).unique_key == "n7"
    assert tq.delay(User("c"), unique="mine").greet().unique_key == "mine"


def test_many_at_once(tq: TomQueue) -> None:
    """One call answers in its order, with the same job for the same key."""

    @tq.job(unique=lambda number: f"{number % 3}")
    def count(number: int) -> None: ...

    jobs = tq.enqueue_many([count.prepare(number) for number in range(7)])
    first = jobs[0].id
    assert [job.id - first for job in jobs] == [0, 1, 2, 0, 1, 2, 0]
    assert [job.is_existing for job in jobs] == [False] * 3 + [True] * 4
    assert [job.is_existing for job in tq.enqueue_many([count.prepare(3), count.using(unique=False).prepare(3)])] == [
        True,
        False,
    ]


async def enqueue(job: Any, *args: Any) -> Job:
    """Enqueue from asynchronous code."""
    found: Job = await job.aenqueue(*args)
    return found


def test_from_asynchronous_code(tq: TomQueue) -> None:
    """``aenqueue`` is the same."""

    @tq.job(unique=True)
    def send(user_id: int) -> None: ...

    first = asyncio.run(enqueue(send, 7))
    assert asyncio.run(enqueue(send, 7)).id == first.id
    assert send.enqueue(7).is_existing


def test_inline_jobs_have_no_rows_that_could_hold_a_key(tq: TomQueue) -> None:
    """With ``delay_jobs=False`` each call runs."""
    ran: list[int] = []

    @tq.job(unique=True)
    def send(user_id: int) -> None:
        ran.append(user_id)

    tq.delay_jobs = False
    assert not send.enqueue(7).is_existing
    assert not send.enqueue(7).is_existing
    assert ran == [7, 7]


# Bad input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"unique": 7}, r"unique=7 must be a str, True"),
        ({"unique": ""}, "is empty"),
        ({"unique": "k" * 201}, "has 201 characters and the column takes 200"),
        ({"unique": True, "unique_until": "end"}, "unique_until=.*use 'start' or 'finish'"),
        ({"unique": True, "unique_for": 0}, "unique_for=0 must be between"),
        ({"unique_for": 60}, "unique_for says how long a key is held, and there is none"),
        ({"unique": False, "unique_until": "finish"}, "unique_until says how long"),
        ({"unique": lambda: "k"}, r"unique is called with what the job takes \(user_id\)"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(tq: TomQueue, options: dict[str, Any], says: str) -> None:
    """At import, naming the job and the option."""
    with pytest.raises(DefinitionError, match=rf"bad: {says}|bad: .*{says}"):

        @tq.job(name="bad", **options)
        def send(user_id: int) -> None: ...


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"unique": "k" * 201}, "has 201 characters and the column takes 200"),
        ({"unique": lambda _: "k" * 201}, "send: the unique key has 201 characters and the column takes 200"),
        ({"unique": "\0"}, "NUL"),
        ({"unique": "\ud800"}, "no Unicode text"),
        ({"unique": lambda user_id: user_id}, "send: unique gave a value of type int"),
        ({"unique": lambda _: ""}, "is empty"),
        ({"unique": lambda user_id: user_id / 0}, "send: unique raised ZeroDivisionError: division by zero"),
        ({"unique": lambda: "k"}, r"send: unique is called with what the job takes \(user_id\)"),
        ({"unique_for": timedelta(hours=1)}, "send: unique_for says how long a key is held, and there is none"),
        ({"unique": "k", "unique_until": "never"}, "unique_until=never is unknown"),
    ],
)
def test_an_enqueue_that_cannot_work_is_refused(tq: TomQueue, options: dict[str, Any], says: str) -> None:
    """Nothing is enqueued."""

    @tq.job(name="send")
    def send(user_id: int) -> None: ...

    with pytest.raises(EnqueueError, match=says):
        send.using(**options).enqueue(7)
    assert tq.jobs.list() == []


def test_encrypted_arguments_are_not_told_by_a_key() -> None:
    """A digest of them could be found by trying."""
    tq = TomQueue("sqlite://", encryption_keys="A" * 43 + "=")
    with pytest.raises(DefinitionError, match="pay: unique=True stores a digest of the arguments"):
        tq.job(name="pay", encrypt=True, unique=True)(lambda card: None)
    pay = tq.job(name="pay", encrypt=True)(lambda card: None)
    with pytest.raises(EnqueueError, match="pay: unique=True stores a digest"):
        pay.using(unique=True).prepare("4111")


def test_a_job_that_was_there_shows_what_is_declared_today(tq: TomQueue) -> None:
    """Though it was enqueued before that; to listeners and to who enqueues."""
    shown: list[Any] = []

    def login(user: str, password: str) -> None: ...

    def hear(job: Job) -> None:
        shown.append(job.arguments)

    tq.job(name="login", unique="k")(login).enqueue("a", "hunter2")
    today = TomQueue(tq.settings.database_url)
    job = today.job(name="login", unique="k", redact=("password",))(login)
    today.on("job.deduplicated", hear)
    today.on("job.cancelled", hear)
    hear(job.enqueue("b", "x"))
    for one in today.enqueue_many([job.prepare("c", "y"), job.prepare("d", "z")]):
        hear(one)
    assert today.jobs.count(unique_key="k") == 1
    assert today.jobs.where(unique_key="k").cancel() == 1
    today.close()
    assert shown == [{"user": "a", "password": "[redacted]"}] * 7


def test_arguments_are_checked_before_the_key(tq: TomQueue) -> None:
    """What the job does not take is the error, not what its key makes of it."""

    @tq.job(unique=lambda user_id: f"{user_id}")
    def send(user_id: int) -> None: ...

    with pytest.raises(ArgumentsError):
        send.enqueue("seven")  # type: ignore[arg-type]
    with pytest.raises(ArgumentsError):
        send.enqueue(7, 8)  # type: ignore[call-arg]


# In a worker --------------------------------------------------------------------------------------------


def test_while_it_runs_another_one_can_be_enqueued(tq: TomQueue) -> None:
    """The default: from the start on the key is free, and what is enqueued then runs as well."""
    ran: list[bool] = []

    @tq.job(unique=True)
    def refresh() -> None:
        ran.append(refresh.enqueue().is_existing if len(ran) == 0 else True)

    refresh.enqueue()
    work(tq)
    assert ran == [False, True]


def test_until_finish_there_is_none_beside_it(tq: TomQueue) -> None:
    """While it runs an enqueue is answered with the running job; after its end the key is free."""
    seen: list[Job] = []

    @tq.job(unique=True, unique_until="finish")
    def refresh() -> None:
        seen.append(refresh.enqueue())

    first = refresh.enqueue()
    work(tq)
    assert [(job.id, job.state, job.is_existing) for job in seen] == [(first.id, State.RUNNING, True)]
    assert not refresh.enqueue().is_existing


def test_an_atomic_job_lets_its_key_go_with_its_commit(tq: TomQueue) -> None:
    """An enqueue within it joins its transaction, and meets the key like any other."""
    seen: list[bool] = []

    @tq.job(unique=True, unique_until="finish", atomic=True)
    def refresh() -> None:
        seen.append(refresh.enqueue().is_existing)

    refresh.enqueue()
    work(tq)
    assert seen == [True]
    assert tq.jobs.list() == []
    assert not refresh.enqueue().is_existing


def failing(tq: TomQueue, meanwhile: Callable[[], object] = lambda: None, **options: Any) -> Any:
    """Declare a job that fails after it has done what is given."""

    @tq.job(name="failing", unique="k", **options)
    def failing() -> None:
        meanwhile()
        raise OSError("no route")

    return failing


def test_a_retry_takes_the_key_again(tq: TomQueue) -> None:
    """While it waits for its next attempt an enqueue is answered with it."""
    job = failing(tq)
    first = job.enqueue()
    work(tq)
    assert tq.jobs.get(first.id).unique_held
    again = job.enqueue()
    assert (again.id, again.state, again.attempts) == (first.id, State.SCHEDULED, 1)


def test_a_retry_that_meets_a_newer_holder_says_so(tq: TomQueue, caplog: pytest.LogCaptureFixture) -> None:
    """Both run: nothing is lost. The log and ``explain`` name the newer one."""
    job = failing(tq, lambda: job.using(delay=3600).enqueue())
    first = job.enqueue()
    with caplog.at_level(logging.INFO, logger="tomqueue"):
        work(tq)
    (newer,) = [one for one in tq.jobs.list() if one.id != first.id]
    assert newer.unique_held
    assert not tq.jobs.get(first.id).unique_held
    assert f"job {first.id} failing: its unique key is held by job {newer.id}; it goes on without it" in caplog.text
    make_due(tq, first.id)
    work(tq)
    assert row(tq, first.id).attempts == 2


def test_a_snoozed_job_takes_its_key_again(tq: TomQueue) -> None:
    """So does whatever waits again."""

    @tq.job(unique=True)
    def nap() -> None:
        raise Snooze(60)

    first = nap.enqueue()
    work(tq)
    assert nap.enqueue().id == first.id


def test_a_job_that_failed_for_good_has_no_key(tq: TomQueue) -> None:
    """Whether or not it was to be held until the end, and whether or not its row is kept."""
    job = failing(tq, max_attempts=1, unique_until="finish")
    first = job.enqueue()
    work(tq)
    failed = tq.jobs.get(first.id)
    assert (failed.state, failed.unique_key, failed.unique_held) == (State.FAILED, "k", False)
    assert not job.enqueue().is_existing


def test_a_window_ends_whatever_the_job_does(tq: TomQueue) -> None:
    """By the database's clock, which no test waits for: the row is moved instead."""

    @tq.job(unique=True, unique_for=timedelta(hours=1), unique_until="finish")
    def report() -> None: ...

    first = report.using(run_at=datetime(2999, 1, 1, tzinfo=UTC)).enqueue()
    assert first.unique_expires_at == first.created_at + timedelta(hours=1)
    assert tq.jobs.get(first.id).unique_expires_at == first.unique_expires_at
    assert report.using(unique_for=1).enqueue().id == first.id
    change(tq, first.id, unique_expires_at=store_of(tq).now())
    second = report.using(unique_for=1).enqueue()
    assert second.id != first.id
    assert second.unique_expires_at == second.created_at + timedelta(seconds=1)


def test_a_tick_that_meets_its_predecessor_makes_no_second_job(tq: TomQueue) -> None:
    """A periodic job that is unique does not pile up, also enqueued by hand."""

    @tq.job(name="poll", every=timedelta(minutes=5), unique=True)
    def poll() -> None: ...

    first = tq.schedules.run("poll")
    assert tq.schedules.run("poll").id == first.id
    assert poll.enqueue().is_existing
    assert tq.jobs.count() == 1
