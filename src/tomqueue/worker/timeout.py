"""Layer: bound the run. At ``max_run_time`` JobTimeout is raised in the job; what ignores it is killed later."""

from collections.abc import Callable

from tomqueue.errors import Interruption, JobInterrupted, JobTimeout
from tomqueue.worker.attempt import Attempt

__all__ = ["Timeout"]


class Timeout:
    """Writes the deadline where the housekeeper and the supervisor read it."""

    def __call__(self, attempt: Attempt, proceed: Callable[[Attempt], bool]) -> bool:
        """Proceed under the deadline; explain an interruption that comes back."""
        limit = attempt.policy.max_run_time
        attempt.slot.arm(attempt.job, limit, attempt.policy.max_attempts - attempt.job.attempts)
        try:
            return proceed(attempt)
        except Interruption as interruption:
            if not interruption.args:
                interruption.args = (explanation(interruption, limit),)
            raise
        finally:
            attempt.slot.disarm()


def explanation(interruption: Interruption, limit: float) -> str:
    """Return why a job was interrupted."""
    if isinstance(interruption, JobTimeout):
        return f"ran longer than its max_run_time of {limit:g} s"
    if isinstance(interruption, JobInterrupted):
        return "the worker is shutting down and the grace time is over"
    return "interrupted"
