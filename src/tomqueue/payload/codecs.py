"""What becomes a payload: the arguments of a call, or the fields of an instance."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, get_type_hints

from tomqueue.errors import ArgumentsError, DefinitionError, UnreadableArguments
from tomqueue.payload.layout import UNSET, Layout, is_required
from tomqueue.payload.secrecy import OPEN, Secrecy, vague
from tomqueue.redaction import Path

__all__ = ["ArgumentsCodec", "InstanceCodec", "function_hints"]

T = TypeVar("T")


class ArgumentsCodec:
    """The arguments of a job that is a function: a JSON object of parameter name and value.

    Defaults that the caller left out are not stored, so that a later change of a default applies. ``*args``
    is stored as a list and ``**kwargs`` as an object, each under its own name.
    """

    def __init__(self, signature: inspect.Signature, layout: "Layout") -> None:
        self._signature = signature
        self._layout = layout
        self.parameters = tuple(signature.parameters.values())
        positional = [p for p in self.parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]
        self._least = sum(map(is_required, positional))
        by_keyword = any(is_required(p) for p in self.parameters if p.kind is p.KEYWORD_ONLY)
        self._most = -1 if by_keyword else len(positional)
        self._is_plain = self._least == len(self.parameters)

    @classmethod
    def of_function(
        cls, function: Callable[..., Any], job_name: str, *, skip: int, secrecy: Secrecy = OPEN
    ) -> "ArgumentsCodec":
        """Return the codec of ``function``, less its first ``skip`` parameters (self, the JobContext).

        Raises DefinitionError for a parameter whose type cannot travel as JSON, or a name to redact that is none.
        """
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())[skip:]
        signature = signature.replace(parameters=parameters)
        return cls(signature, Layout(job_name, parameters, lambda: function_hints(function, parameters), secrecy))

    @property
    def redacted(self) -> tuple[Path, ...]:
        """What of a payload is not to be shown."""
        return self._layout.coder.redacted

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Return the JSON text of a call's arguments; raises ArgumentsError if it could not be read again."""
        if not kwargs and self._least <= len(args) <= self._most:
            return self._layout.dump(args)
        try:
            bound = self._signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise ArgumentsError(f"{self._layout.job_name}: {error}") from error
        return self._layout.dump([bound.get(parameter.name, UNSET) for parameter in self.parameters])

    def fingerprint(self, payload: str) -> str:
        """Return a short text that tells arguments from others; one left to its default is not one that was given."""
        return self._layout.fingerprint(payload)

    def bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
        """Return a call's arguments with all defaults, however they were given."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound

    def decode(self, payload: str) -> tuple[list[Any], dict[str, Any]]:
        """Return the positional and keyword arguments of the call; raises UnreadableArguments."""
        values = self._layout.load(payload)
        if self._is_plain:
            return list(values), {}
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for parameter, stored in zip(self.parameters, values, strict=True):
            if parameter.kind is parameter.VAR_POSITIONAL:
                args.extend(stored or ())
            elif parameter.kind is parameter.VAR_KEYWORD:
                kwargs.update(stored or {})
            else:
                value = parameter.default if stored is UNSET else stored
                if parameter.kind is parameter.KEYWORD_ONLY:
                    kwargs[parameter.name] = value
                else:
                    args.append(value)
        return args, kwargs


def function_hints(function: Callable[..., Any], parameters: Sequence[inspect.Parameter]) -> dict[str, Any]:
    """Return the types of ``parameters`` only; raises NameError for one that is not known (yet).

    The other annotations (the JobContext, what is returned) need not exist when the program runs.
    """
    annotations = {p.name: p.annotation for p in parameters if p.annotation is not p.empty}
    holder = type("Annotations", (), {"__annotations__": annotations})
    names = getattr(inspect.unwrap(function), "__globals__", {})
    return get_type_hints(holder, globalns=names, include_extras=True)


class InstanceCodec(Generic[T]):
    """The fields of a job that is an instance of a dataclass or msgspec.Struct, as a JSON object."""

    def __init__(self, cls: type[T], layout: "Layout") -> None:
        self._class = cls
        self._layout = layout

    @classmethod
    def of_class(cls, job_class: type[T], job_name: str, secrecy: Secrecy = OPEN) -> "InstanceCodec[T]":
        """Return the codec of ``job_class``; raises DefinitionError for a field that cannot be stored.

        Also for a name to redact that is no field.
        """
        parameters = list(inspect.signature(job_class).parameters.values())
        for parameter in parameters:
            if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
                raise DefinitionError(
                    f"{job_name}: parameter {parameter} of __init__ cannot be stored: make it one "
                    "that is passed by keyword and kept as an attribute"
                )
        layout = Layout(job_name, parameters, lambda: get_type_hints(job_class, include_extras=True), secrecy)
        return cls(job_class, layout)

    @property
    def redacted(self) -> tuple[Path, ...]:
        """What of a payload is not to be shown."""
        return self._layout.coder.redacted

    def encode(self, instance: T) -> str:
        """Return the JSON text of the fields; raises ArgumentsError if it cannot be made or read again."""
        try:
            values = [getattr(instance, name) for name in self._layout.names]
        except AttributeError as error:
            raise ArgumentsError(f"{self._layout.job_name}: {error}: every field must have a value") from error
        return self._layout.dump(values)

    def fingerprint(self, payload: str) -> str:
        """Return a short text that tells the fields from others."""
        return self._layout.fingerprint(payload)

    def decode(self, payload: str) -> T:
        """Return the instance; raises UnreadableArguments, also when the class refuses the values."""
        stored = zip(self._layout.names, self._layout.load(payload), strict=True)
        values = {name: value for name, value in stored if value is not UNSET}
        try:
            return self._class(**values)
        except (TypeError, ValueError) as error:
            if not self._layout.discreet:
                raise UnreadableArguments(f"{self._layout.job_name}: {error}") from error
        raise vague(self._layout.job_name)
