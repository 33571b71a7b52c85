"""Layer: take the next piece of work, the most urgent that is known."""

from collections.abc import Callable
from typing import Protocol

from tomqueue.crash_points import reached
from tomqueue.errors import Retry
from tomqueue.worker.attempt import Attempt, Work
from tomqueue.worker.finish import Policy
from tomqueue.worker.messages import Handling
from tomqueue.worker.slot import Slot

__all__ = ["Pop", "Source"]


class Source(Protocol):
    """Where work comes from: the intake."""

    def next(self, slot: Slot) -> Work | Handling | None:
        """Return the work to start now; None when there is none to be had."""

    def put_back(self, work: Work) -> None:
        """Give back one that was taken to be started and did not run."""

    def ended_turn(self) -> None:
        """Take note that a slot is free again."""


class Pop:
    """Asks the intake; proceeds only when there is work. The intake settles deliveries as their jobs start.

    The slot is the job's from here until the turn is over, its hooks and reports included: ``longest`` seconds and
    ``attempts`` (the settings') count until its own are known.
    """

    def __init__(
        self, intake: Source, settle: Callable[[Handling, BaseException | None], None], longest: float, attempts: int
    ) -> None:
        self._intake = intake
        self._settle = settle
        self._longest = longest
        self._attempts = attempts

    def __call__(self, attempt: Attempt, proceed: Callable[[Attempt], bool]) -> bool:
        """Proceed with the next work; False when there was none to be had now."""
        work = self._intake.next(attempt.slot)
        if work is None:
            return False
        if isinstance(work, Handling):
            return self._handle(attempt, work, proceed)
        attempt.work = work
        reached("worker.before_start")
        job = work.claimed
        # from here on the job is charged if the process dies: reading its arguments may run the application's code
        attempt.slot.occupy(job, self._longest, (job.max_attempts or self._attempts) - job.attempts)
        try:
            return proceed(attempt)
        finally:
            if not attempt.is_held:  # a layer in between raised, or did not proceed
                self._intake.put_back(work)
            attempt.slot.vacate()
            self._intake.ended_turn()

    def _handle(self, attempt: Attempt, handling: Handling, proceed: Callable[[Attempt], bool]) -> bool:
        """Proceed with a message; settle it by what comes back."""
        attempt.handling = handling
        attempt.policy = Policy(max_run_time=min(handling.consumer.max_run_time, self._longest))
        attempt.slot.occupy(handling, self._longest, attempt.attempts_left)
        error: BaseException | None = None
        try:
            proceed(attempt)
            if not attempt.is_held:
                error = Retry("a layer outside of Claim did not proceed")
        except BaseException as caught:  # noqa: BLE001 - whatever a handler raises, SystemExit too, is how it ended
            error = caught
        try:
            self._settle(handling, error)
        finally:
            del error  # its traceback holds this frame
            attempt.slot.vacate()
            self._intake.ended_turn()
        return True
