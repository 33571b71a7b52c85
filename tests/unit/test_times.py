"""Instants and spans of time as people read and write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tomqueue.times import age, clock, duration, span, when

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (3599.9, "1 h"),
        (60, "1 min"),
        (7199, "1 h"),
        (86400, "1 day"),
        (3 * 86400, "3 days"),
        (366 * 86400, "1 year"),
        (8000 * 366 * 86400, "8,021 years"),
    ],
)
def test_a_span_is_told_in_its_largest_unit(seconds: float, text: str) -> None:
    """Whole units only."""
    assert span(seconds) == text


def test_an_instant_is_told_in_utc_with_its_age() -> None:
    """In the past and in the future."""
    assert age(NOW - timedelta(minutes=3), NOW) == "3 min ago"
    assert age(NOW + timedelta(hours=2), NOW) == "in 2 h"
    assert clock(NOW.astimezone(timezone(timedelta(hours=5)))) == "2026-03-01 12:00:00 UTC"
    assert when(NOW, NOW) == "2026-03-01 12:00:00 UTC (0 s ago)"
    assert when(datetime.max.replace(tzinfo=UTC), NOW) == "9999-12-31 23:59:59 UTC (in 7,979 years)"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("15m", 900),
        ("15 min", 900),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("1w", 604800),
    ],
)
def test_a_duration_is_read_as_people_write_it(text: str, seconds: float) -> None:
    """A number without a unit is seconds; parts add up."""
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "-1h", "1h?", "h", "1y", "999999w", "1e9h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """So is what is longer than a hundred years."""
    with pytest.raises(ValueError, match=r"is no span of time|is more than"):
        duration(text)
