"""JSON by msgspec, with the few types that it leaves to us and messages that name the argument."""

import re
from hashlib import blake2b
from pathlib import PurePath
from typing import Any

import msgspec

__all__ = ["ENCODER", "SORTED", "TOO_DEEP", "digest_of", "encoding_error", "from_json", "located", "place_of"]

TOO_DEEP = "it contains itself, or is nested too deeply"
WHERE = re.compile(r"(?P<what>.*) - at `(?P<key>key` in `)?\$\.(?P<name>\w+)(?P<rest>.*)`", re.DOTALL)


def to_json(value: Any) -> Any:
    """Encode what msgspec does not know by itself: paths, and subclasses of the plain types."""
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, str):
        return str.__str__(value)  # a subclass may return itself from str()
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, int):
        return int.__int__(value)
    raise TypeError(f"{type(value).__name__} cannot travel as JSON; pass its key and load it in the job")


def from_json(kind: Any, value: Any) -> Any:
    """Decode what msgspec does not know by itself: paths."""
    if not isinstance(value, str):
        raise ValueError(f"Expected `str`, got `{type(value).__name__}`")  # noqa: TRY004 - msgspec adds the place
    return kind(value)


ENCODER = msgspec.json.Encoder(enc_hook=to_json)
SORTED = msgspec.json.Encoder(enc_hook=to_json, order="deterministic")


def digest_of(*texts: bytes) -> str:
    """Return a short text that tells these from others."""
    return blake2b(b"\n".join(texts), digest_size=16).hexdigest()


def encoding_error(value: Any) -> str:
    """Say why ``value`` cannot be written as JSON; empty if it can."""
    try:
        ENCODER.encode(value)
    except RecursionError:
        return TOO_DEEP
    except UnicodeEncodeError as error:
        return f"{error.reason}: a str with half a surrogate pair is no Unicode text; pass bytes"
    except (TypeError, ValueError) as error:
        return str(error)
    return ""


def located(error: Exception) -> str:
    """Return msgspec's message with the argument's name in front."""
    found = WHERE.fullmatch(str(error))
    if found is None:
        return str(error)
    key = "a key: " if found["key"] else ""
    return f"argument '{found['name']}{found['rest']}': {key}{found['what']}"


def place_of(error: Exception) -> str:
    """Return which argument an error of msgspec's is about, without what it says: that may quote a value."""
    found = WHERE.fullmatch(str(error))
    return "the arguments" if found is None else f"argument '{found['name']}{found['rest']}'"
