"""The context that travels down the worker's stack: one attempt at one job."""

from dataclasses import dataclass
from typing import TypeVar

from tomqueue.definition import JobDefinition, Loaded
from tomqueue.job import Claimed
from tomqueue.transport.base import Delivery
from tomqueue.worker.context import JobContext
from tomqueue.worker.finish import Policy
from tomqueue.worker.slot import Slot

__all__ = ["Attempt", "Work"]

T = TypeVar("T")


@dataclass(slots=True)
class Work:
    """What a slot is to do next: a row that is claimed already, and the delivery that told of it, if one did."""

    claimed: Claimed
    delivery: Delivery | None = None


class Attempt:
    """One turn of the stack. Reading what no layer has filled yet fails and names the layer."""

    __slots__ = ("_context", "_definition", "_job", "_loaded", "_slot", "_work", "committed", "policy")

    def __init__(self, slot: Slot | None = None) -> None:
        self._slot = slot
        self.committed = False
        """Whether the job's own transaction has finished the row already (``atomic=True``)."""
        self.policy = Policy()
        """How it may end: the defaults, until Claim knows the job's definition."""
        self._work: Work | None = None
        self._job: Claimed | None = None
        self._definition: JobDefinition | None = None
        self._loaded: Loaded | None = None
        self._context: JobContext | None = None

    @property
    def slot(self) -> Slot:
        """Where it runs."""
        return filled(self._slot, "ErrorHandling")

    @property
    def work(self) -> Work:
        """What Pop took."""
        return filled(self._work, "Pop")

    @work.setter
    def work(self, work: Work) -> None:
        self._work = work

    @property
    def job(self) -> Claimed:
        """The row that Claim holds."""
        return filled(self._job, "Claim")

    @job.setter
    def job(self, job: Claimed) -> None:
        self._job = job

    @property
    def is_held(self) -> bool:
        """Whether Claim has taken over the row, and with it the duty to let it go."""
        return self._job is not None

    @property
    def definition(self) -> JobDefinition:
        """The definition of the job, found by Claim."""
        return filled(self._definition, "Claim")

    @definition.setter
    def definition(self, definition: JobDefinition) -> None:
        self._definition = definition

    @property
    def loaded(self) -> Loaded:
        """The definition with the row's arguments, read by Claim."""
        return filled(self._loaded, "Claim")

    @loaded.setter
    def loaded(self, loaded: Loaded) -> None:
        self._loaded = loaded

    @property
    def context(self) -> JobContext:
        """What the job sees of itself, made by Claim."""
        return filled(self._context, "Claim")

    @context.setter
    def context(self, context: JobContext) -> None:
        self._context = context

    @property
    def hooks(self) -> object | None:
        """The instance whose hooks are called; None for functions, and while nothing is loaded."""
        return None if self._loaded is None else self._loaded.target


def filled(value: T | None, layer: str) -> T:
    """Return ``value``; say which layer fills it when it is not there yet."""
    if value is None:
        raise AttributeError(f"not filled yet: stand inside the layer {layer} of the worker's stack to read this")
    return value
