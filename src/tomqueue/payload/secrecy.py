"""Which values of a payload a declaration keeps from view: from names, through types, to paths in its JSON."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from msgspec import inspect as types

from tomqueue.errors import DefinitionError, UnreadableArguments
from tomqueue.redaction import ANY_KEY, Path

__all__ = ["OPEN", "Secrecy", "check_names", "paths_of", "vague"]

FIELDED = (types.StructType, types.DataclassType, types.TypedDictType)
LISTS = (types.ListType, types.VarTupleType, types.SetType, types.FrozenSetType, types.CollectionType)
UNTYPED = (types.AnyType, types.CustomType, types.RawType)


class Secrecy(NamedTuple):
    """What is not to be shown of a job's arguments.

    ``redact`` are names of arguments or fields, with dots for what is inside. ``discreet`` says that no message may
    quote a value.
    """

    redact: tuple[str, ...] = ()
    discreet: bool = False


OPEN = Secrecy()
"""Nothing is kept from view."""


def vague(job_name: str) -> UnreadableArguments:
    """Return what is raised in place of an error that may quote a value which is not to be shown."""
    return UnreadableArguments(
        f"{job_name}: what is stored does not fit the declaration; the reason may quote what is not to be shown"
    )


def check_names(job_name: str, redact: Sequence[str], known: Sequence[str]) -> None:
    """Raise DefinitionError for a name that is none of ``known``: misspelled, it would hide nothing."""
    for name in redact:
        first = name.partition(".")[0]
        if first not in known:
            raise unknown(job_name, name, first, known)


def paths_of(job_name: str, redact: Sequence[str], kinds: Mapping[str, Any]) -> tuple[Path, ...]:
    """Return where the values are in the JSON. Raises DefinitionError for a name that leads nowhere."""
    found: list[Path] = []
    for name in redact:
        first, *rest = name.split(".")
        inner = Search(job_name, name).within(types.type_info(kinds[first]), rest)
        found.extend((first, *path) for path in inner)
    return tuple(dict.fromkeys(found))


class Search:
    """Follows one name through the types: the keys of the JSON may differ from it (``rename=`` of a Struct)."""

    def __init__(self, job_name: str, name: str) -> None:
        self._job_name = job_name
        self._name = name

    def within(self, info: Any, rest: Sequence[str]) -> Iterator[Path]:
        """Yield the paths that ``rest`` means in a value of the type ``info``."""
        if not rest or isinstance(info, UNTYPED):
            yield tuple(rest)
        elif isinstance(info, types.UnionType):
            yield from self._within_one_of(info.types, rest)
        elif isinstance(info, types.TupleType):
            yield from self._within_one_of(info.item_types, rest)
        elif isinstance(info, LISTS):
            yield from self.within(info.item_type, rest)
        elif isinstance(info, types.DictType):
            yield from ((rest[0], *path) for path in self.within(info.value_type, rest[1:]))
        else:
            yield from self._within_fields(info, rest)

    def _within_one_of(self, infos: Sequence[Any], rest: Sequence[str]) -> Iterator[Path]:
        """Yield the paths in those of the types that have them; at least one must."""
        refused: DefinitionError | None = None
        found: list[Path] = []
        for info in infos:
            try:
                found.extend(self.within(info, rest))
            except DefinitionError as error:
                if refused is None or isinstance(info, FIELDED):
                    refused = error
        if not found and refused is not None:
            raise refused
        yield from found

    def _within_fields(self, info: Any, rest: Sequence[str]) -> Iterator[Path]:
        if not isinstance(info, FIELDED) or getattr(info, "array_like", False):
            place = self._name.removesuffix(".".join(rest)).rstrip(".")
            raise DefinitionError(
                f"{self._job_name}: redact names {self._name!r}, and what {place!r} holds has no names in its JSON: "
                f"redact {place!r} as a whole"
            )
        fields = [field for field in info.fields if rest[0] in {field.name, ANY_KEY}]
        if not fields:
            raise unknown(self._job_name, self._name, rest[0], [field.name for field in info.fields])
        for field in fields:
            yield from ((field.encode_name, *path) for path in self.within(field.type, rest[1:]))


def unknown(job_name: str, name: str, part: str, known: Sequence[str]) -> DefinitionError:
    """Return the error for a name, or a part of it, that is not there."""
    near = get_close_matches(part, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known) or 'none'}"
    what = "which is no argument or field" if part == name else f"and there is no {part!r}"
    return DefinitionError(f"{job_name}: redact names {name!r}, {what}: {hint}")
