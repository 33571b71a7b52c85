"""An error as text that every database can store and a person can read."""

import traceback
from pathlib import Path

__all__ = ["error_text", "headline", "message_of", "storable", "without_our_frames"]

MOST = 10_000
"""Characters that are kept: the first fifth and the rest from the end, where the cause is."""

FRAME = "  File "
OURS = str(Path(__file__).parent)


def without_our_frames(error: BaseException) -> None:
    """Cut TomQueue's own frames off the top of the traceback, so that it begins with the job's."""
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename.startswith(OURS):
        frame = frame.tb_next
    if frame is not None:
        error.__traceback__ = frame


def storable(text: str) -> str:
    """Return ``text`` without what a database refuses: NUL (PostgreSQL), lone surrogates (all), more than 10 kB."""
    clean = text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
    if len(clean) <= MOST:
        return clean
    head = MOST // 5
    return f"{clean[:head]}\n… {len(clean) - MOST} characters left out …\n{clean[head - MOST :]}"


def message_of(error: BaseException) -> str:
    """Return what ``error`` says, without a traceback; its type when it cannot say anything."""
    try:
        return storable(str(error))
    except Exception as broken:  # noqa: BLE001 - an exception whose own text raises is still to be recorded
        return f"{type(error).__name__} (its text cannot be made: {type(broken).__name__})"


def error_text(error: BaseException) -> str:
    """Return the message and the traceback of ``error``, without local variables (they may hold secrets)."""
    try:
        text = "".join(traceback.format_exception(error))
    except Exception as broken:  # noqa: BLE001 - an exception whose own text raises is still to be recorded
        text = f"{type(error).__name__} (its text cannot be made: {type(broken).__name__})"
    return storable(text)


def headline(error: str | None) -> str:
    """Return the line that says what went wrong: the one after a traceback's frames, the first of any other text."""
    lines = (error or "").strip().splitlines() or [""]
    if not lines[0].startswith("Traceback"):
        return lines[0]
    last_frame = max((place for place, line in enumerate(lines) if line.startswith(FRAME)), default=0)
    return next((line for line in lines[last_frame + 1 :] if not line.startswith(" ")), lines[-1])
