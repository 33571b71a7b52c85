"""Whether a value that went through JSON is the same again."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import msgspec

__all__ = ["NOT_FINITE", "PLAIN", "change_of", "field_names", "not_finite"]

NOT_FINITE = "NaN and infinity are not JSON; pass None or a str"
PLAIN = frozenset({int, str, bool, float, type(None), type(msgspec.UNSET)})
"""Types whose values are the same again when their type is (a NaN comes back as None): no closer look."""


def change_of(given: Any, back: Any) -> str:
    """Say how ``given`` differs from ``back``, which the worker would get; empty if it does not."""
    if not same_kind(given, back):
        if not_finite(given):
            return NOT_FINITE
        was, would = type(given).__name__, type(back).__name__
        return f"a value of type {was} would come back as {would}: annotate it as {was}, or pass {would}"
    if isinstance(back, dict):
        return change_of_dict(given, back)
    if isinstance(back, set | frozenset):
        return "" if given == back else "an element of the set would come back as another type: annotate it"
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(back, list | tuple):
        pairs = zip(given, back, strict=True)
    elif names := field_names(type(back)):
        pairs = ((getattr(given, name, None), getattr(back, name, None)) for name in names)
    return first_change(pairs)


def first_change(pairs: Iterable[tuple[Any, Any]]) -> str:
    """Say how the first pair that differs does; empty if none does."""
    for given, back in pairs:
        kind = type(given)
        if (kind not in PLAIN or type(back) is not kind) and (change := change_of(given, back)):
            return change
    return ""


def change_of_dict(given: dict[Any, Any], back: dict[Any, Any]) -> str:
    """Say how one dict differs from the other; empty if it does not."""
    if lost := [key for key in given if key not in back]:
        kind = type(lost[0]).__name__
        return f"a key of type {kind} would not come back: annotate the dict as dict[{kind}, ...]"
    return first_change((given[key], value) for key, value in back.items())


def same_kind(given: Any, back: Any) -> bool:
    """Whether ``back`` is of the type of ``given``, or of one that counts as the same (see the module)."""
    kind = type(back)
    if type(given) is kind:
        return True
    if kind is list or kind is tuple:
        return isinstance(given, list | tuple)
    if kind is float and isinstance(given, int):
        return bool(given == back)  # beyond 2**53 a float is another number
    return isinstance(given, kind) and not field_names(kind)  # a subclass may have fields that would be lost


def field_names(kind: type) -> tuple[str, ...]:
    """Return the names of the fields of a dataclass, msgspec.Struct or attrs class; none for other types."""
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    return tuple(attribute.name for attribute in getattr(kind, "__attrs_attrs__", ()))


def not_finite(value: Any) -> bool:
    """Whether there is a NaN or an infinity in ``value`` or in a container that it holds."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(not_finite, value.values()))
    return isinstance(value, list | tuple | set | frozenset) and any(map(not_finite, value))
