"""Where every internal error goes: the log, and the application's exception reporter."""

import logging
import time
import traceback
from typing import Protocol

from tomqueue.errors import OutcomeUnknown, StoreUnavailable

__all__ = ["ExceptionReporter", "Reporting"]

QUIET = 10.0
"""Seconds for which the same error is not told again: a database that is away fails many looks a second."""


class ExceptionReporter(Protocol):
    """What an application gives to ``tq.exception_reporter``."""

    def notify(self, exception: BaseException) -> object:
        """Take note of an error (Sentry, Honeybadger, a mail)."""


class Reporting:
    """Tells of errors; an exception reporter that raises itself is logged and harms nobody."""

    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger
        self.reporter: ExceptionReporter | None = None
        self._told: dict[str, float] = {}

    def report(self, error: BaseException) -> None:
        """Log an internal error and notify the reporter, unless the same was told a moment ago."""
        told = "".join(traceback.format_exception_only(error)).strip()  # also when the error's own text raises
        now = time.monotonic()
        if now - self._told.get(told, -QUIET) < QUIET:
            return
        self._told = {known: at for known, at in self._told.items() if now - at < QUIET}
        self._told[told] = now
        # a database that is away is a fact, not a fault: its message says all, and a traceback only hides it
        is_fact = isinstance(error, StoreUnavailable | OutcomeUnknown)
        self.logger.error("%s", told, exc_info=None if is_fact else error)
        self.notify(error)

    def notify(self, error: BaseException) -> None:
        """Notify the reporter of an error that is logged already."""
        if self.reporter is None:
            return
        try:
            self.reporter.notify(error)
        except (Exception, SystemExit):
            self.logger.exception("the exception reporter failed")
