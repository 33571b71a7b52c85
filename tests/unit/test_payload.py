"""Arguments travel as JSON and come back as they were, or are refused when they are enqueued."""

import dataclasses
import json
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import Path, PurePath
from typing import Any, NamedTuple, TypedDict, Unpack
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomqueue.errors import ArgumentsError, DefinitionError, UnreadableArguments
from tomqueue.payload import ArgumentsCodec, InstanceCodec


def codec(function: Callable[..., Any], *, skip: int = 0) -> ArgumentsCodec:
    """Return the codec of a function that is declared as the job ``send``."""
    return ArgumentsCodec.of_function(function, "send", skip=skip)


def typed(kind: Any) -> ArgumentsCodec:
    """Return the codec of a job with one parameter, ``value``, of the type ``kind``."""

    def job(value: Any) -> None: ...

    job.__annotations__["value"] = kind
    return codec(job)


class Colour(Enum):
    RED = "red"


class Shout(StrEnum):
    LOUD = "loud"


@dataclasses.dataclass
class Address:
    city: str
    extra: Any = None


class City(Address):
    """A subclass, whose own fields would be lost."""


class Point(NamedTuple):
    x: int
    y: int


class Size(msgspec.Struct, frozen=True):
    width: float


class Settings(TypedDict, total=False):
    dry: bool
    note: Any


class Opaque:
    """A class that cannot travel."""


def add(a: int, b: int = 2, *rest: int, flag: bool = False, **more: str) -> None:
    """Take every kind of parameter."""


@pytest.mark.parametrize(
    ("args", "kwargs", "stored"),
    [
        ((1,), {}, {"a": 1}),
        ((1, 2), {}, {"a": 1, "b": 2}),
        ((), {"b": 3, "a": 1}, {"a": 1, "b": 3}),
        ((1, 2, 3, 4), {}, {"a": 1, "b": 2, "rest": [3, 4]}),
        ((1,), {"flag": True, "x": "y"}, {"a": 1, "flag": True, "more": {"x": "y"}}),
    ],
)
def test_what_is_stored(args: tuple[Any, ...], kwargs: dict[str, Any], stored: dict[str, Any]) -> None:
    """A payload holds what the caller gave, under the parameters' names, and no default."""
    assert json.loads(codec(add).encode(args, kwargs)) == stored


def test_what_the_call_gets() -> None:
    """Reading a payload gives positional and keyword arguments, with today's defaults."""
    assert codec(add).decode('{"a":1,"rest":[5],"more":{"x":"y"}}') == ([1, 2, 5], {"flag": False, "x": "y"})
    assert codec(add).decode('{"a":1}') == ([1, 2], {"flag": False})


def test_keyword_only_parameter_is_required() -> None:
    """A call without a required keyword-only argument is refused, however many positions it has."""

    def job(a: int = 1, *, b: int) -> None: ...

    with pytest.raises(ArgumentsError, match=r"send: missing a required.* argument: 'b'"):
        codec(job).encode((5,), {})
    assert codec(job).decode(codec(job).encode((), {"b": 2})) == ([1], {"b": 2})


def test_context_is_left_out() -> None:
    """The first parameter is no argument when it is the JobContext."""

    def job(ctx: Opaque, month: str) -> None: ...

    assert codec(job, skip=1).encode(("may",), {}) == '{"month":"may"}'


def test_keyword_arguments_typed_by_a_typed_dict() -> None:
    """``**kwargs: Unpack[...]`` checks each keyword's own type."""

    def job(**options: Unpack[Settings]) -> None: ...

    assert codec(job).decode(codec(job).encode((), {"dry": True})) == ([], {"dry": True})
    with pytest.raises(ArgumentsError, match=r"'options.dry': Expected `bool`"):
        codec(job).encode((), {"dry": 1})


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "missing a required argument: 'a'"),
        (("7",), {}, "argument 'a': Expected `int`, got `str`"),
        ((True,), {}, "argument 'a': Expected `int`, got `bool`"),
        ((1.0,), {}, "argument 'a': Expected `int`, got `float`"),
        ((1, 2, "x"), {}, r"argument 'rest\[...\]|argument 'rest\[0\]"),
        ((1,), {"a": 2}, "multiple values for argument 'a'"),
        ((1,), {"x": 3}, r"argument 'more\[...\]': Expected `str`, got `int`"),
    ],
)
def test_call_that_does_not_fit(args: tuple[Any, ...], kwargs: dict[str, Any], message: str) -> None:
    """Arguments that the function would not take are refused with the job's and the parameter's name."""
    with pytest.raises(ArgumentsError, match=f"^send: .*{message}|^send: {message}"):
        codec(add).encode(args, kwargs)


AMBIGUOUS = datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (datetime, datetime(2024, 2, 29, 12, tzinfo=UTC)),
        (date, date(2024, 2, 29)),
        (time, time(1, 2, 3)),
        (timedelta, timedelta(days=2, microseconds=7)),
        (UUID, uuid4()),
        (Decimal, Decimal("1.10")),
        (Colour, Colour.RED),
        (bytes, b"\x00\xff"),
        (Address, Address("Bern", extra=[1, "a"])),
        (Point, Point(1, 2)),
        (Size, Size(1.5)),
        (Settings, {"dry": True, "note": None}),
        (Path, Path("/tmp/a")),
        (list[PurePath | None], [PurePath("a"), None]),
        (set[int], {1, 2}),
        (frozenset[Colour], frozenset({Colour.RED})),
        (tuple[int, str], (1, "a")),
        (dict[int, float], {1: 2.5}),
        (dict[UUID, list[Point]], {uuid4(): [Point(0, 1)]}),
        (int | str | None, None),
        (int, 2**70),
        (str, "a\0b"),
        (float, 3),
        (str, Shout.LOUD),
        (Any, {"a": [10**30 + 1, 2.5, None, True, {"b": "c"}]}),
    ],
)
def test_types_that_travel(kind: Any, value: Any) -> None:
    """Whatever msgspec knows, and paths, comes back equal and of its type."""
    (back,), _ = typed(kind).decode(typed(kind).encode((value,), {}))
    assert back == value
    assert isinstance(value, type(back)) or kind is float


def test_hour_that_comes_twice() -> None:
    """A time in the hour that a clock change repeats keeps its instant."""
    (back,), _ = typed(datetime).decode(typed(datetime).encode((AMBIGUOUS,), {}))
    assert back.timestamp() == AMBIGUOUS.timestamp()


NAN = "NaN and infinity are not JSON"


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (float, math.nan, NAN),
        (float | None, math.inf, NAN),
        (Any, [{"a": (-math.inf,)}], NAN),
        (Address, Address("x", extra=math.nan), NAN),
        (dict[str, float], {"a": math.nan}, NAN),
        (str, "\ud800", "half a surrogate pair"),
        (Any, ["\ud800"], "half a surrogate pair"),
        (Any, datetime(2024, 1, 1, tzinfo=UTC), "annotate it as datetime"),
        (Any, [uuid4()], "a value of type UUID would come back as str: annotate it as UUID"),
        (Any, {1, 2}, "a value of type set would come back as list"),
        (Any, {1: "a"}, r"annotate the dict as dict\[int, ...\]"),
        (Any, b"x", "annotate it as bytes"),
        (Any, Address("x"), "annotate it as Address"),
        (Any, Opaque(), "Opaque cannot travel as JSON; pass its key and load it in the job"),
        (set, {uuid4()}, "an element of the set"),
        (Address, City("x"), "a value of type City would come back as Address"),
        (Address, Address("x", extra=uuid4()), "a value of type UUID would come back as str"),
        (str, uuid4(), "a value of type UUID would come back as str"),
        (datetime, "2024-01-01T00:00:00Z", "a value of type str would come back as datetime"),
        (Path, PurePath("a"), "would come back as PosixPath"),
        (float, 2**53 + 1, "a value of type int would come back as float"),
        (Settings, {"dry": True, "unknown": 1}, "a key of type str would not come back"),
    ],
)
def test_values_that_would_change(kind: Any, value: Any, message: str) -> None:
    """A value that would come back as another one is refused when it is enqueued."""
    with pytest.raises(ArgumentsError, match=f"^send: argument 'value': .*{message}"):
        typed(kind).encode((value,), {})


def test_list_within_itself() -> None:
    """A value without end is refused instead of ending the process."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ArgumentsError, match="send: argument 'value': it contains itself"):
        typed(Any).encode((endless,), {})


def test_changes_that_are_allowed() -> None:
    """Under Any a tuple comes back as a list, and a subclass of a plain type as the plain type."""

    class Safe(str):
        __slots__ = ()

        def __str__(self) -> str:
            return self

    value = [(1, 2), OrderedDict(a=1), Safe("x"), type("Real", (float,), {})(0.5), type("Whole", (int,), {})(7)]
    (back,), _ = typed(Any).decode(typed(Any).encode((value,), {}))
    assert back == [[1, 2], {"a": 1}, "x", 0.5, 7]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Opaque, "is annotated Opaque, which cannot travel as JSON; pass its key and load it in the job"),
        (list[Opaque], "is annotated Opaque"),
        (dict[str, tuple[Opaque, ...]], "is annotated Opaque"),
        (Opaque | None, "is annotated Opaque"),
        (Iterable[int], "is annotated Iterable"),
        (complex, "is annotated complex"),
        (str | datetime, "more than one str-like type"),
    ],
)
def test_types_that_cannot_travel(kind: Any, message: str) -> None:
    """A parameter whose type cannot be JSON is refused at the declaration, at any depth."""
    with pytest.raises(DefinitionError, match=f"send: parameter 'value'.*{message}"):
        typed(kind)


def later(value: "list[Later]") -> None:
    """Take what is declared below."""


EARLY = codec(later)


@dataclasses.dataclass
class Later:
    number: int
    next: "Later | None" = None


def test_type_that_is_declared_later() -> None:
    """An annotation may name a class further down the module, and a class may hold itself."""
    value = [Later(1, Later(2))]
    assert EARLY.decode(EARLY.encode((value,), {})) == ([value], {})


def test_type_that_does_not_exist() -> None:
    """An annotation that is still unknown at the first use is the declaration's fault."""

    def job(value: "Nowhere") -> None: ...  # type: ignore[name-defined] # noqa: F821

    unknown = codec(job)
    with pytest.raises(DefinitionError, match=r"send: an annotation cannot be resolved: .*Nowhere"):
        unknown.encode((1,), {})


def test_other_annotations_need_not_exist() -> None:
    """What a job returns, and the context that it skips, may be imported for the type checker only."""

    def job(ctx: "Nowhere", a: int) -> "Nowhere": ...  # type: ignore[name-defined] # noqa: F821

    assert codec(job, skip=1).encode((1,), {}) == '{"a":1}'


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ("{", "truncated"),
        ("[]", "Expected `object`"),
        ("{}", "argument 'a' is missing"),
        ('{"a":"7"}', "argument 'a': Expected `int`, got `str`"),
        ('{"a":1,"gone":2}', "unknown field `gone`"),
        ('{"a":NaN}', "malformed"),
        ('{"a":' + "[" * 100_000, "recursion|malformed|Expected"),
    ],
)
def test_payload_that_cannot_be_read(payload: str, message: str) -> None:
    """A stored payload that does not fit the function is unreadable, whatever is wrong with it."""
    with pytest.raises(UnreadableArguments, match=f"^send: .*(?:{message})"):
        codec(add).decode(payload)


def test_path_that_is_no_text() -> None:
    """A stored path that is no string is unreadable."""
    with pytest.raises(UnreadableArguments, match="send: argument 'value': Expected `str`, got `int`"):
        typed(Path).decode('{"value":7}')


def test_keys_are_checked() -> None:
    """A wrong key is named as one."""
    with pytest.raises(UnreadableArguments, match="send: argument 'value': a key: Expected `int`"):
        typed(dict[int, int]).decode('{"value":{"a":1}}')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_any_json_comes_back(value: Any) -> None:
    """Every JSON value that is given to an unannotated parameter comes back equal and of the same type."""
    (back,), _ = typed(Any).decode(typed(Any).encode((value,), {}))
    assert repr(back) == repr(value)


@given(st.integers(), st.lists(st.datetimes(timezones=st.just(UTC))), st.dictionaries(st.text(), st.uuids()))
def test_typed_values_come_back(number: int, times: list[datetime], keys: dict[str, UUID]) -> None:
    """Typed arguments come back equal."""

    def job(number: int, times: list[datetime], *, keys: dict[str, UUID]) -> None: ...

    args, kwargs = codec(job).decode(codec(job).encode((number, times), {"keys": keys}))
    assert (args, kwargs) == ([number, times], {"keys": keys})


@given(st.text(st.characters(), max_size=4000) | st.binary().map(lambda data: data.decode(errors="replace")))
def test_no_payload_breaks_the_reader(payload: str) -> None:
    """Whatever a row holds, it is read or is unreadable; nothing else is raised."""
    try:
        typed(Any).decode(payload)
    except UnreadableArguments:
        return


@dataclasses.dataclass(kw_only=True)
class Letter:
    text: str
    to: list[UUID] = dataclasses.field(default_factory=list)
    length: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        if not self.text:
            raise ValueError("a letter needs a text")
        self.length = len(self.text)


def test_instance_comes_back() -> None:
    """An instance is stored by what its constructor takes, and built by it again."""
    letters = InstanceCodec.of_class(Letter, "letter")
    letter = Letter(text="hi", to=[uuid4()])
    assert json.loads(letters.encode(letter)) == {"text": "hi", "to": [str(letter.to[0])]}
    assert letters.decode(letters.encode(letter)) == letter
    assert letters.decode('{"text":"old"}') == Letter(text="old")


def test_struct_comes_back() -> None:
    """A msgspec Struct is a class like another."""
    sizes = InstanceCodec.of_class(Size, "size")
    assert sizes.decode(sizes.encode(Size(1.5))) == Size(1.5)


@pytest.mark.parametrize("payload", ['{"text":""}', "{}", '{"text":7}'])
def test_instance_that_cannot_be_built(payload: str) -> None:
    """Stored fields that the class refuses are unreadable."""
    with pytest.raises(UnreadableArguments, match=r"^letter: "):
        InstanceCodec.of_class(Letter, "letter").decode(payload)


def test_instance_without_a_field() -> None:
    """An instance that lost a field is refused when it is enqueued."""
    letter = Letter(text="hi")
    del letter.to
    with pytest.raises(ArgumentsError, match=r"letter: .*'to'.*every field must have a value"):
        InstanceCodec.of_class(Letter, "letter").encode(letter)


def test_constructor_that_cannot_be_stored() -> None:
    """A constructor with ``*args`` has no fields to store."""

    class Loose:
        def __init__(self, *things: int) -> None: ...

    with pytest.raises(DefinitionError, match=r"loose: parameter .*things.* cannot be stored"):
        InstanceCodec.of_class(Loose, "loose")
