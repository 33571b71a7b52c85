"""The context that travels down the worker's stack: one attempt at one job, or at a message of another program."""

from dataclasses import dataclass
from typing import TypeVar

from tomqueue.definition import JobDefinition, Loaded
from tomqueue.job import Claimed
from tomqueue.message import Message
from tomqueue.transport.base import Delivery
from tomqueue.worker.context import JobContext
from tomqueue.worker.finish import Policy
from tomqueue.worker.messages import Handling
from tomqueue.worker.slot import Slot

__all__ = ["Attempt", "Work"]

T = TypeVar("T")


@dataclass(slots=True)
class Work:
    """A job that a slot is to do next: a row that is claimed already, and the delivery that told of it, if one did."""

    claimed: Claimed
    delivery: Delivery | None = None
    keeps_place: bool = False
    """Whether its row keeps its stamp when it is given back, although no delivery belongs to it."""


class Attempt:
    """One turn of the stack. Reading what no layer has filled yet fails and names the layer."""

    __slots__ = (
        "_context", "_definition", "_job", "_loaded", "_slot", "_work", "committed", "handling", "is_held", "policy",
    )  # fmt: skip

    def __init__(self, slot: Slot | None = None) -> None:
        self._slot = slot
        self.committed = False
        """Whether the job's own transaction has finished the row already (``atomic=True``)."""
        self.policy = Policy()
        """How it may end: the defaults, until Claim knows the job's definition."""
        self.handling: Handling | None = None
        """What Pop took when it is a message: then there is no work, job, definition or context."""
        self.is_held = False
        """Whether Claim has been reached: from there on what a layer returns or raises is how it ends."""
        self._work: Work | None = None
        self._job: Claimed | None = None
        self._definition: JobDefinition | None = None
        self._loaded: Loaded | None = None
        self._context: JobContext | None = None

    @property
    def slot(self) -> Slot:
        """Where it runs."""
        return self._filled(self._slot, "ErrorHandling")

    @property
    def work(self) -> Work:
        """What Pop took."""
        return self._filled(self._work, "Pop")

    @work.setter
    def work(self, work: Work) -> None:
        self._work = work

    @property
    def job(self) -> Claimed:
        """The row that Claim holds."""
        return self._filled(self._job, "Claim")

    @job.setter
    def job(self, job: Claimed) -> None:
        self._job = job
        self.is_held = True

    @property
    def message(self) -> Message | None:
        """The message that is handled; None when it is a job."""
        return None if self.handling is None else self.handling.letter.message

    @property
    def attempts_left(self) -> int:
        """How many attempts there are after this one; a message is only ever given back."""
        return 1 if self.handling is not None else self.policy.max_attempts - self.job.attempts

    @property
    def definition(self) -> JobDefinition:
        """The definition of the job, found by Claim."""
        return self._filled(self._definition, "Claim")

    @definition.setter
    def definition(self, definition: JobDefinition) -> None:
        self._definition = definition

    @property
    def loaded(self) -> Loaded:
        """The definition with the row's arguments, read by Claim."""
        return self._filled(self._loaded, "Claim")

    @loaded.setter
    def loaded(self, loaded: Loaded) -> None:
        self._loaded = loaded

    @property
    def context(self) -> JobContext:
        """What the job sees of itself, made by Claim."""
        return self._filled(self._context, "Claim")

    @context.setter
    def context(self, context: JobContext) -> None:
        self._context = context

    @property
    def hooks(self) -> object | None:
        """The instance whose hooks are called; None for functions, and while nothing is loaded."""
        return None if self._loaded is None else self._loaded.target

    def _filled(self, value: T | None, layer: str) -> T:
        """Return ``value``; say which layer fills it when it is not there yet."""
        if value is None and self.handling is not None:
            raise AttributeError("this is a message of another program and no job: look at attempt.message first")
        if value is None:
            raise AttributeError(f"not filled yet: stand inside the layer {layer} of the worker's stack to read this")
        return value
