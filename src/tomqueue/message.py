"""A message of another program: what a consumer's handler is given, and what a producer sends."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

__all__ = ["Message", "Outgoing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message that a consumer handles. All of it comes from outside: data, never trusted."""

    body: bytes = field(repr=False)
    headers: Mapping[str, Any] = field(default_factory=dict, repr=False)
    routing_key: str = ""
    exchange: str = ""
    """Where it was published; of one that came back from a dead-letter exchange, that one."""
    message_id: str | None = None
    content_type: str | None = None
    timestamp: datetime | None = None
    """When it was sent, as its sender says; whole seconds, in UTC."""
    redelivered: bool = False
    """Whether it was delivered before, here or elsewhere, and may have been handled."""

    def json(self) -> Any:
        """Return the body as plain JSON values; raises ValueError when it is no JSON."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(f"the body of message {self.message_id!r} is no JSON: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message that a producer sends to an exchange."""

    exchange: str
    exchange_type: str
    body: bytes = field(repr=False)
    headers: Mapping[str, Any] = field(default_factory=dict, repr=False)
    routing_key: str = ""
    message_id: str
    content_type: str
    mandatory: bool = False
    """Whether it is an error that no queue gets it."""
