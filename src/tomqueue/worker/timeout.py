"""Layer: bound the run. At ``max_run_time`` JobTimeout is raised in the job; what ignores it is killed later."""

from collections.abc import Callable

from tomqueue.errors import Interruption, JobCancelled, JobInterrupted, JobTimeout
from tomqueue.worker.attempt import Attempt

__all__ = ["Timeout"]


class Timeout:
    """Writes the deadline where the guard and the supervisor read it."""

    def __call__(self, attempt: Attempt, proceed: Callable[[Attempt], bool]) -> bool:
        """Proceed under the deadline; explain an interruption that comes back.

        An interruption is raised once in a job at most, between any two steps: also as the slot is being disarmed.
        Then the job has ended, and the interruption is swallowed.
        """
        slot, limit = attempt.slot, attempt.policy.max_run_time
        worked = ended = False
        error: BaseException | None = None
        try:
            try:
                slot.arm(limit, attempt.attempts_left)
                worked = proceed(attempt)
            except BaseException as caught:  # noqa: BLE001 - raised again below
                error = caught
            ended = True
            slot.disarm()
        except Interruption as interruption:
            slot.disarm()
            error = error if ended or error else interruption
        if error is None:
            return worked
        try:
            if isinstance(error, Interruption) and not error.args:
                error.args = (explanation(error, limit),)
            raise error
        finally:
            del error  # its traceback holds this frame


def explanation(interruption: Interruption, limit: float) -> str:
    """Return why a job was interrupted."""
    if isinstance(interruption, JobTimeout):
        return f"ran longer than its max_run_time of {limit:g} s"
    if isinstance(interruption, JobCancelled):
        return "cancelled"
    if isinstance(interruption, JobInterrupted):
        return "the worker is shutting down and the grace time is over"
    return "interrupted"
