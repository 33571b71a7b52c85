"""What of a job's arguments is not to be shown. Pure, and of the row alone: so that every view can use it.

Two marks of a row say so: its ``meta`` holds the paths of the fields that its declaration redacts, and an encrypted
payload begins with ``SEALED``.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from tomqueue.errors import EnqueueError

__all__ = ["ANY_KEY", "ENCRYPTED", "REDACTED", "SEALED", "Path", "marked", "marks_of", "plain_arguments", "without"]

Path = tuple[str, ...]
"""The keys that lead to a value in a payload; lists on the way are gone through."""
ANY_KEY = "*"
"""Stands in a path for every key of an object."""
REDACTED = "[redacted]"
ENCRYPTED = "[encrypted]"
SEALED = "enc:v1:"
"""How an encrypted payload begins; JSON of arguments begins with a brace."""


class Marks(msgspec.Struct):
    """What ``marked`` writes."""

    redact: tuple[Path, ...] = ()


def marked(meta: str | None, paths: Sequence[Path], job_name: str) -> str:
    """Return a job's ``meta`` with the paths to redact in it. Raises EnqueueError for one that is no JSON object."""
    try:
        theirs = msgspec.json.decode(meta or "{}", type=dict[str, Any])
    except (ValueError, RecursionError):
        raise EnqueueError(
            f"{job_name}: a layer wrote a meta that is no JSON object, and what the job redacts is stored there: "
            "let the layer write an object"
        ) from None
    return msgspec.json.encode({**theirs, "redact": list(paths)}).decode()


def marks_of(meta: str | None) -> tuple[Path, ...]:
    """Return the paths that a row says are to be redacted; none where it says nothing."""
    if meta is None:
        return ()
    try:
        return msgspec.json.decode(meta, type=Marks).redact
    except (ValueError, RecursionError):  # rows are data: what a layer wrote there is its own
        return ()


def plain_arguments(payload: str, paths: Sequence[Path]) -> Any:
    """Return stored arguments as plain JSON values, less what ``paths`` lead to; the text itself where it is no JSON.

    Of an encrypted payload, and of a text that cannot be searched for what is to be redacted, only that it is one.
    """
    if payload.startswith(SEALED):
        return ENCRYPTED
    try:
        arguments = msgspec.json.decode(payload)
        return without(arguments, paths) if paths else arguments
    except (msgspec.DecodeError, RecursionError):
        return REDACTED if paths else payload


def without(value: Any, paths: Sequence[Path]) -> Any:
    """Return plain JSON values with REDACTED in place of what ``paths`` lead to.

    What should have an inside that is redacted, and is something else, is redacted whole.
    """
    if value is None or not paths:
        return value
    if () in paths:
        return REDACTED
    if isinstance(value, list):
        return [without(one, paths) for one in value]
    if not isinstance(value, dict):
        return REDACTED
    return {
        key: without(inner, [path[1:] for path in paths if path[0] in {key, ANY_KEY}]) for key, inner in value.items()
    }
