"""Layer: take the next piece of work, the most urgent that is known."""

from collections.abc import Callable

from tomqueue.worker.attempt import Attempt
from tomqueue.worker.intake import Intake

__all__ = ["Pop"]


class Pop:
    """Asks the intake; proceeds only when there is work. The intake settles deliveries as their jobs start."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def __call__(self, attempt: Attempt, proceed: Callable[[Attempt], bool]) -> bool:
        """Proceed with the next work; False when there was none to be had now."""
        work = self._intake.next(attempt.slot)
        if work is None:
            return False
        attempt.work = work
        try:
            return proceed(attempt)
        finally:
            if not attempt.is_held:  # a layer in between raised, or did not proceed
                self._intake.put_back(work)
