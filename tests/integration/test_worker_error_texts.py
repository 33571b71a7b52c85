"""Whatever a job raises, its text can be stored and the row is let go."""

import pytest

from tests.harness import Reporter, row, work
from tomqueue import Discard, TomQueue


class Speechless(Exception):
    """An error whose own text raises."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class SpeechlessDiscard(Discard):
    """A verdict whose own text raises."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (ValueError("a\x00b"), "a\\x00b"),
        (ValueError("half \ud800 pair"), "half \\ud800 pair"),
        (ValueError("x" * 5_000_000 + "the end"), "the end"),
        (ValueError("é😀'\\%s"), "é😀'\\%s"),
        (Speechless(), "Speechless"),
        (ExceptionGroup("several", [ValueError("one"), OSError("two")]), "OSError: two"),
    ],
    ids=["nul", "surrogate", "5 MB", "unicode", "speechless", "group"],
)
def test_any_error_text_is_stored(tq: TomQueue, reporter: Reporter, error: Exception, kept: str) -> None:
    """What a database refuses is made readable, what is long is cut, and the reporter hears of it once."""

    @tq.job
    def fail() -> None:
        raise error

    job = fail.enqueue()
    work(tq)
    text = row(tq, job.id).last_error
    assert kept in text
    assert len(text) < 11_000
    assert reporter.errors == [error]


def test_a_verdict_without_words_is_a_verdict(tq: TomQueue) -> None:
    """A Discard whose text cannot be made fails the job all the same."""

    @tq.job
    def fail() -> None:
        raise SpeechlessDiscard("x")

    job = fail.enqueue()
    work(tq)
    assert row(tq, job.id).failed_at is not None
    assert "SpeechlessDiscard" in row(tq, job.id).last_error


def test_the_traceback_begins_with_the_job(tq: TomQueue) -> None:
    """TomQueue's own frames are left out, and the cause is kept."""

    @tq.job
    def fail() -> None:
        try:
            {"there": 1}["missing"]
        except KeyError as error:
            raise ValueError("wrong key") from error

    job = fail.enqueue()
    work(tq)
    text = row(tq, job.id).last_error
    assert "KeyError: 'missing'" in text
    assert "ValueError: wrong key" in text
    assert "worker/invoke.py" not in text


def test_local_variables_are_not_stored(tq: TomQueue) -> None:
    """A secret in a variable stays out of the row."""

    @tq.job
    def fail() -> None:
        password = "hunter" + str(2)
        raise ValueError(len(password))

    job = fail.enqueue()
    work(tq)
    assert "hunter2" not in row(tq, job.id).last_error
