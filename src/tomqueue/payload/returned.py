"""What a job returns, as JSON text and back, with the type that it declares; and any value without one."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, get_type_hints

import msgspec

from tomqueue.errors import DefinitionError
from tomqueue.payload.fidelity import NOT_FINITE, change_of, not_finite
from tomqueue.payload.layout import stranger_in
from tomqueue.payload.text import ENCODER, TOO_DEEP, encoding_error, from_json

__all__ = ["NotJson", "ReturnCodec", "faithful_json"]


class NotJson(ValueError):
    """A value cannot be JSON, would come back as another, or is too large."""


def faithful_json(value: Any, decoder: "msgspec.json.Decoder[Any]", setting: str, most_bytes: int) -> str:
    """Return ``value`` as JSON of at most ``most_bytes``, as ``setting`` says, after reading it again by ``decoder``.

    Raises NotJson.
    """
    try:
        encoded = ENCODER.encode(value)
        change = change_of(value, decoder.decode(encoded))
    except Exception as error:  # whatever the value's own code raises
        raise NotJson(reason_of(value, error)) from error
    if change:
        raise NotJson(change)
    if len(encoded) > most_bytes:
        raise NotJson(
            f"it is {len(encoded):,} bytes of JSON and the setting {setting} allows {most_bytes:,}: "
            "store it elsewhere and keep its key"
        )
    return encoded.decode()


def reason_of(value: Any, error: Exception) -> str:
    """Say why a value cannot be JSON; ``error`` is what came of trying."""
    if isinstance(error, RecursionError):
        return TOO_DEEP
    if isinstance(error, TypeError | ValueError | msgspec.MsgspecError):
        return encoding_error(value) or (NOT_FINITE if not_finite(value) else str(error))
    return f"its own code raised {type(error).__name__}: {error}"


class ReturnCodec:
    """The value that a job returns. A type that is not known yet is looked up again at the first use.

    Raises DefinitionError for an annotation that cannot be JSON.
    """

    def __init__(self, job_name: str, function: Callable[..., Any]) -> None:
        self._job_name = job_name
        self._function = function
        self._known: msgspec.json.Decoder[Any] | None = None
        with suppress(NameError):
            self._known = self._compiled()

    def encode(self, value: Any, most_bytes: int) -> str:
        """Return the JSON text of what the job returned, of at most so many bytes. Raises NotJson."""
        return faithful_json(value, self._decoder, "max_payload_bytes", most_bytes)

    def decode(self, text: str) -> Any:
        """Return the value of a stored result. Raises ValueError if it does not fit what the job declares here."""
        return self._decoder.decode(text)

    @property
    def _decoder(self) -> "msgspec.json.Decoder[Any]":
        if self._known is None:
            try:
                self._known = self._compiled()
            except NameError as error:
                raise DefinitionError(f"{self._job_name}: an annotation cannot be resolved: {error}") from error
        return self._known

    def _compiled(self) -> "msgspec.json.Decoder[Any]":
        kind = return_type(self._function)
        try:
            stranger = stranger_in(kind)
        except TypeError as error:
            raise DefinitionError(f"{self._job_name}: what it returns cannot be kept: {error}") from error
        if stranger is not None:
            raise DefinitionError(
                f"{self._job_name}: it returns {stranger.__name__}, which cannot be kept as JSON: return its key, or "
                "leave result_ttl out"
            )
        return msgspec.json.Decoder(kind, dec_hook=from_json)


def return_type(function: Callable[..., Any]) -> Any:
    """Return the annotation of what a function returns; Any where there is none. Raises NameError."""
    annotation = getattr(function, "__annotations__", {}).get("return", Any)
    holder = type("Annotations", (), {"__annotations__": {"value": annotation}})
    names = getattr(function, "__globals__", {})
    return get_type_hints(holder, globalns=names, include_extras=True)["value"]
