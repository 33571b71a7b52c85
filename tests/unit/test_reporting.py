"""Errors of TomQueue's own reach the log and the reporter, once, and do no further harm."""

import logging

import pytest

from tomqueue import reporting as module
from tomqueue.errors import StoreUnavailable
from tomqueue.reporting import Reporting

LOGGER = logging.getLogger("tomqueue.test")


class Reporter:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def notify(self, exception: BaseException) -> None:
        self.errors.append(exception)


def test_an_error_is_told_once_in_a_while(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same type and text again is not; another is; later it is told again."""
    reporting = Reporting(LOGGER)
    reporting.reporter = reporter = Reporter()
    first, same, other = OSError("away"), OSError("away"), OSError("still away")
    for error in (first, same, other):
        reporting.report(error)
    assert reporter.errors == [first, other]
    assert len(caplog.records) == 2
    monkeypatch.setattr(module, "QUIET", 0.0)
    reporting.report(same)
    assert reporter.errors == [first, other, same]


def test_a_reporter_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody else hears of it."""

    class Broken:
        def notify(self, exception: BaseException) -> None:
            raise RuntimeError("no network")

    reporting = Reporting(LOGGER)
    reporting.reporter = Broken()
    reporting.notify(ValueError("x"))
    assert "the exception reporter failed" in caplog.text
    assert "no network" in caplog.text


def test_no_reporter_is_needed(caplog: pytest.LogCaptureFixture) -> None:
    """The log has it."""
    reporting = Reporting(LOGGER)
    reporting.report(ValueError("x"))
    reporting.notify(ValueError("y"))
    assert [record.message for record in caplog.records] == ["ValueError: x"]


def test_an_error_without_words_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """One whose text raises does not end the thread that reports it."""

    class Speechless(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    reporting = Reporting(LOGGER)
    reporting.reporter = reporter = Reporter()
    error = Speechless()
    reporting.report(error)
    assert reporter.errors == [error]
    assert "Speechless" in caplog.text


def test_a_database_that_is_away_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """An outage must not bury the log under a driver's tracebacks; a fault of ours keeps its own."""
    reporting = Reporting(LOGGER)
    reporting.report(StoreUnavailable("the database connection broke"))
    reporting.report(ValueError("ours"))
    away, ours = caplog.records
    assert (away.exc_info, ours.exc_info is None) == (None, False)
