"""What a list of failed jobs says of an error."""

import pytest

from tomqueue.error_text import headline


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (None, ""),
        ("Traceback (most recent call last):\n  File x, line 1\nValueError: no", "ValueError: no"),
        (
            "JobTimeout: ran too long; the process was killed\nThread 0x1\n  File x, line 198",
            "JobTimeout: ran too long; the process was killed",
        ),
        ("cancelled", "cancelled"),
    ],
)
def test_the_line_that_says_what_went_wrong(error: str | None, line: str) -> None:
    """The stack of a killed process does not hide why it was killed."""
    assert headline(error) == line
