"""What is said about an exchange that belongs to another program."""

from collections.abc import Sequence

from tomqueue.errors import DefinitionError

__all__ = ["checked_exchange", "checked_keys"]

TYPES = ("topic", "direct", "fanout")
EVERYTHING = {"topic": "#", "fanout": ""}
"""The routing key that binds to all of an exchange."""
LONGEST = 255
"""Bytes of an AMQP short string."""


def checked_exchange(who: str, exchange: object, kind: str) -> None:
    """Raise DefinitionError that names ``who``, unless there can be an exchange of this name and type."""
    if not isinstance(exchange, str) or not exchange or too_long(exchange):
        raise DefinitionError(f"{who}: exchange={exchange!r} must be the name of an exchange, at most {LONGEST} bytes")
    if kind not in TYPES:
        raise DefinitionError(f"{who}: type={kind!r} is unknown: use one of {', '.join(TYPES)}")


def checked_keys(who: str, kind: str, keys: object) -> tuple[str, ...]:
    """Return the routing keys to bind with; None is everything. Raises DefinitionError that names ``who``."""
    if keys is None:
        if kind not in EVERYTHING:
            raise DefinitionError(f"{who}: a {kind} exchange needs routing_key=, one or a list of them")
        return (EVERYTHING[kind],)
    found = tuple(keys) if isinstance(keys, Sequence) and not isinstance(keys, str | bytes) else (keys,)
    if not found or not all(isinstance(key, str) and not too_long(key) for key in found):
        raise DefinitionError(f"{who}: routing_key={keys!r} must be a str or a list of str, of at most {LONGEST} bytes")
    return found


def too_long(text: str) -> bool:
    """Say whether AMQP has no room for a name or key."""
    return len(text.encode("utf-8", "surrogatepass")) > LONGEST
