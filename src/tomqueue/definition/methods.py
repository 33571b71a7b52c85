"""Methods that are called later: what a class has under a name, and that as a job."""

import inspect
from dataclasses import dataclass, replace
from enum import Enum
from types import FunctionType, MethodType
from typing import Any, Protocol

import msgspec

from tomqueue.definition.asynchronous import Asynchronous
from tomqueue.definition.carriers import Bound, Carrier
from tomqueue.definition.classes import ITSELF
from tomqueue.definition.inspection import colour_of, result_of, wants_context
from tomqueue.definition.options import Options, Overrides, checked_name
from tomqueue.definition.prepared import Loaded, Prepared
from tomqueue.definition.uniqueness import check_declared, is_plain, unique_of
from tomqueue.errors import ArgumentsError, DefinitionError, EnqueueError, JobTargetGone, UnreadableArguments
from tomqueue.payload import ArgumentsCodec, check_names, digest_of, field_names, vague
from tomqueue.redaction import Path

__all__ = ["Found", "Kind", "MethodDefinition", "Owner", "found_in"]


class Kind(Enum):
    """What a method is called on."""

    INSTANCE = "an instance"
    CLASS = "the class"
    STATIC = "nothing"


@dataclass(frozen=True, slots=True)
class Found:
    """A method as its class has it, with what ``handle_asynchronously`` said about it."""

    function: FunctionType
    kind: Kind
    declared: Asynchronous[..., ..., Any] | None


class Owner(Protocol):
    """The class of a method, as far as the method's job needs it."""

    name: str
    place: str
    target_class: type
    sessions: Any

    @property
    def carrier(self) -> Carrier:
        """How an instance travels."""

    def kept_from_view(self, method: str, options: Options) -> Options:
        """Return a method's options with what the class says of redaction and encryption; raises DefinitionError."""


class Stored(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The payload of a method's call."""

    target: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class MethodDefinition:
    """A method as a job; its rows hold the class's name and its own. Raises DefinitionError."""

    def __init__(self, owner: Owner, method: str, found: Found, context_type: type) -> None:
        self.name = checked_name("the name of the job", f"{owner.name}.{method}", DefinitionError)
        self.place = f"{owner.place}.{method}"
        self.kind = found.kind
        options = Options() if found.declared is None else found.declared.options
        options.check(self.name)
        self.options = gone_is_final(owner.kept_from_view(self.name, options))
        if self.options.atomic and owner.sessions is not None:
            raise DefinitionError(
                f"{self.name}: atomic=True loads the object by the job's own session, and @tq.target(session=…) "
                "by another: leave one of them out"
            )
        self.is_async = colour_of(self.name, found.function, self.options)
        self.result = result_of(self.name, found.function, self.options)
        owned = found.kind is not Kind.STATIC
        self.wants_context = wants_context(found.function, context_type, skip_self=owned)
        skip = int(owned) + int(self.wants_context)
        names = list(inspect.signature(found.function).parameters)[skip:]
        of_arguments = tuple(name for name in self.options.redact if name.partition(".")[0] in names)
        if found.kind is Kind.INSTANCE:
            names.extend(field_names(owner.target_class))
        check_names(self.name, () if found.declared is None else found.declared.options.redact, names)
        secrecy = self.options.secrecy._replace(redact=of_arguments)
        self._codec = ArgumentsCodec.of_function(found.function, self.name, skip=skip, secrecy=secrecy)
        first = [] if found.kind is Kind.STATIC else [ITSELF]
        check_declared(self.name, self.options, [*first, *self._codec.parameters])
        self._owner = owner
        self._function = found.function
        self._declared = found.declared

    def __repr__(self) -> str:
        return f"<job {self.name}>"

    @property
    def redacted(self) -> tuple[Path, ...]:
        """What of a payload is not to be shown: of the arguments, and of the fields of the object."""
        paths = [("arguments", *path) for path in self._codec.redacted]
        if self.kind is Kind.INSTANCE:
            carried = self._owner.carrier.redacted(self.options.redact)
            paths.extend(("target", *path) for path in carried)
        return tuple(paths)

    def terms(self, receiver: object, given: Overrides) -> Overrides:
        """Return the terms of one call: those given, else what the declaration says of ``receiver``."""
        return given if self._declared is None else self._declared.terms(receiver, given)

    def check_visible(self, receiver: object, terms: Overrides) -> None:
        """Raise EnqueueError for an object whose own transaction has not committed it, and is not the job's."""
        if self.kind is Kind.INSTANCE and terms.session is None and terms.connection is None:
            self._owner.carrier.check_visible(receiver)

    def prepare(self, receiver: object, terms: Overrides, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Prepared:
        """Check a call; raises ArgumentsError, and EnqueueError for an object that cannot travel."""
        arguments, target = self._codec.encode(args, kwargs), ""
        stored = Stored(arguments=msgspec.Raw(arguments.encode()))
        if self.kind is Kind.INSTANCE:
            target = self._encoded(receiver)
            stored.target = msgspec.Raw(target.encode())
        unique = None
        if not is_plain(self.options, terms):
            unique = unique_of(
                self.name, self.options, terms,
                ask=lambda rule: self._asked(rule, receiver, args, kwargs),
                fingerprint=lambda: self._fingerprint(target, arguments),
            )  # fmt: skip
        return Prepared(definition=self, payload=msgspec.json.encode(stored).decode(), overrides=terms, unique=unique)

    def _encoded(self, receiver: object) -> str:
        try:
            return self._carrier().encode(receiver)
        except ArgumentsError:
            if self.options.secrecy.discreet:
                raise ArgumentsError(
                    f"{self.name}: the object cannot be stored; the reason may quote what is not to be shown"
                ) from None
            raise

    def _asked(self, rule: Any, receiver: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Ask a callable for the key as the method is called: with its object or class first, if it has one."""
        bound = self._codec.bound(args, kwargs)
        first = () if self.kind is Kind.STATIC else (receiver,)
        return rule(*first, *bound.args, **bound.kwargs)

    def _fingerprint(self, target: str, arguments: str) -> str:
        of_target = self._carrier().fingerprint(target) if target else ""
        return digest_of(of_target.encode(), self._codec.fingerprint(arguments).encode())

    def load(self, payload: str) -> Loaded:
        """Return the call of a stored payload; raises UnreadableArguments."""
        try:
            stored = msgspec.json.decode(payload, type=Stored)
        except (ValueError, RecursionError) as error:
            raise UnreadableArguments(f"{self.name}: {error}") from error
        args, kwargs = self._codec.decode(bytes(stored.arguments).decode())
        try:
            bound = self._bound(stored)
        except (DefinitionError, EnqueueError) as error:  # the class is another than it was at the enqueue
            raise UnreadableArguments(str(error)) from error
        except UnreadableArguments:
            if self.options.secrecy.discreet:
                raise vague(self.name) from None
            raise
        return Loaded(call=bound.call, args=args, kwargs=kwargs, wants_context=bound.wants_context)

    def _bound(self, stored: Stored) -> Bound:
        if self.kind is Kind.STATIC:
            return Bound(self._function, self.wants_context)
        if self.kind is Kind.CLASS:
            return Bound(MethodType(self._function, self._owner.target_class), self.wants_context)
        if stored.target is msgspec.UNSET:
            raise UnreadableArguments(f"{self.name}: it is called on an instance, and the row holds none")
        text = bytes(stored.target).decode()
        return self._carrier().bound(text, self._function, wants_context=self.wants_context)

    def _carrier(self) -> Carrier:
        carrier = self._owner.carrier
        if self.is_async and not carrier.allows_async:
            raise EnqueueError(
                f"{self.name} is async def, and its object is loaded by a synchronous session: make it a plain def, "
                "or write an `async def` job that is given the key"
            )
        return carrier


def found_in(target_class: type, name: str) -> Found | None:
    """Return the public method that a class has under ``name``; None if there is none."""
    if name.startswith("_"):
        return None
    value: Any = next((vars(base)[name] for base in target_class.__mro__ if name in vars(base)), None)
    declared = value if isinstance(value, Asynchronous) else None
    if declared is not None:
        value = declared.wrapped
    kind = {classmethod: Kind.CLASS, staticmethod: Kind.STATIC}.get(type(value), Kind.INSTANCE)
    function = value if kind is Kind.INSTANCE else value.__func__
    return Found(function, kind, declared) if isinstance(function, FunctionType) else None


def gone_is_final(options: Options) -> Options:
    """Let an object that is gone fail the job for good, unless ``retry_on`` names JobTargetGone."""
    if options.retry_on is not None and JobTargetGone in options.retry_on:
        return options
    return replace(options, discard_on=(*options.discard_on, JobTargetGone))
