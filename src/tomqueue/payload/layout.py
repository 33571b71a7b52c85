"""The named and typed values of a payload: which types may travel, and the checks on the way out and in."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import Any, NamedTuple, Unpack, get_args, get_origin

import msgspec

from tomqueue.errors import ArgumentsError, DefinitionError, UnreadableArguments
from tomqueue.payload.fidelity import NOT_FINITE, PLAIN, change_of, not_finite
from tomqueue.payload.secrecy import OPEN, Secrecy, check_names, paths_of
from tomqueue.payload.text import ENCODER, SORTED, digest_of, encoding_error, from_json, located, place_of
from tomqueue.redaction import Path

__all__ = ["UNSET", "Layout", "is_required"]

UNSET = msgspec.UNSET


class Coder(NamedTuple):
    """What encodes and decodes one payload: a Struct made for it, its decoder, and the paths that are redacted."""

    record: Callable[..., msgspec.Struct]
    decoder: msgspec.json.Decoder[msgspec.Struct]
    redacted: tuple[Path, ...]


class Layout:
    """The named values of one payload, in their order, with the type of each.

    Types that are not known yet (a class further down the module) are looked up again at the first use.
    """

    def __init__(
        self,
        job_name: str,
        parameters: Sequence[inspect.Parameter],
        hints: Callable[[], dict[str, Any]],
        secrecy: Secrecy = OPEN,
    ) -> None:
        self.job_name = job_name
        self.names = tuple(parameter.name for parameter in parameters)
        self.discreet = secrecy.discreet
        self._redact = secrecy.redact
        check_names(job_name, secrecy.redact, self.names)
        self._parameters = parameters
        self._required = tuple(index for index, parameter in enumerate(parameters) if is_required(parameter))
        self._hints = hints
        self._coder: Coder | None = None
        with suppress(NameError):
            self._coder = self._compiled()

    @property
    def coder(self) -> Coder:
        """The coder; raises DefinitionError if a name in an annotation is still unknown."""
        if self._coder is None:
            try:
                self._coder = self._compiled()
            except NameError as error:
                raise DefinitionError(f"{self.job_name}: an annotation cannot be resolved: {error}") from error
        return self._coder

    def _compiled(self) -> Coder:
        hints = self._hints()
        types = [stored_type(parameter, hints.get(parameter.name, Any)) for parameter in self._parameters]
        for parameter, kind in zip(self._parameters, types, strict=True):
            check_travels(self.job_name, parameter.name, kind)
        # The Struct's own names are numbered because a parameter may be called like one of its methods.
        fields = [(f"field{index}", kind, UNSET) for index, kind in enumerate(types)]
        rename = {f"field{index}": name for index, name in enumerate(self.names)}
        record = msgspec.defstruct("Arguments", fields, rename=rename, forbid_unknown_fields=True)
        redacted = paths_of(self.job_name, self._redact, dict(zip(self.names, types, strict=True)))
        return Coder(record, msgspec.json.Decoder(record, dec_hook=from_json), redacted)

    def dump(self, values: Sequence[Any]) -> str:
        """Return the JSON text of ``values`` (too few, or UNSET: left out), after reading it again."""
        record, decoder, _ = self.coder
        try:
            encoded = ENCODER.encode(record(*values))
            found = msgspec.structs.astuple(decoder.decode(encoded))
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise ArgumentsError(self._refusal(values, error)) from self._cause(error)
        for index, value in enumerate(values):
            kind, back = type(value), found[index]
            if (kind not in PLAIN or type(back) is not kind) and (change := change_of(value, back)):
                raise ArgumentsError(f"{self.job_name}: argument '{self.names[index]}': {change}")
        return encoded.decode()

    def fingerprint(self, payload: str) -> str:
        """Return a short text that tells values from others, whatever the order of sets and dicts is."""
        return digest_of(SORTED.encode(self.coder.decoder.decode(payload)))

    def load(self, payload: str) -> tuple[Any, ...]:
        """Return the stored values in order, UNSET for what was left out; raises UnreadableArguments."""
        try:
            values = msgspec.structs.astuple(self.coder.decoder.decode(payload))
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise UnreadableArguments(f"{self.job_name}: {self._told(error)}") from self._cause(error)
        for index in self._required:
            if values[index] is UNSET:
                raise UnreadableArguments(f"{self.job_name}: argument '{self.names[index]}' is missing")
        return values

    def _refusal(self, values: Sequence[Any], error: Exception) -> str:
        """Say which argument cannot be stored, and why."""
        for name, value in zip(self.names, values, strict=False):
            if value is UNSET:
                continue
            reason = encoding_error(value) or (NOT_FINITE if not_finite(value) else "")
            if reason and self.discreet:
                return f"{self.job_name}: argument '{name}' cannot be written as JSON"
            if reason:
                return f"{self.job_name}: argument '{name}': {reason}"
        return f"{self.job_name}: {self._told(error)}"

    def _told(self, error: Exception) -> str:
        """Return what an error says and where; of a discreet job only where, for it may quote a value."""
        return f"{place_of(error)} cannot be read as declared" if self.discreet else located(error)

    def _cause(self, error: Exception) -> Exception | None:
        """Return what an error is raised from; of a discreet job nothing, for a traceback shows it."""
        return None if self.discreet else error


def is_required(parameter: inspect.Parameter) -> bool:
    """Whether a call without this parameter is an error."""
    variable = parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    return parameter.default is parameter.empty and not variable


def stored_type(parameter: inspect.Parameter, hint: Any) -> Any:
    """Return the type of what is stored for a parameter: ``*args`` is a tuple, ``**kwargs`` a dict."""
    if get_origin(hint) is Unpack:
        return get_args(hint)[0]
    if parameter.kind is parameter.VAR_POSITIONAL:
        return tuple[hint, ...]
    if parameter.kind is parameter.VAR_KEYWORD:
        return dict[str, hint]
    return hint


def check_travels(job_name: str, name: str, kind: Any) -> None:
    """Raise DefinitionError if a value of the type ``kind`` cannot be written as JSON and read again."""
    try:
        stranger = stranger_in(kind)
    except TypeError as error:
        raise DefinitionError(f"{job_name}: parameter '{name}': {error}") from error
    if stranger is not None:
        raise DefinitionError(
            f"{job_name}: parameter '{name}' is annotated {stranger.__name__}, which cannot travel as JSON; pass its "
            "key and load it in the job"
        )


def stranger_in(kind: Any) -> type | None:
    """Return a type within the type ``kind`` whose values cannot be JSON. Raises TypeError for what is no type."""
    parts = list(parts_of(msgspec.inspect.type_info(kind), set()))
    custom = (part.cls for part in parts if isinstance(part, msgspec.inspect.CustomType))
    return next((cls for cls in custom if not issubclass(cls, PurePath)), None)


def parts_of(info: Any, seen: set[int]) -> Iterator[msgspec.inspect.Type]:
    """Yield every type within the inspected type ``info``; a type may contain itself."""
    if id(info) in seen:
        return
    seen.add(id(info))
    if isinstance(info, msgspec.inspect.Type):
        yield info
    if isinstance(info, msgspec.inspect.Type | msgspec.inspect.Field):
        for value in msgspec.structs.astuple(info):
            for part in value if isinstance(value, tuple) else (value,):
                yield from parts_of(part, seen)
