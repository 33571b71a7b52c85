"""The seam to the news: who publishes it, and what a worker may ask of it.

News is only a hint. Lost, late, doubled or reordered, it can never lose a job or run it wrongly: the row decides.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from tomqueue.definition import ConsumerDefinition
from tomqueue.message import Message, Outgoing
from tomqueue.priority import PRIORITIES

__all__ = [
    "Consumer", "Delivery", "Letter", "Mailbox", "MessagePublisher", "Notification", "Publisher", "Transport",
    "Wanted",
]  # fmt: skip


class Notification(NamedTuple):
    """The news that a job is ready, as of the ``stamp`` by which its row was announced."""

    job_id: int
    queue: str
    priority: int
    stamp: datetime
    checksum: str = ""
    """Of the row as it was announced; one that differs is counted, and never keeps a job from running."""


class Delivery(NamedTuple):
    """A notification in a worker's hand, until it is acked or requeued. ``tag`` belongs to the transport."""

    notification: Notification
    tag: int


class Publisher(Protocol):
    """The enqueueing side."""

    def publish(self, notifications: Sequence[Notification]) -> None:
        """Send news of committed rows. Never raises and never waits: what is lost is found in the database."""

    def connect(self, seconds: float) -> bool:
        """Say whether the broker takes news now, or within so many seconds."""

    def flush(self, seconds: float) -> int:
        """Wait, at most so many seconds, until the broker has confirmed all; return how many messages are left."""

    def close(self) -> None:
        """Send what is still buffered, within a bound, and end."""


class Consumer(Protocol):
    """The working side, of one worker process."""

    @property
    def asks_database(self) -> bool:
        """Whether there is no news now, so that the worker must look into the database itself."""

    def receive(self, limit: int) -> list[Delivery]:
        """Return at most ``limit`` deliveries that have arrived, most urgent first; do not wait."""

    def ack(self, delivery: Delivery) -> None:
        """Say that the delivery is done with: its job starts, or there is nothing to run."""

    def most_urgent(self) -> int | None:
        """Return the rank of what ``receive`` would give first; None when nothing has arrived. Cheap: asked often."""

    def requeue(self, delivery: Delivery) -> bool:
        """Put the delivery back at the head of its queue.

        False: its channel is gone, so that the broker gave it to somebody else already, who found its row claimed;
        the row must be announced again.
        """

    def doubtful(self) -> list[Notification]:
        """Return, once, what was put back by a channel that then was lost: it may be in no queue any more."""

    def empty_at(self) -> Mapping[tuple[str, int], float]:
        """Return the queues and priorities that have no news, and the boot time when that was last seen.

        What was announced well before it, and waits, has no news any more, or another worker has it in hand.
        """

    def suspend(self) -> None:
        """Hold no delivery until the next ``receive``: there is no free slot, and others may have one."""

    def wait(self, seconds: float) -> None:
        """Return when there may be news, or after ``seconds``, or after ``wake``."""

    def wake(self) -> None:
        """End a ``wait`` of another thread."""

    def close(self) -> None:
        """Give back every delivery that is neither acked nor requeued, and end."""


@dataclass(frozen=True, slots=True, eq=False)
class Letter:
    """A message of another program in a worker's hand, until it is settled. ``place`` belongs to the transport."""

    message: Message
    consumer: ConsumerDefinition
    place: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a worker wants of other programs' messages."""

    consumers: Sequence[ConsumerDefinition]
    queues: Callable[[], Sequence[str]]
    """The named queues that are served now: a consumer of another waits."""
    slots: int
    """How many can be handled at a time."""
    arrived: Callable[[], None]
    """Called from another thread when one has arrived."""


class Mailbox(Protocol):
    """Where the messages of an application's consumers arrive in one worker process."""

    def most_urgent(self) -> int | None:
        """Return the rank of what ``take`` would give; None when nothing has arrived. Cheap: asked often."""

    def take(self) -> Letter | None:
        """Return the most urgent message that has arrived; do not wait."""

    def ack(self, letter: Letter) -> None:
        """Say that the message is handled."""

    def discard(self, letter: Letter) -> None:
        """Have the broker drop it, or dead-letter it where a policy says so."""

    def hold(self, letter: Letter, seconds: float) -> None:
        """Put it back at the head of its queue after a while; others of its queue come meanwhile."""

    def suspend(self) -> None:
        """Put back what was not taken, and let none come until ``resume``: there is no free slot."""

    def resume(self) -> None:
        """Let messages come again; asked often."""

    def follow(self) -> None:
        """See at once which queues are served."""

    def drain(self) -> None:
        """Put back what is not being handled, and let nothing more come."""

    def close(self) -> None:
        """Settle what is to be settled, give the rest back, and end."""


class MessagePublisher(Protocol):
    """The sending side of an application's producers."""

    def check(self, message: Outgoing) -> None:
        """Raise PublishError if the message can never be sent."""

    def send(self, message: Outgoing) -> None:
        """Send it and wait until the broker has it; raises PublishError when that is not so in time."""

    def post(self, message: Outgoing) -> None:
        """Send it as soon as the broker takes it. Never raises and never waits: trouble is reported."""

    def close(self) -> None:
        """Send what is still to be sent, within a bound, and end."""


class Transport(Protocol):
    """Makes both sides."""

    @property
    def pushes(self) -> bool:
        """Whether there is a broker at all: without one a row's stamp is its place in the line."""

    def publisher(self) -> Publisher:
        """Return the enqueueing side of this process."""

    def consumer(self, queues: Callable[[], Sequence[str]], ranks: range = PRIORITIES) -> Consumer:
        """Return the working side for the queues that ``queues`` names, now and later, and priorities of ``ranks``."""

    def mailbox(self, wanted: Wanted) -> Mailbox | None:
        """Return where messages of other programs arrive; None without a broker."""
