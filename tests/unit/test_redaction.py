"""What of a job's arguments is shown: the paths of a declaration, and what they take away."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypedDict

import msgspec
import pytest

from tomqueue import TomQueue
from tomqueue.errors import ArgumentsError, DefinitionError, EnqueueError, UnreadableArguments
from tomqueue.job import Job, State
from tomqueue.priority import Priority
from tomqueue.redaction import ENCRYPTED, REDACTED, marked, marks_of, plain_arguments, without

NOW = datetime(2027, 1, 1, tzinfo=UTC)
tq = TomQueue("sqlite://")


class Address(msgspec.Struct, rename="camel"):
    home_town: str
    post_code: str = ""


@dataclass
class User:
    name: str
    address: Address


class Point(msgspec.Struct, array_like=True):
    x: int
    y: int


class Options(TypedDict, total=False):
    token: str
    colour: str


def redacted_by(function: Any, *names: str) -> tuple[tuple[str, ...], ...]:
    """Declare a job that redacts; return the paths."""
    return tuple(TomQueue("sqlite://").job(redact=names)(function).redacted)


@pytest.mark.parametrize(
    ("paths", "shown"),
    [
        ([("a",)], {"a": REDACTED, "b": {"c": 1, "d": [{"c": 2}, {"c": 3, "e": 4}]}, "n": None}),
        ([("b", "c")], {"a": "x", "b": {"c": REDACTED, "d": [{"c": 2}, {"c": 3, "e": 4}]}, "n": None}),
        ([("b", "d", "c")], {"a": "x", "b": {"c": 1, "d": [{"c": REDACTED}, {"c": REDACTED, "e": 4}]}, "n": None}),
        ([("b", "*")], {"a": "x", "b": {"c": REDACTED, "d": REDACTED}, "n": None}),
        ([("a", "inside")], {"a": REDACTED, "b": {"c": 1, "d": [{"c": 2}, {"c": 3, "e": 4}]}, "n": None}),
        ([("n", "inside"), ("gone",)], {"a": "x", "b": {"c": 1, "d": [{"c": 2}, {"c": 3, "e": 4}]}, "n": None}),
        ([()], REDACTED),
    ],
)
def test_values_are_taken_out_by_their_paths(paths: list[tuple[str, ...]], shown: Any) -> None:
    """Through objects and lists; what is of another kind than its path says is hidden whole, and null is null."""
    assert without({"a": "x", "b": {"c": 1, "d": [{"c": 2}, {"c": 3, "e": 4}]}, "n": None}, paths) == shown


@pytest.mark.parametrize("payload", ["no json hunter2", "[" * 100_000, '{"a": 1e999}', '"hunter2"'])
def test_a_text_that_cannot_be_searched_is_hidden(payload: str) -> None:
    """Whoever writes rows by SQL can write anything; without redaction it is shown as it is."""
    assert plain_arguments(payload, [("a",)]) == REDACTED
    assert "hunter2" in str(plain_arguments(f"{payload} hunter2", []))


def test_a_list_as_deep_as_json_can_be_is_hidden() -> None:
    """And does not break what shows it."""
    deep = "[" * 900 + '{"a":"hunter2"}' + "]" * 900
    assert "hunter2" not in str(plain_arguments(deep, [("a",)]))


def test_meta_keeps_what_layers_wrote() -> None:
    """The paths stand beside it; a text that is no object is refused, because they would be lost."""
    meta = marked('{"trace":"t1"}', [("a", "b")], "send")
    assert msgspec.json.decode(meta) == {"trace": "t1", "redact": [["a", "b"]]}
    assert marks_of(meta) == (("a", "b"),)
    assert marks_of(None) == marks_of("text") == marks_of('{"redact":"all"}') == marks_of("[" * 100_000) == ()
    with pytest.raises(EnqueueError, match="send: a layer wrote a meta that is no JSON object"):
        marked("trace-1", [("a",)], "send")


def test_a_job_shows_its_arguments_as_its_row_says() -> None:
    """Wherever it comes from: by itself, without the application."""

    def job(payload: str, meta: str | None = None) -> Job:
        return Job(
            id=1, queue="q", priority=Priority.HIGH, name="n", payload=payload, meta=meta, state=State.READY,
            run_at=NOW, created_at=NOW, updated_at=NOW,
        )  # fmt: skip

    assert job('{"a":1}').arguments == {"a": 1}
    assert job('{"a":"hunter2"}', '{"redact":[["a"]]}').arguments == {"a": REDACTED}
    assert job("enc:v1:0000:xyz").arguments == ENCRYPTED
    assert "hunter2" not in repr(job('{"a":"hunter2"}', '{"redact":[["a"]]}'))


def test_names_become_paths_by_their_types() -> None:
    """Keys of the JSON are what they are called there, and collections are gone through."""

    def send(
        user: User, others: list[User], by_key: dict[str, User], either: User | None, raw: dict[str, Any], **more: str
    ) -> None: ...

    assert redacted_by(send, "user", "user.name") == (("user",), ("user", "name"))
    assert redacted_by(send, "user.address.home_town") == (("user", "address", "homeTown"),)
    assert redacted_by(send, "others.address.post_code") == (("others", "address", "postCode"),)
    assert redacted_by(send, "by_key.*.name", "by_key.boss.name") == (
        ("by_key", "*", "name"),
        ("by_key", "boss", "name"),
    )
    assert redacted_by(send, "either.name", "raw.what.ever") == (("either", "name"), ("raw", "what", "ever"))
    assert redacted_by(send, "user.address.*", "more.token") == (
        ("user", "address", "homeTown"), ("user", "address", "postCode"), ("more", "token"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("pasword",), "redact names 'pasword', which is no argument or field: did you mean 'password'"),
        (("zzz",), "redact names 'zzz', which is no argument or field: there is password, user, point, options"),
        (("user.nmae",), "redact names 'user.nmae', and there is no 'nmae': did you mean 'name'"),
        (("user.address.homeTown",), "and there is no 'homeTown': did you mean 'home_town'"),
        (("options.tokn",), "and there is no 'tokn': did you mean 'token'"),
        (("password.length",), "what 'password' holds has no names in its JSON: redact 'password' as a whole"),
        (("point.x",), "what 'point' holds has no names in its JSON: redact 'point' as a whole"),
        ("password", "redact='password' must be a tuple of names"),
        (["password"], r"redact=\['password'\] must be a tuple of names"),
        (("",), "must be a tuple of names"),
        (("user.",), "must be a tuple of names"),
        ((7,), "must be a tuple of names"),
    ],
)
def test_a_name_that_hides_nothing_is_refused(names: Any, message: str) -> None:
    """Where it is written: a misspelled name would show the password."""

    def send(password: str, user: User, point: Point, options: Options) -> None: ...

    with pytest.raises(DefinitionError, match=message):
        tq.job(name="send", redact=names)(send)


def test_a_class_and_a_method_redact_fields() -> None:
    """Of an object that methods are called on, too; a name that both have counts for both."""
    app = TomQueue("sqlite://")

    @app.job(redact=("token", "user.name"))
    class Mail:
        token: str
        user: User

        def process(self) -> None: ...

    @app.target(name="Card", redact=("number",))
    @dataclass
    class Card:
        number: str
        owner: User

        def charge(self, number: int) -> None: ...

        @app.handle_asynchronously(redact=("owner.address.home_town", "pin"))
        def unlock(self, pin: int) -> None: ...

    assert app.registry.of_class(Mail).redacted == (("token",), ("user", "name"))
    assert app.registry.find("Card.charge").redacted == (("arguments", "number"), ("target", "number"))
    assert set(app.registry.find("Card.unlock").redacted) == {
        ("target", "number"), ("target", "owner", "address", "homeTown"), ("arguments", "pin"),
    }  # fmt: skip
    with pytest.raises(DefinitionError, match="redact names 'numbr', which is no argument or field: did you mean"):
        app.target(redact=("numbr",))(Card)


class Colour(msgspec.Struct):
    name: str

    def __post_init__(self) -> None:
        if self.name != "red":
            raise ValueError(f"no colour is called {self.name}")


@pytest.mark.parametrize("options", [{"redact": ("colour",)}, {"encrypt": True}])
def test_no_message_quotes_a_value(options: dict[str, Any]) -> None:
    """Neither at the enqueue nor when the row is read, nor in what the error was raised from."""
    app = TomQueue("sqlite://", encryption_keys="A" * 43 + "=")

    def paint(colour: Colour, number: int = 0) -> None: ...

    job = app.job(name="paint", **options)(paint)
    assert (
        paint_error(job.load, '{"colour":{"name":"hunter2"}}') == "paint: argument 'colour' cannot be read as declared"
    )
    assert paint_error(job.load, '{"colour":{"name":"red"},"hunter2":1}').endswith(
        "the arguments cannot be read as declared"
    )
    red = Colour("red")
    red.name = "hunter2"
    with pytest.raises(ArgumentsError, match="argument 'colour' cannot be read as declared") as raised:
        job.prepare(red)
    assert raised.value.__cause__ is None

    @app.job(name="Paint", **options)
    class Paint:
        colour: str

        def __post_init__(self) -> None:
            if self.colour != "red":
                raise ValueError(f"no colour is called {self.colour}")

        def process(self) -> None: ...

    assert "hunter2" not in paint_error(app.registry.of_class(Paint).load, '{"colour":"hunter2"}')

    @app.target(**options)
    @dataclass
    class Brush:
        colour: Literal["red", "blue"]

        def paint(self) -> None: ...

    with pytest.raises(ArgumentsError, match="the object cannot be stored; the reason may quote") as refused:
        app.delay(Brush("hunter2")).paint()  # type: ignore[arg-type] # what is wrong with it
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def paint_error(load: Any, payload: str) -> str:
    """Return the message of a payload that cannot be read; nothing may be shown as its cause."""
    with pytest.raises(UnreadableArguments) as raised:
        load(payload)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    return str(raised.value)


def test_what_is_on_its_way_has_no_arguments_in_its_repr() -> None:
    """Prepared calls, loaded jobs, drafts."""
    app = TomQueue("sqlite://")

    @app.job(redact=("tags",))
    class Tagged:
        tags: list[str] = field(default_factory=list)

        def process(self) -> None: ...

    tagged: Any = Tagged
    assert "hunter2" not in repr(tagged(["hunter2"]))

    @app.job(redact=("token",))
    class Mail:
        token: str

        def process(self) -> None: ...

    definition = app.registry.of_class(Mail)
    made: Any = Mail
    mail = made("hunter2")
    assert repr(mail).endswith("Mail()")
    prepared = definition.prepare(mail)
    assert "hunter2" not in repr(prepared)
    assert "hunter2" not in repr(definition.load(prepared.payload))
