"""Instants and spans of time as people read and write them."""

import re
from datetime import UTC, datetime, timedelta

__all__ = ["CENTURY", "age", "clock", "duration", "pace", "span", "when"]

UNITS = (("year", 365 * 86400), ("day", 86400), ("h", 3600), ("min", 60), ("s", 1))
PLURALS = {"year", "day"}
SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
PART = re.compile(r"(\d+(?:\.\d+)?) *(s|min|m|h|d|w)? *")
CENTURY = 100 * 365.25 * 86400.0
"""Seconds of the longest duration that can be said."""
LONGEST = timedelta(seconds=CENTURY)


def span(seconds: float) -> str:
    """Return a span in whole ones of its largest unit: ``59 s``, ``3 min``, ``1 day``, ``2 years``."""
    whole = round(seconds)
    for unit, size in UNITS:
        if number := whole // size:
            return f"{number:,} {unit}{'s' if unit in PLURALS and number > 1 else ''}"
    return "0 s"


def age(instant: datetime, now: datetime) -> str:
    """Return how long ago an instant was, or how far away it is: ``3 min ago``, ``in 2 h``."""
    seconds = (now - instant).total_seconds()
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"


def clock(instant: datetime) -> str:
    """Return an instant in UTC, to the second."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def when(instant: datetime, now: datetime) -> str:
    """Return an instant in UTC with its age."""
    return f"{clock(instant)} ({age(instant, now)})"


def pace(every: timedelta) -> str:
    """Return how often something happens that does so once in ``every``: ``10/s``, ``100/min``, ``5/h``, ``2/day``.

    In the first unit that makes it a whole number; it was one, and the span is rounded to a microsecond.
    """
    for unit, seconds in (("s", 1), ("min", 60), ("h", 3600)):
        often = timedelta(seconds=seconds) / every
        if round(often) and abs(often - round(often)) < often / 1000:
            return f"{round(often)}/{unit}"
    return f"{round(timedelta(days=1) / every, 2):.10g}/day"


def duration(text: str) -> timedelta:
    """Read a span that a person wrote: ``90`` (seconds), ``90s``, ``15m``, ``1h``, ``2d``, ``1w``, ``1h30m``.

    Raises ValueError that says how one looks.
    """
    parts = [*PART.finditer(text.strip())]
    if not parts or "".join(part[0] for part in parts) != text.strip():
        raise ValueError(f"{text!r} is no span of time: write 90s, 15m, 1h, 2d or 1w")
    seconds = sum(float(number) * SECONDS[unit or "s"] for number, unit in (part.groups() for part in parts))
    if seconds > LONGEST.total_seconds():
        raise ValueError(f"{text!r} is more than {LONGEST.days:,} days")
    return timedelta(seconds=seconds)
