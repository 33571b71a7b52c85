"""Errors as text: storable anywhere, readable, and never an error itself."""

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomqueue.error_text import MOST, error_text, headline, message_of, storable, without_our_frames


class Speechless(Exception):
    """An error without words."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def caught(error: BaseException) -> BaseException:
    """Return ``error`` with a traceback."""
    with pytest.raises(type(error)) as raised:
        raise error
    return raised.value


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_becomes_storable(text: str) -> None:
    """No NUL, no lone surrogate, and not much longer than allowed."""
    stored = storable(text)
    assert "\x00" not in stored
    stored.encode()
    assert len(stored) <= MOST + 100


def test_good_text_stays() -> None:
    """What can be stored is."""
    assert storable("é😀\n\t'\\") == "é😀\n\t'\\"


def test_a_long_text_keeps_both_ends() -> None:
    """The beginning and, longer, the end, where the cause is."""
    stored = storable("begin " + "x" * 5_000_000 + " end")
    assert stored.startswith("begin ")
    assert stored.endswith(" end")
    assert "4990010 characters left out" in stored


def test_an_error_without_words_is_told() -> None:
    """By its type."""
    assert "Speechless" in error_text(caught(Speechless()))
    assert message_of(Speechless()) == "Speechless (its text cannot be made: RuntimeError)"
    assert message_of(ValueError("a\x00")) == "a\\x00"


def test_only_our_frames_at_the_top_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies below the job's first frame stays; an error that is all ours stays whole."""
    error = caught(ValueError("x"))
    whole = traceback.format_exception(error)
    without_our_frames(error)
    assert traceback.format_exception(error) == whole
    monkeypatch.setattr("tomqueue.error_text.OURS", __file__)
    without_our_frames(error)
    assert traceback.format_exception(error) == whole


def test_a_headline_names_the_error() -> None:
    """Also of a text of several lines, an error of syntax, and of what a supervisor wrote."""
    assert headline(error_text(caught(ValueError("first\n  second\nthird")))) == "ValueError: first"
    with pytest.raises(SyntaxError) as raised:
        compile("a b", "app.py", "exec")
    assert headline(error_text(raised.value)) == "SyntaxError: invalid syntax"
    assert headline("killed by SIGKILL\nwhile it ran") == "killed by SIGKILL"
    assert not headline(None)
