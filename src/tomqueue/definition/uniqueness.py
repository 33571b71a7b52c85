"""Unique jobs: what may be said of a key, and which key a call has."""

import inspect
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

from tomqueue.errors import DefinitionError, EnqueueError, TomQueueError
from tomqueue.job import FINISH, START, Unique
from tomqueue.payload import Secrecy

__all__ = [
    "LONGEST_KEY",
    "Rule",
    "check_declared",
    "check_rule",
    "is_plain",
    "unique_of",
    "unique_problem",
    "until_problem",
]

Rule = str | bool | Callable[..., str | None]
LONGEST_KEY = 200
"""Characters of the column ``unique_key``."""


class Terms(Protocol):
    """What options and overrides have in common."""

    @property
    def unique(self) -> Rule | None:
        """The key: a str, True for name and arguments, or a callable of the arguments."""

    @property
    def unique_until(self) -> str | None:
        """Until when it is held."""

    @property
    def unique_for(self) -> float | timedelta | None:
        """How long it is held at most, from the enqueue on."""


class Declared(Terms, Protocol):
    """What a declaration says besides."""

    @property
    def encrypt(self) -> bool | None:
        """Whether the arguments are encrypted."""

    @property
    def secrecy(self) -> Secrecy:
        """Whether any message may quote a value."""


def unique_of(
    name: str,
    declared: Declared,
    given: Terms,
    *,
    ask: Callable[[Callable[..., Any]], Any],
    fingerprint: Callable[[], str],
) -> Unique | None:
    """Return the key of a call and its terms, those ``given`` before those ``declared``; None for no unique job.

    ``ask`` calls a callable with the call's arguments, ``fingerprint`` returns the arguments as a short text. Raises
    EnqueueError for a key that cannot be, and for terms without a key.
    """
    rule = declared.unique if given.unique is None else given.unique
    check_tells_nothing(name, rule, EnqueueError, encrypt=declared.encrypt)
    key = key_of(name, rule, partial(asked, name, ask, discreet=declared.secrecy.discreet), fingerprint)
    if key is None:
        if not callable(rule):
            check_no_terms(name, given, EnqueueError)
        return None
    until = given.unique_until or declared.unique_until or START
    window = declared.unique_for if given.unique_for is None else given.unique_for
    seconds = window.total_seconds() if isinstance(window, timedelta) else window
    return Unique(key, until, None if seconds is None else float(seconds))


def asked(name: str, ask: Callable[[Callable[..., Any]], Any], rule: Callable[..., Any], *, discreet: bool) -> Any:
    """Return what a callable says of a call. Raises EnqueueError that names the job for whatever it raises."""
    try:
        return ask(rule)
    except Exception as error:
        what = f"{name}: unique raised {type(error).__name__}"
        if discreet:
            raise EnqueueError(what) from None
        raise EnqueueError(f"{what}: {error}") from error


def is_plain(declared: Terms, given: Terms) -> bool:
    """Say whether nothing at all is said about uniqueness: most often, and at once."""
    return declared.unique is None and given.unique is None and given.unique_until is None and given.unique_for is None


def key_of(
    name: str, rule: Rule | None, ask: Callable[[Callable[..., Any]], Any], fingerprint: Callable[[], str]
) -> str | None:
    """Return the key of a call; None where it has none. Raises EnqueueError for one that cannot be."""
    if rule is None or rule is False:
        return None
    if rule is True:
        return f"arguments:{fingerprint()}"
    key = rule if isinstance(rule, str) else ask(rule)
    if key is None:
        return None
    if not isinstance(key, str):
        raise EnqueueError(
            f"{name}: unique gave a value of type {type(key).__name__}: a key is a str, or None for none"
        )
    if problem := key_problem(key):
        raise EnqueueError(f"{name}: the unique key {problem}")
    return key


def key_problem(key: str) -> str:
    """Say why ``key`` cannot be stored as a unique key; empty if it can."""
    if not key:
        return "is empty: use a str, or None for a job that is not unique"
    if len(key) > LONGEST_KEY:
        return (
            f"has {len(key):,} characters and the column takes {LONGEST_KEY}: use a shorter one, such as a hash of it"
        )
    if "\0" in key:
        return "holds a NUL character, which PostgreSQL cannot store"
    try:
        key.encode()
    except UnicodeEncodeError as error:
        return f"is no Unicode text: {error.reason}"
    return ""


def unique_problem(rule: object) -> str:
    """Say why ``rule`` cannot say what a job's key is; empty if it can, or is None."""
    if rule is None or isinstance(rule, bool):
        return ""
    if isinstance(rule, str):
        return key_problem(rule)
    return "" if callable(rule) else "must be a str, True for name and arguments, or a callable of the arguments"


def until_problem(until: object) -> str:
    """Say why a key cannot be held until then; empty if it can, or is None."""
    return "" if until in (None, START, FINISH) else f"is unknown: use {START!r} or {FINISH!r}"


def check_declared(name: str, terms: Declared, parameters: Sequence[inspect.Parameter]) -> None:
    """Raise DefinitionError for terms without a key, and for a callable that does not take what the job takes."""
    if terms.unique is None or terms.unique is False:
        check_no_terms(name, terms, DefinitionError)
    check_tells_nothing(name, terms.unique, DefinitionError, encrypt=terms.encrypt)
    check_rule(name, terms.unique, parameters, DefinitionError)


def check_tells_nothing(name: str, rule: Rule | None, error: type[TomQueueError], *, encrypt: bool | None) -> None:
    """Raise ``error`` for a key by which encrypted arguments could be found, by trying."""
    if rule is True and encrypt:
        raise error(
            f"{name}: unique=True stores a digest of the arguments, by which encrypted ones could be guessed: give "
            "unique= a function of what is no secret, such as lambda order_id, card: str(order_id)"
        )


def check_no_terms(name: str, terms: Terms, error: type[TomQueueError]) -> None:
    """Raise ``error`` if anything is said about how long a key is held that there is not."""
    for option in ("unique_until", "unique_for"):
        if getattr(terms, option) is not None:
            raise error(f"{name}: {option} says how long a key is held, and there is none: give unique= too")


def check_rule(
    name: str, rule: Rule | None, parameters: Sequence[inspect.Parameter], error: type[TomQueueError]
) -> None:
    """Raise ``error`` for a callable that does not take what the job takes."""
    if not callable(rule):
        return
    try:
        signature = inspect.signature(rule)
    except ValueError:  # some callables that are written in C tell nothing
        return
    args = [parameter for parameter in parameters if parameter.kind in PLACED]
    kwargs = [parameter.name for parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
    try:
        signature.bind(*args, **dict.fromkeys(kwargs))
    except TypeError as cause:
        takes = ", ".join(parameter.name for parameter in parameters) or "no arguments"
        raise error(f"{name}: unique is called with what the job takes ({takes}), and does not: {cause}") from cause


PLACED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
