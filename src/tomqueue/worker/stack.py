"""The worker's stack: what happens to a job, outermost first. This list is the documentation."""

from tomqueue.stack import Stack
from tomqueue.worker.attempt import Attempt
from tomqueue.worker.claim import Claim
from tomqueue.worker.error_handling import ErrorHandling
from tomqueue.worker.invoke import Invoke
from tomqueue.worker.pop import Pop
from tomqueue.worker.timeout import Timeout

__all__ = ["WORKER_LAYERS", "worker_stack"]

WORKER_LAYERS = ("ErrorHandling", "Pop", "Claim", "Timeout")


def worker_stack(
    error_handling: ErrorHandling, pop: Pop, claim: Claim, timeout: Timeout, invoke: Invoke
) -> Stack[Attempt, bool]:
    """Return the stack; its result says whether there was anything to do."""
    return Stack(
        error_handling,  # no error ends the worker
        pop,             # take the next piece of work
        claim,           # hold its row; record how it ended
        timeout,         # bound the run
        core=invoke,     # call the job and its hooks
    )  # fmt: skip
