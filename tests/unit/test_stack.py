"""A stack is a fold of layers, as in Rack."""

from collections.abc import Callable

import pytest

from tomqueue.errors import SettingsError
from tomqueue.stack import Insertions, Stack

Proceed = Callable[[list[str]], int]


class Named:
    """A layer that is an object: its class gives the name."""

    def __call__(self, seen: list[str], proceed: Proceed) -> int:
        seen.append("Named")
        return proceed(seen) + 1


def outer(seen: list[str], proceed: Proceed) -> int:
    """Act before and after."""
    seen.append("outer")
    result = proceed(seen)
    seen.append("outer again")
    return result * 10


def extra(seen: list[str], proceed: Proceed) -> int:
    """Be inserted."""
    seen.append("extra")
    return proceed(seen)


def core(seen: list[str]) -> int:
    """End the journey."""
    seen.append("core")
    return 1


def stack() -> Stack[list[str], int]:
    """Return a small stack."""
    return Stack(outer, Named(), core=core)


def run(built: Stack[list[str], int]) -> tuple[list[str], int]:
    """Return what a run saw and gave."""
    seen: list[str] = []
    return seen, built.folded()(seen)


def test_layers_act_around_what_is_inside() -> None:
    """Outermost first; the result passes back through all of them."""
    assert run(stack()) == (["outer", "Named", "core", "outer again"], 20)
    assert stack().names() == ["outer", "Named"]
    assert [type(layer).__name__ for layer in stack()] == ["function", "Named"]


def test_layers_are_inserted_beside_named_ones() -> None:
    """The stack itself never changes."""
    whole = stack()
    assert whole.with_before("outer", extra).names() == ["extra", "outer", "Named"]
    assert whole.with_after("outer", extra).names() == ["outer", "extra", "Named"]
    assert run(whole.with_after("Named", extra))[0] == ["outer", "Named", "extra", "core", "outer again"]
    assert whole.names() == ["outer", "Named"]


def test_an_unknown_name_is_refused() -> None:
    """The message lists the layers."""
    with pytest.raises(SettingsError, match="no layer is called 'Nmaed'; this stack has outer, Named"):
        stack().with_before("Nmaed", extra)


def test_insertions_are_collected_before_there_is_a_stack() -> None:
    """In the order in which they were made, also beside each other."""
    insertions: Insertions[list[str], int] = Insertions(("outer", "Named"))
    insertions.insert(extra, after="Named")
    insertions.insert(Named(), before="extra")
    with pytest.raises(SettingsError, match="outer, Named, Named, extra"):
        insertions.insert(extra, before="unheard-of")
    with pytest.raises(SettingsError, match="say where"):
        insertions.insert(extra)
    with pytest.raises(SettingsError, match="say where"):
        insertions.insert(extra, before="outer", after="outer")
    assert insertions.into(stack()).names() == ["outer", "Named", "Named", "extra"]
    with pytest.raises(SettingsError, match="the stack is in use"):
        insertions.insert(extra, before="outer")
