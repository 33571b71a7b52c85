"""Layer: no error ends the worker. What reaches it is TomQueue's or a layer's own trouble, never a job's."""

import logging
from collections.abc import Callable

from tomqueue.errors import ClaimLost, StoreUnavailable
from tomqueue.worker.attempt import Attempt

__all__ = ["ErrorHandling"]

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0


class ErrorHandling:
    """Reports an error and keeps the worker turning; pauses, ever longer, while the database is away.

    ``pause`` waits that many seconds, or until the worker is told to stop.
    """

    def __init__(
        self, logger: logging.Logger, report: Callable[[BaseException], None], pause: Callable[[float], object]
    ) -> None:
        self._logger = logger
        self._report = report
        self._pause = pause
        self._next_pause = 0.0

    def __call__(self, attempt: Attempt, proceed: Callable[[Attempt], bool]) -> bool:
        """Proceed; handle what went wrong."""
        try:
            worked = proceed(attempt)
        except ClaimLost as error:
            self._logger.warning("%s", error)
            return True
        except StoreUnavailable as error:
            self._database_away(error)
            return False
        except (Exception, SystemExit) as error:  # noqa: BLE001 - reported; the worker goes on
            self._report(error)
            self._pause(FIRST_PAUSE)
            return False
        if self._next_pause:
            self._next_pause = 0.0
            self._logger.info("the database is back")
        return worked

    def _database_away(self, error: StoreUnavailable) -> None:
        if not self._next_pause:
            self._report(error)
        self._next_pause = min(self._next_pause * 2 or FIRST_PAUSE, LONGEST_PAUSE)
        self._pause(self._next_pause)
