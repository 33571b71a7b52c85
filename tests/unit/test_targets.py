"""Methods that are called later: what can be, how it is stored, and what is refused where it is written."""

import asyncio
from abc import ABC
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from tests.unit.test_definition import Context, Recorder
from tomqueue.definition import Asynchronous, Definition, Delays, Options, Overrides, Registry, Target
from tomqueue.errors import (
    ArgumentsError,
    DefinitionError,
    EnqueueError,
    JobTargetGone,
    UnknownJob,
    UnknownMethod,
    UnreadableArguments,
)

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
calls: list[tuple[Any, ...]] = []
registry = Registry()
recorder = Recorder()
delays = Delays(registry, recorder)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    calls.clear()
    recorder.prepared.clear()


def target(target_class: type, name: str | None = None, into: Registry = registry) -> type:
    """Declare a class, none of which is mapped."""
    into.add_target(Target(target_class, name=name, references=lambda *_: None, sessions=None, context_type=Context))
    return target_class


def asynchronous(method: Any, **options: Any) -> Asynchronous[..., ..., Any]:
    """Let a method be called later wherever it is called."""
    return Asynchronous(method, delays, options)


class Base:
    """What a target inherits may be called as well."""

    def inherited(self) -> None:
        calls.append(("inherited", self))


@dataclass
class Letter(Base):
    """A value with methods of every kind."""

    text: str
    sent: date = field(default=date(2030, 1, 1))

    def send(self, to: str, *, copies: int = 1, at: datetime = NOON) -> None:
        calls.append(("send", self, to, copies, at))

    def report(self, ctx: Context, month: int) -> None:
        calls.append(("report", self, ctx, month))

    async def fetch(self) -> str:
        return self.text

    @classmethod
    def reindex(cls, *ids: int) -> None:
        calls.append(("reindex", cls, ids))

    @staticmethod
    def purge(before: date) -> None:
        calls.append(("purge", before))

    def takes_anything(self, thing: Any) -> None: ...

    def takes_itself(self, thing: type) -> None: ...

    def _private(self) -> None: ...

    @property
    def size(self) -> int:
        return len(self.text)

    def greet(self, name: str) -> str:
        return f"{self.text} {name}"

    later = asynchronous(greet, priority="low", queue=lambda letter: letter.text, delay=60)


target(Letter, "Letter")


def delayed(receiver: object, **terms: Any) -> Any:
    """Return what ``tq.delay`` does."""
    return delays.delay(receiver, Overrides(**terms))


def run_last(context: object = None) -> Any:
    """Run what was enqueued last, as a worker does: from its name and payload."""
    prepared = recorder.prepared[-1]
    return registry.find(prepared.definition.name).load(prepared.payload).run(context)


def test_a_method_of_a_value_is_called_with_what_was_given() -> None:
    """The object and the arguments come back as they were, with their types."""
    letter = Letter("hi", date(2031, 2, 3))
    job = delayed(letter).send("ann", copies=2, at=NOON)
    assert job.name == "Letter.send"
    assert msgspec.json.decode(job.payload) == {
        "target": {"text": "hi", "sent": "2031-02-03"},
        "arguments": {"to": "ann", "copies": 2, "at": "2030-01-01T12:00:00Z"},
    }
    run_last()
    assert calls == [("send", letter, "ann", 2, NOON)]


def test_the_context_is_given_to_a_method_that_asks() -> None:
    """After self; the caller leaves it out."""
    context = Context()
    delayed(Letter("hi")).report(5)
    run_last(context)
    assert calls == [("report", Letter("hi"), context, 5)]


def test_inherited_class_and_static_methods() -> None:
    """By the object or by the class; nothing but the arguments travels for the last two."""
    delayed(Letter("hi")).inherited()
    run_last()
    delayed(Letter).reindex(1, 2)
    run_last()
    assert recorder.prepared[-1].payload == '{"arguments":{"ids":[1,2]}}'
    delayed(Letter("hi")).purge(date(2030, 1, 1))
    run_last()
    assert calls == [("inherited", Letter("hi")), ("reindex", Letter, (1, 2)), ("purge", date(2030, 1, 1))]


def test_an_asynchronous_method() -> None:
    """Gives its coroutine to the worker."""
    delayed(Letter("hi")).fetch()
    assert registry.find("Letter.fetch").is_async
    assert asyncio.run(run_last()) == "hi"


def test_terms_of_the_call_travel_with_it() -> None:
    """Those of ``delay`` are those of one enqueue, checked at once."""
    delayed(Letter("hi"), queue="slow", delay=5).send("ann")
    assert recorder.prepared[-1].overrides == Overrides(queue="slow", delay=5)
    with pytest.raises(EnqueueError, match="delay=soon must be a number"):
        delayed(Letter("hi"), delay="soon")


def test_prepare_and_aenqueue() -> None:
    """A delayed call can be one of many, and can be awaited."""
    assert delayed(Letter("hi")).send.prepare("ann").definition.name == "Letter.send"
    assert recorder.prepared == []
    assert asyncio.run(delayed(Letter("hi")).send.aenqueue("ann")).id == 1


def test_a_job_is_delayed_like_a_method() -> None:
    """``delay(job)(…)`` is its enqueue."""

    def send(user_id: int) -> None: ...

    job: Any = Definition(send, name="send", options=Options(), enqueuer=recorder, context_type=Context)
    delayed(job, queue="slow")(7)
    assert (recorder.prepared[-1].payload, recorder.prepared[-1].overrides.queue) == ('{"user_id":7}', "slow")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: delayed(Letter("hi")).sned("ann"), UnknownMethod, "Letter has no method 'sned': did you mean 'send'"),
        (lambda: delayed(Letter("hi")).zzz(), UnknownMethod, "Letter has no method 'zzz': it has fetch, greet, "),
        (lambda: delayed(Letter("hi"))._private(), UnknownMethod, "Letter._private is private"),
        (lambda: delayed(Letter("hi")).size, UnknownMethod, "Letter.size is no method"),
        (lambda: delayed(Letter("hi")).sent, UnknownMethod, "Letter.sent is no method"),
        (lambda: delayed(Letter("hi")).send(), ArgumentsError, "Letter.send: missing a required argument: 'to'"),
        (lambda: delayed(Letter("hi")).send(7), ArgumentsError, "Letter.send: argument 'to': Expected `str`"),
        (lambda: delayed(Letter("hi")).send("a", cpies=1), ArgumentsError, "unexpected keyword argument 'cpies'"),
        (lambda: delayed(Letter(7)).send("ann"), ArgumentsError, "Letter: argument 'text': Expected `str`"),  # type: ignore[arg-type]
        (lambda: delayed(Letter("hi")).takes_anything(NOON), ArgumentsError, "datetime would come back as str"),
        (lambda: delayed(Letter("hi")).takes_itself(int), DefinitionError, "parameter 'thing' is annotated type"),
        (lambda: delayed(Letter).send("ann"), UnknownMethod, "Letter.send is called on an instance"),
        (lambda: delayed(Base()), DefinitionError, r"Base is not declared .*: put @tq.target above the class"),
        (lambda: delayed(7), DefinitionError, "builtins.int is not declared as a target"),
        (lambda: delayed(Letter("hi").send), DefinitionError, r"write tq.delay\(object\).send\(…\)"),
        (lambda: delayed(run_last), DefinitionError, "run_last is not declared as a job: put @tq.job above"),
    ],
)
def test_what_cannot_be_called_later_is_refused_at_the_call(call: Any, error: type[Exception], message: str) -> None:
    """With its name and the cure; nothing is enqueued."""
    with pytest.raises(error, match=message):
        call()
    assert recorder.prepared == []


def test_methods_of_a_metaclass_are_none_of_the_class() -> None:
    """``ABC.register`` and the like are not the application's."""

    @dataclass
    class Abstract(ABC):
        x: int

    target(Abstract, "Abstract")
    for name in ("register", "mro"):
        with pytest.raises(UnknownMethod):
            getattr(delayed(Abstract), name)


def test_an_instance_that_is_no_value_is_refused() -> None:
    """A plain class could lose state on its way; its class and static methods can be called."""

    class Service:
        def run(self) -> None: ...

        @classmethod
        def sweep(cls) -> None:
            calls.append(("sweep",))

    target(Service, "Service")
    with pytest.raises(DefinitionError, match=r"Service: an instance of it cannot travel: make it a dataclass"):
        delayed(Service()).run()
    delayed(Service).sweep()
    run_last()
    assert calls == [("sweep",)]


def test_structs_travel() -> None:
    """A msgspec.Struct is a value, too."""

    class Point(msgspec.Struct):
        x: int
        label: str | None = None

        def show(self) -> None:
            calls.append(("show", self.x))

    target(Point, "Point")
    delayed(Point(3)).show()
    run_last()
    assert calls == [("show", 3)]


@pytest.mark.parametrize(
    ("name", "payload", "error", "message"),
    [
        ("Letter._private", "{}", UnknownJob, "no job is called 'Letter._private' here"),
        ("Letter.__init__", "{}", UnknownJob, "no job is called"),
        ("Letter.sned", "{}", UnknownJob, "did you mean 'Letter.send'"),
        ("Letter.size", "{}", UnknownJob, "no job is called"),
        ("Other.send", "{}", UnknownJob, "no job is called"),
        ("Letter.takes_itself", "{}", UnknownJob, "cannot be called later here"),
        ("Letter.send", "{", UnreadableArguments, "Letter.send: "),
        ("Letter.send", "[]", UnreadableArguments, "Letter.send: "),
        ("Letter.send", '{"arguments":{"to":"a"}}', UnreadableArguments, "the row holds none"),
        ("Letter.send", '{"arguments":{"to":"a"},"target":{}}', UnreadableArguments, "'text' is missing"),
        ("Letter.send", '{"arguments":{"to":1},"target":{"text":"x"}}', UnreadableArguments, "Expected `str`"),
        ("Letter.send", '{"arguments":{"to":"a"},"target":{"text":"x"},"cls":"os"}', UnreadableArguments, "cls"),
        ("Letter.reindex", '{"arguments":{"ids":["x"]}}', UnreadableArguments, "Expected `int`"),
    ],
)
def test_what_a_worker_cannot_read_is_parked(name: str, payload: str, error: type[Exception], message: str) -> None:
    """A row is data: it runs public methods of declared classes, with what fits, and nothing else."""
    with pytest.raises(error, match=message):
        registry.find(name).load(payload)


def test_names_are_known_to_who_releases_parked_jobs() -> None:
    """A starting worker knows every method that its targets could be asked for."""
    assert {"Letter.send", "Letter.inherited", "Letter.reindex", "Letter.later"} <= set(registry.names())
    assert "Letter._private" not in registry.names()


def test_two_of_one_name() -> None:
    """A class, or a job, that would be mistaken for another's method is refused."""
    own = Registry()

    class One:
        def send(self) -> None: ...

    class Two:
        def send(self) -> None: ...

    def send() -> None: ...

    target(One, "One", own)
    target(One, "One", own)
    with pytest.raises(DefinitionError, match="two jobs are called 'One'"):
        target(Two, "One", own)
    job: Any = Definition(send, name="One.send", options=Options(), enqueuer=recorder, context_type=Context)
    with pytest.raises(DefinitionError, match=r"two jobs are called 'One\.send'"):
        own.add(job)
    other = Registry()
    other.add(job)
    with pytest.raises(DefinitionError, match=r"two jobs are called 'One\.send'"):
        target(One, "One", other)


# handle_asynchronously ------------------------------------------------------------------------------------


def test_a_method_has_no_schedule() -> None:
    """No object is there to call it on: the option is refused where it is written, not ignored."""
    with pytest.raises(DefinitionError, match=r"above <lambda>: no option is called 'cron': cron is for jobs that"):
        asynchronous(lambda _self: None, cron="* * * * *")


def test_a_handled_method_is_enqueued_where_it_is_called() -> None:
    """With the declaration's terms; a callable is asked of the object. A worker runs the method itself."""
    job = Letter("hi").later("ann")
    prepared = recorder.prepared[-1]
    assert job.name == "Letter.later"
    assert prepared.definition.options.priority == "low"
    assert prepared.overrides == Overrides(queue="hi", delay=60)
    assert run_last() == "hi ann"
    assert len(recorder.prepared) == 1


def test_the_direct_call_stays() -> None:
    """``without_delay`` is the method, of an object or of the class."""
    assert Letter("hi").later.without_delay("ann") == "hi ann"
    assert Letter.later.without_delay(Letter("hi"), "ann") == "hi ann"
    assert recorder.prepared == []


def test_what_the_caller_says_goes_first() -> None:
    """Terms of ``delay`` replace those of the declaration; run_at replaces its delay."""
    delayed(Letter("hi"), queue="mine", run_at=NOON).later("ann")
    assert recorder.prepared[-1].overrides == Overrides(queue="mine", run_at=NOON)


def test_callables_are_asked_once_a_call() -> None:
    """Each time anew, and may say nothing."""
    asked: list[Any] = []

    @dataclass
    class Asked:
        x: int

        def run(self) -> None: ...

        later = asynchronous(run, run_at=asked.append, priority=lambda it: it.x)

    target(Asked, "Asked")
    Asked(3).later()
    Asked(4).later()
    assert asked == [Asked(3), Asked(4)]
    assert [one.overrides for one in recorder.prepared] == [Overrides(priority=3), Overrides(priority=4)]


def test_a_callable_that_gives_what_cannot_be() -> None:
    """Is an error of the call, which names the term."""

    @dataclass
    class Wrong:
        x: int

        def run(self) -> None: ...

        later = asynchronous(run, delay=lambda _it: "soon")

    target(Wrong, "Wrong")
    with pytest.raises(EnqueueError, match="delay=soon must be a number"):
        Wrong(1).later()


def test_class_and_static_methods_can_be_handled() -> None:
    """The decorator stands above classmethod and staticmethod; their callables get the class."""

    class Jobs:
        @classmethod
        def sweep(cls, n: int) -> None:
            calls.append((cls, n))

        @staticmethod
        def purge() -> None:
            calls.append(("purge",))

        sweeping = asynchronous(classmethod(lambda cls, n: calls.append((cls, n))), queue=lambda cls: cls.__name__)
        purging = asynchronous(purge)

    target(Jobs, "Jobs")
    Jobs.sweeping(3)
    assert recorder.prepared[-1].overrides.queue == "Jobs"
    run_last()
    Jobs().purging()
    run_last()
    assert calls == [(Jobs, 3), ("purge",)]


def test_it_needs_a_target() -> None:
    """A handled method of a class that is none says so when it is called; direct calls work."""

    class Lost:
        def run(self) -> int:
            return 7

        later = asynchronous(run)

    assert Lost().later.without_delay() == 7
    with pytest.raises(DefinitionError, match="Lost is not declared as a target"):
        Lost().later()


def test_a_subclass_needs_its_own_declaration() -> None:
    """Its fields would be lost otherwise."""

    @dataclass
    class Postcard(Letter):
        stamp: int = 1

    with pytest.raises(DefinitionError, match="Postcard is not declared as a target"):
        Postcard("hi").later("ann")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_attempts": 0}, "Bad.later: max_attempts=0"),
        ({"priority": "urgent"}, "Bad.later: priority='urgent' is unknown"),
        ({"delay": "soon"}, "handle_asynchronously above run: delay=soon"),
        ({"run_at": datetime(2030, 1, 1)}, "handle_asynchronously above run: run_at=.* has no time zone"),  # noqa: DTZ001
        ({"run_at": NOON, "delay": 5}, "run_at and delay are both given"),
    ],
)
def test_wrong_options_are_refused_at_the_declaration(options: dict[str, Any], message: str) -> None:
    """Not at the first call."""

    def declare() -> None:
        class Bad:
            def run(self) -> None: ...

            later = asynchronous(run, **options)

        target(Bad, "Bad")

    with pytest.raises(DefinitionError, match=message):
        declare()


def test_wrong_places_are_refused() -> None:
    """Below classmethod, above something that is no method, and a target that is no class."""

    class Upside:
        @classmethod
        def run(cls) -> None: ...

        later: Any = classmethod(asynchronous(lambda _cls: None))  # type: ignore[arg-type]

    with pytest.raises(DefinitionError, match=r"Upside\.later: put handle_asynchronously above @classmethod"):
        target(Upside, "Upside")
    with pytest.raises(DefinitionError, match="stands above a method"):
        asynchronous(7)
    with pytest.raises(DefinitionError, match=r"@tq\.target stands above a class"):
        target(run_last, "x")  # type: ignore[arg-type]


def test_gone_is_final_unless_it_is_to_be_retried() -> None:
    """JobTargetGone is in ``discard_on`` of every method that does not name it in ``retry_on``."""

    class Kept:
        def run(self) -> None: ...

        once = asynchronous(run, discard_on=(OSError,))
        again = asynchronous(run, retry_on=(JobTargetGone,), backoff=timedelta(1))

    target(Kept, "Kept")
    assert registry.find("Kept.run").options.discard_on == (JobTargetGone,)
    assert registry.find("Kept.once").options.discard_on == (OSError, JobTargetGone)
    assert registry.find("Kept.again").options.discard_on == ()
