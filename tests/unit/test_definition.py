"""A declaration that cannot work is refused where it is written; what is declared becomes a payload and back."""

import asyncio
import dataclasses
import functools
import inspect
import math
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from types import ModuleType
from typing import Any, TypeVar

import msgspec
import pytest

from tomqueue.definition import ClassDefinition, Definition, Options, Overrides, Prepared, Registry, seconds_of
from tomqueue.errors import ArgumentsError, DefinitionError, EnqueueError, UnknownJob, UnreadableArguments
from tomqueue.job import Job, State
from tomqueue.priority import Priority

T = TypeVar("T")
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Context:
    """Stands for the JobContext, which lives in a higher layer."""


class Recorder:
    """An enqueuer that remembers what it was given."""

    def __init__(self) -> None:
        self.prepared: list[Prepared] = []

    def enqueue(self, prepared: Prepared) -> Job:
        self.prepared.append(prepared)
        return Job(
            id=len(self.prepared),
            queue="default",
            priority=Priority.NORMAL,
            name=prepared.definition.name,
            payload=prepared.payload,
            state=State.READY,
            run_at=NOON,
            created_at=NOON,
            updated_at=NOON,
        )

    async def aenqueue(self, prepared: Prepared) -> Job:
        return self.enqueue(prepared)


def declared(
    function: Callable[..., Any], *, name: str | None = "send", enqueuer: Recorder | None = None, **options: Any
) -> Definition[..., ..., Any]:
    """Declare ``function`` as a job."""
    return Definition(
        function,
        name=name,
        options=Options(**options),
        enqueuer=enqueuer or Recorder(),
        context_type=Context,
    )


def declared_class(job_class: type[T], *, name: str | None = "letter", **options: Any) -> ClassDefinition[T]:
    """Declare a class as a job."""
    return ClassDefinition(job_class, name=name, options=Options(**options), context_type=Context)


def send(user_id: int, *, again: bool = False) -> int:
    """Send it."""
    return user_id


def test_it_is_still_a_function() -> None:
    """A declared function can be called, and keeps its name, documentation and signature."""
    job = declared(send)
    assert job(7) == 7
    assert (job.__name__, job.__doc__) == ("send", "Send it.")
    assert inspect.signature(job) == inspect.signature(send)
    assert repr(job) == "<job send>"


def test_enqueue_hands_over_what_was_prepared() -> None:
    """Each way to enqueue checks the arguments and gives the enqueuer one prepared call."""
    recorder = Recorder()
    job = declared(send, enqueuer=recorder)
    assert job.enqueue(7).id == 1
    assert asyncio.run(job.aenqueue(8, again=True)).id == 2
    assert recorder.prepared == [job.prepare(7), job.prepare(8, again=True)]
    assert job.prepare(7) == Prepared(definition=job, payload='{"user_id":7}')


def test_using_overrides_one_enqueue() -> None:
    """``using`` changes the options of what is enqueued by it, and can be repeated."""
    recorder = Recorder()
    job = declared(send, enqueuer=recorder)
    later = job.using(delay=60, queue="slow").using(priority=Priority.LOW, delay=5)
    later.enqueue(7)
    asyncio.run(later.aenqueue(7))
    wanted = Overrides(delay=5, queue="slow", priority=Priority.LOW)
    assert [prepared.overrides for prepared in recorder.prepared] == [wanted, wanted]
    assert later.prepare(7).overrides == wanted


def test_wrong_arguments_are_refused_before_anything_is_enqueued() -> None:
    """Arguments that do not fit reach no enqueuer."""
    recorder = Recorder()
    with pytest.raises(ArgumentsError, match="send: argument 'user_id': Expected `int`, got `str`"):
        declared(send, enqueuer=recorder).enqueue("7")
    assert recorder.prepared == []


def test_loaded_function_runs() -> None:
    """A stored payload becomes a call of the function."""
    job = declared(send)
    loaded = job.load(job.prepare(7).payload)
    assert (loaded.run(Context()), loaded.target) == (7, None)
    with pytest.raises(UnreadableArguments):
        job.load("{}")


def named_context(ctx: "Context", n: int) -> tuple[object, int]:
    """Take the context by a string annotation."""
    return ctx, n


def hidden_context(ctx: "elsewhere.Context", n: int) -> tuple[object, int]:  # type: ignore[name-defined] # noqa: F821
    """Take a context that is imported for the type checker only."""
    return ctx, n


def plain_context(ctx: Context, n: int) -> tuple[object, int]:
    """Take the context."""
    return ctx, n


@pytest.mark.parametrize("function", [plain_context, named_context, hidden_context])
def test_context_comes_first(function: Callable[..., Any]) -> None:
    """A job whose first parameter is annotated with the context gets it, and it is no argument."""
    job, context = declared(function), Context()
    assert job.wants_context
    assert job.prepare(5).payload == '{"n":5}'
    assert job.load('{"n":5}').run(context) == (context, 5)


def test_no_parameter_is_no_context() -> None:
    """Jobs without parameters, or with keyword-only ones, get no context."""

    def nothing() -> None: ...

    def by_keyword(*, n: "Missing") -> None: ...  # type: ignore[name-defined] # noqa: F821

    assert not declared(nothing).wants_context
    assert not declared(by_keyword).wants_context


def test_async_job() -> None:
    """An async function is known as one, and running it gives its coroutine."""

    async def job(n: int) -> int:
        return n

    definition = declared(job)
    assert definition.is_async
    assert asyncio.run(definition.load('{"n":3}').run(Context())) == 3


def test_atomic_async_job_is_refused() -> None:
    """An atomic job must be synchronous, and the message says so."""

    async def job() -> None: ...

    with pytest.raises(DefinitionError, match=r"send: atomic=True needs a synchronous job.*make it a plain def"):
        declared(job, atomic=True)
    assert declared(send, atomic=True).options.atomic


def test_generator_is_refused() -> None:
    """A function with a yield would run nothing."""

    def job() -> Iterator[int]:
        yield 1

    with pytest.raises(DefinitionError, match="send: it has a yield"):
        declared(job)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_attempts": 0}, "max_attempts=0 must be between 1 and"),
        ({"max_attempts": 2.0}, "max_attempts=2.0 must be a whole number"),
        ({"max_attempts": True}, "max_attempts=True must be a whole number"),
        ({"max_run_time": 0}, "max_run_time=0 must be between 0.001 and"),
        ({"max_run_time": math.nan}, "max_run_time=nan must be between"),
        ({"max_run_time": "60"}, "max_run_time='60' must be a number"),
        ({"max_run_time": timedelta(seconds=-1)}, "max_run_time=.* must be between"),
        ({"expires": -1}, "expires=-1 must be between"),
        ({"jitter": 1.5}, "jitter=1.5 must be between 0 and 1"),
        ({"backoff": []}, r"backoff=\[\] must hold at least one pause"),
        ({"backoff": [1, -1]}, r"backoff=\[1, -1\] has a pause that must be between 0 and"),
        ({"backoff": [None]}, r"backoff=\[None\] has a pause that must be a number"),
        ({"backoff": -1}, "backoff=-1 must be between"),
        ({"backoff": "10"}, "backoff='10' must be a number"),
        ({"retry_on": OSError}, "retry_on=.* must be a tuple of exception classes"),
        ({"discard_on": (OSError(),)}, "discard_on=.* must be a tuple of exception classes"),
        ({"priority": "urgent"}, "priority='urgent' is unknown: use one of high, normal, low, bulk"),
        ({"queue": "no spaces"}, "queue='no spaces' must match"),
        ({"queue": 7}, "queue=7 must be a str"),
    ],
)
def test_option_that_cannot_work(options: dict[str, Any], message: str) -> None:
    """A wrong option is refused at the declaration, with the job's and the option's name."""
    with pytest.raises(DefinitionError, match=f"^send: {message}"):
        declared(send, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"queue": "mailers", "priority": "high", "max_attempts": 5, "max_run_time": 60, "retry_on": (OSError,)},
        {"priority": 20, "backoff": 3, "jitter": 0.1, "expires": timedelta(hours=1)},
        {"priority": Priority.LOW, "backoff": (1, 2.5), "discard_on": (KeyError, SystemExit)},
        {"backoff": lambda attempts: timedelta(seconds=attempts), "retry_on": ()},
    ],
)
def test_options_that_work(options: dict[str, Any]) -> None:
    """Every kind of option is accepted."""
    assert declared(send, **options).options == Options(**options)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"run_at": datetime(2030, 1, 1)}, r"run_at=2030-01-01 00:00:00 has no time zone: use datetime.now\(UTC\)"),  # noqa: DTZ001
        ({"run_at": date(2030, 1, 1)}, "run_at=2030-01-01 must be a datetime"),
        ({"run_at": datetime(9999, 1, 1, tzinfo=UTC)}, "run_at=.* is out of range"),
        ({"run_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-14)))}, "run_at=.* is out of range"),
        ({"run_at": datetime(1969, 12, 31, tzinfo=UTC)}, "run_at=.* is out of range"),
        ({"run_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))}, "run_at=.* is out of range"),
        ({"run_at": NOON, "delay": 1}, "run_at and delay are both given"),
        ({"session": object(), "connection": object()}, "session and connection are both given"),
        ({"delay": math.nan}, "delay=nan must be between"),
        ({"delay": math.inf}, "delay=inf must be between"),
        ({"delay": timedelta(days=40_000)}, "delay=.* must be between"),
        ({"delay": "60"}, "delay=60 must be a number"),
        ({"max_attempts": 0}, "max_attempts=0 must be between"),
        ({"expires": 0}, "expires=0 must be between"),
        ({"queue": ""}, "queue='' must match"),
    ],
)
def test_override_that_cannot_work(overrides: dict[str, Any], message: str) -> None:
    """A wrong override is refused before anything is enqueued."""
    with pytest.raises(EnqueueError, match=f"^{message}"):
        Overrides(**overrides)


@pytest.mark.parametrize(
    ("delay", "seconds"), [(None, None), (-5, 0.0), (2, 2.0), (timedelta(minutes=1), 60.0), (timedelta(days=-1), 0.0)]
)
def test_delay_in_seconds(delay: float | timedelta | None, seconds: float | None) -> None:
    """A delay may be seconds or a timedelta, and a negative one means now."""
    assert Overrides(delay=delay).delay_seconds == seconds
    assert Overrides(run_at=NOON).run_at == NOON
    assert seconds_of(timedelta(minutes=1)) == seconds_of(60)


def test_name_is_module_and_qualified_name() -> None:
    """Without a name of its own a job is called by its module and qualified name."""

    def inner() -> None: ...

    assert declared(send, name=None).name == f"{__name__}.send"
    assert declared(inner, name=None).name == f"{__name__}.test_name_is_module_and_qualified_name.inner"


def main_job() -> None:
    """Pretend to be declared in the program itself."""


main_job.__module__ = "__main__"


def test_name_in_the_program_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of the running program has the name under which a worker imports it."""
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert declared(main_job, name=None).name == "__main__.main_job"
    main.__file__ = "/srv/app/tasks.py"
    assert declared(main_job, name=None).name == "tasks.main_job"
    main.__spec__ = inspect.__spec__
    assert declared(main_job, name=None).name == "inspect.main_job"


def test_names_that_cannot_be_stored() -> None:
    """A name outside of the pattern is refused; without one the message says how to give it."""
    with pytest.raises(DefinitionError, match="name='a b' must match"):
        declared(send, name="a b")
    with pytest.raises(DefinitionError, match=r"<lambda>.*give it a name of its own with name="):
        declared(lambda: None, name=None)


class Letter:
    text: str
    pages: int = 1

    def process(self, ctx: Context) -> tuple[str, object]:
        return self.text, ctx

    def success(self, job: Job) -> None: ...


LETTER = declared_class(Letter)


def test_plain_class_is_made_a_dataclass() -> None:
    """An annotated class becomes a dataclass, stays itself, and its instance is stored and run."""
    assert LETTER.job_class is Letter
    assert "__dataclass_fields__" in vars(Letter)
    letter = Letter("hi")  # type: ignore[call-arg]
    prepared = LETTER.prepare(letter, Overrides(delay=1))
    assert prepared == Prepared(
        definition=LETTER, payload='{"text":"hi","pages":1}', overrides=Overrides(delay=1), instance=letter
    )
    loaded, context = LETTER.load(prepared.payload), Context()
    assert loaded.run(context) == ("hi", context)
    assert loaded.target == letter
    assert repr(LETTER) == "<job letter>"


def test_subclass_of_a_dataclass_gets_its_own_fields() -> None:
    """A plain subclass of a dataclass is made one as well."""

    class Parcel(Letter):
        weight: float = 0.0

    parcels = declared_class(Parcel)
    assert parcels.prepare(Parcel("hi")).payload == '{"text":"hi","pages":1,"weight":0.0}'  # type: ignore[call-arg]
    with pytest.raises(ArgumentsError, match="letter: expected an instance of Letter, got Parcel"):
        LETTER.prepare(Parcel("hi"))  # type: ignore[call-arg]


def test_struct_is_kept() -> None:
    """A msgspec Struct is a job class as it is, and ``perform`` may be async."""

    class Ping(msgspec.Struct):
        host: str

        async def perform(self) -> str:
            return self.host

    pings = declared_class(Ping)
    assert not dataclasses.is_dataclass(Ping)
    assert pings.is_async
    assert not pings.wants_context
    assert asyncio.run(pings.load('{"host":"a"}').run(Context())) == "a"


class Lazy:
    pass


class Doubled:
    def process(self) -> None: ...
    def perform(self) -> None: ...


class Greedy:
    def process(self, more: int) -> None: ...


class Hooked:
    before: int

    def process(self) -> None: ...


class Tuned:
    max_attempts: int = 3

    def process(self) -> None: ...


class Yielding:
    def process(self) -> Iterator[int]:
        yield 1


@pytest.mark.parametrize(
    ("job_class", "message"),
    [
        (Lazy, r"needs a method process\(self\)"),
        (Doubled, r"has process\(\) and perform\(\)"),
        (Greedy, r"process\(\) takes only self and a JobContext \(missing a required argument: 'more'\)"),
        (Hooked, "the field 'before' has the name of a method that workers call"),
        (Tuned, "the field 'max_attempts' has the name of a method"),
        (Yielding, "it has a yield"),
    ],
)
def test_class_that_cannot_be_a_job(job_class: type, message: str) -> None:
    """A class without one way to run it, or with a field in a hook's place, is refused."""
    with pytest.raises(DefinitionError, match=f"^letter: .*{message}"):
        declared_class(job_class)


def test_registry_finds_what_was_declared() -> None:
    """Jobs are found by name, classes by themselves, and unknown ones are refused with a hint."""
    registry = Registry()
    job = declared(send)
    registry.add(job)
    registry.add(LETTER)
    assert registry.names() == ["letter", "send"]
    assert registry.find("send") is job
    assert registry.of_class(Letter) is LETTER
    with pytest.raises(UnknownJob, match=r"'sent' here: did you mean 'send'\?"):
        registry.find("sent")
    with pytest.raises(UnknownJob, match="is the module that declares it imported"):
        registry.find("x")
    with pytest.raises(DefinitionError, match=r"Lazy is not declared as a job: put @tq.job above the class"):
        registry.of_class(Lazy)


def test_two_jobs_of_one_name() -> None:
    """A second job of the same name is refused, naming both places."""
    registry = Registry()
    registry.add(declared(send))
    with pytest.raises(DefinitionError, match=r"two jobs are called 'send': .*\.send and .*\.main_job"):
        registry.add(declared(main_job))


def test_reloaded_module_replaces_its_jobs() -> None:
    """The same function or class declared again, as by a reload, takes the place of the first."""
    registry = Registry()

    @functools.wraps(Letter, updated=())
    class Again(Letter):
        pass

    again = declared_class(Again)
    registry.add(LETTER)
    registry.add(again)
    assert registry.find("letter") is again
    assert registry.of_class(Again) is again
    with pytest.raises(DefinitionError):
        registry.of_class(Letter)


@pytest.mark.parametrize("hook", ["enqueue", "before", "after", "success", "error", "failure", "reschedule_at"])
def test_hooks_are_synchronous(hook: str) -> None:
    """A hook that nobody would await is refused where it is declared, also beside an async process."""

    async def work(self: object, *arguments: object) -> None: ...

    with pytest.raises(DefinitionError, match=f"letter: {hook}.. is async def"):
        declared_class(type("Letter", (), {"process": work, hook: work}))


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        (lambda self: None, r"before\(\) is called with \(self, job\)"),
        (lambda self, job, more: None, r"before\(\) is called with \(self, job\)"),
    ],
)
def test_a_hook_that_cannot_be_called_is_refused_where_it_is_declared(hook: Any, expected: str) -> None:
    """What a hook is called with is checked at the declaration, not in the middle of a night."""
    job_class = type("Wrong", (), {"process": lambda self: None, "before": hook})
    with pytest.raises(DefinitionError, match=expected):
        ClassDefinition(job_class, options=Options(), context_type=object)
