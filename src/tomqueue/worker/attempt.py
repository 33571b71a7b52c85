"""The context that travels down the worker's stack: one attempt at one job, or at a message of another program."""

from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from tomqueue.definition import JobDefinition, Loaded
from tomqueue.job import Claimed
from tomqueue.message import Message
from tomqueue.store.base import Delete
from tomqueue.transport.base import Delivery
from tomqueue.worker.context import JobContext
from tomqueue.worker.finish import Policy
from tomqueue.worker.messages import Handling
from tomqueue.worker.slot import Slot

__all__ = ["Attempt", "Result", "Work", "success_of"]


@dataclass(slots=True)
class Work:
    """A job that a slot is to do next: a row that is claimed already, and the delivery that told of it, if one did."""

    claimed: Claimed
    delivery: Delivery | None = None
    keeps_place: bool = False
    """Whether its row keeps its stamp when it is given back, although no delivery belongs to it."""


class Result(NamedTuple):
    """What a job returned, as JSON; or why that could not be kept."""

    value: str | None
    problem: str | None = None


class Attempt:
    """One turn of the stack. Reading what no layer has filled yet fails and names the layer."""

    __slots__ = (
        "committed", "context", "definition", "handling", "is_held", "job", "loaded", "policy", "result", "slot",
        "work",
    )  # fmt: skip

    slot: Slot
    """Where it runs."""
    work: Work
    """What Pop took."""
    job: Claimed
    """The row that Claim holds."""
    definition: JobDefinition
    """The definition of the job, found by Claim."""
    loaded: Loaded
    """The definition with the row's arguments, read by Claim."""
    context: JobContext
    """What the job sees of itself, made by Claim."""
    committed: bool
    """Whether the job's own transaction has finished the row already (``atomic=True``)."""
    policy: Policy
    """How it may end: the defaults, until Claim knows the job's definition."""
    handling: Handling | None
    """What Pop took when it is a message: then there is no work, job, definition or context."""
    result: Result | None
    """What the job returned, where that is kept; written by Invoke."""
    is_held: bool
    """Whether Claim has been reached: from there on what a layer returns or raises is how it ends."""

    def __init__(self, slot: Slot | None = None) -> None:
        if slot is not None:
            self.slot = slot
        self.committed = self.is_held = False
        self.policy = DEFAULT
        self.handling = self.result = None

    def __getattr__(self, name: str) -> NoReturn:
        """Say which layer fills what was read too early."""
        if name not in FILLED_BY:
            raise AttributeError(f"an attempt has no attribute {name!r}")
        if self.handling is not None:
            raise AttributeError("this is a message of another program and no job: look at attempt.message first")
        raise AttributeError(
            f"not filled yet: stand inside the layer {FILLED_BY[name]} of the worker's stack to read {name!r}"
        )

    @property
    def message(self) -> Message | None:
        """The message that is handled; None when it is a job."""
        return None if self.handling is None else self.handling.letter.message

    @property
    def hooks(self) -> object | None:
        """The instance whose hooks are called; None for functions, and while nothing is loaded."""
        loaded: Loaded | None = getattr(self, "loaded", None)
        return None if loaded is None else loaded.target

    @property
    def attempts_left(self) -> int:
        """How many attempts there are after this one; a message is only ever given back."""
        return 1 if self.handling is not None else self.policy.max_attempts - self.job.attempts


def success_of(attempt: Attempt) -> Delete:
    """Return the ending of a job that has succeeded, with its result."""
    job = attempt.job
    ending = Delete(job.id, job.token, job.tied, job.attempts > 1)
    if attempt.result is not None:
        ending.result, ending.error = attempt.result
    return ending


DEFAULT = Policy()
FILLED_BY = {
    "slot": "ErrorHandling", "work": "Pop",
    **dict.fromkeys(("job", "definition", "loaded", "context"), "Claim"),
}  # fmt: skip
"""The layer inside of which each of these can be read."""
