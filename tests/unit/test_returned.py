"""What a job returns goes through JSON and comes back as it was, or is refused with the reason."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from tomqueue.errors import DefinitionError
from tomqueue.payload import NotJson, ReturnCodec

MOST = 1000


@dataclasses.dataclass
class Point:
    """A value with fields."""

    x: int
    y: float


def returns(kind: Any) -> ReturnCodec:
    """Return the codec of a job with this return annotation."""

    def job() -> None: ...

    job.__annotations__["return"] = kind
    return ReturnCodec("job", job)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, 7), (None, None), (str, "é"), (Point, Point(1, 2.5)), (list[Point], [Point(1, 2.5)]),
        (Any, {"a": [1, None]}),
        (datetime, datetime(2030, 1, 1, tzinfo=UTC)), (dict[date, int], {date(2030, 1, 1): 1}), (Path, Path("a/b")),
        (int | None, None), ("Point", Point(1, 2.5)), (bytes, b"\x00\xff"), (set[int], {1, 2}),
    ],
)  # fmt: skip
def test_it_comes_back(kind: Any, value: Any) -> None:
    """As its annotated type."""
    codec = returns(kind)
    assert codec.decode(codec.encode(value, MOST)) == value


def test_without_annotation_it_is_plain_json() -> None:
    """A tuple comes back as a list, which no annotation could prevent."""

    def job():  # type: ignore[no-untyped-def] # noqa: ANN202 - as programs are
        return (1, 2)

    codec = ReturnCodec("job", job)
    assert codec.decode(codec.encode((1, 2), MOST)) == [1, 2]


def nested(depth: int) -> Any:
    """Return a list in a list in a list."""
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


@dataclasses.dataclass
class Detached:
    """What cannot be read any more."""

    name: str = "x"

    def __getattribute__(self, name: str) -> Any:
        if name == "name":
            raise RuntimeError("not bound to a session")
        return super().__getattribute__(name)


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        (int, "1", "Expected `int`, got `str`"),
        (Any, date(2030, 1, 1), "a value of type date would come back as str"),
        (Any, {1: 2}, "a key of type int would not come back"),
        (float, float("inf"), "NaN and infinity are not JSON"),
        (Any, object(), "object cannot travel as JSON"),
        (Any, nested(600), "it contains itself, or is nested too deeply"),
        (Any, Detached(), "its own code raised RuntimeError: not bound to a session"),
        pytest.param(
            str, "x" * MOST, "it is 1,002 bytes of JSON and the setting max_payload_bytes allows 1,000", id="too large"
        ),
    ],
)
def test_what_would_be_another_value_is_refused(kind: Any, value: Any, why: str) -> None:
    """With the reason."""
    with pytest.raises(NotJson) as told:
        returns(kind).encode(value, MOST)
    assert why in str(told.value)


@pytest.mark.parametrize("kind", [object, Callable[[], int], complex, list[object], dict[str, complex]])
def test_an_annotation_that_is_no_json_is_refused_at_once(kind: Any) -> None:
    """Where the job is declared."""
    with pytest.raises(DefinitionError, match="job: "):
        returns(kind)


def test_a_type_that_is_not_known_yet_is_looked_up_later() -> None:
    """It stands further down the module; one that never comes is told at the first use."""
    codec = returns("Later")
    with pytest.raises(DefinitionError, match="job: an annotation cannot be resolved"):
        codec.encode(1, MOST)
    globals()["Later"] = int
    try:
        assert codec.encode(1, MOST) == "1"
    finally:
        del globals()["Later"]
