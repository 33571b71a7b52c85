"""How an object travels in a row: by its fields, or by what finds it again."""

from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any, NamedTuple, Protocol

import msgspec

from tomqueue.definition.classes import FIELDS_DECLARED
from tomqueue.errors import DefinitionError
from tomqueue.payload import InstanceCodec, Secrecy, field_names
from tomqueue.redaction import Path

__all__ = ["Bound", "Carrier", "Fields", "References"]


class Bound(NamedTuple):
    """A method with its object, and whether it is given the JobContext first."""

    call: Callable[..., Any]
    wants_context: bool


class Carrier(Protocol):
    """How the objects of one class travel."""

    allows_async: bool
    """Whether an ``async def`` method can be called on what arrives."""

    def encode(self, instance: object) -> str:
        """Return the object as JSON; raises EnqueueError for one that cannot travel."""

    def fingerprint(self, text: str) -> str:
        """Return a short text that tells an encoded object from others."""

    def check_visible(self, instance: object) -> None:
        """Raise EnqueueError for an object that a worker would not find yet, although it can travel."""

    def bound(self, text: str, function: FunctionType, *, wants_context: bool) -> Bound:
        """Return ``function`` with the object of a row; raises UnreadableArguments."""

    def redacted(self, names: tuple[str, ...]) -> tuple[Path, ...]:
        """Return where the fields with these names are in the JSON of an object; raises DefinitionError."""


References = Callable[[type, str, Any], Carrier | None]
"""From a class, its name and what opens its sessions to a carrier by reference; None: its objects are values."""


class Fields:
    """Objects that are values, of a dataclass, msgspec.Struct or attrs class. Raises DefinitionError for others."""

    allows_async = True

    def __init__(self, target_class: type, name: str) -> None:
        if not issubclass(target_class, msgspec.Struct) and FIELDS_DECLARED.isdisjoint(vars(target_class)):
            raise DefinitionError(
                f"{name}: an instance of it cannot travel: make it a dataclass or a msgspec.Struct (it travels as "
                "its fields), or map it by SQLAlchemy (it travels as its primary key)"
            )
        self._codec: InstanceCodec[Any] = InstanceCodec.of_class(target_class, name)
        self._class = target_class
        self._name = name

    def encode(self, instance: object) -> str:
        """Return the fields as JSON; raises ArgumentsError."""
        return self._codec.encode(instance)

    def fingerprint(self, text: str) -> str:
        """Return what tells the fields from others."""
        return self._codec.fingerprint(text)

    def check_visible(self, instance: object) -> None:
        """Pass: a value is all there."""

    def bound(self, text: str, function: FunctionType, *, wants_context: bool) -> Bound:
        """Return the method of the instance; raises UnreadableArguments."""
        return Bound(MethodType(function, self._codec.decode(text)), wants_context)

    def redacted(self, names: tuple[str, ...]) -> tuple[Path, ...]:
        """Return where the fields are; raises DefinitionError for a name that leads nowhere."""
        fields = tuple(name for name in names if name.partition(".")[0] in field_names(self._class))
        return InstanceCodec.of_class(self._class, self._name, Secrecy(fields)).redacted
