"""The seam to the news: who publishes it, and what a worker may ask of it.

News is only a hint. Lost, late, doubled or reordered, it can never lose a job or run it wrongly: the row decides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

__all__ = ["Consumer", "Delivery", "Notification", "Publisher", "Transport"]


@dataclass(frozen=True, slots=True)
class Notification:
    """The news that a job is ready, as of the ``stamp`` by which its row was announced."""

    job_id: int
    queue: str
    priority: int
    stamp: datetime
    checksum: str = ""
    """Of the row as it was announced; one that differs is counted, and never keeps a job from running."""


@dataclass(frozen=True, slots=True)
class Delivery:
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

    def suspend(self) -> None:
        """Hold no delivery until the next ``receive``: there is no free slot, and others may have one."""

    def wait(self, seconds: float) -> None:
        """Return when there may be news, or after ``seconds``, or after ``wake``."""

    def wake(self) -> None:
        """End a ``wait`` of another thread."""

    def close(self) -> None:
        """Give back every delivery that is neither acked nor requeued, and end."""


class Transport(Protocol):
    """Makes both sides."""

    @property
    def pushes(self) -> bool:
        """Whether there is a broker at all: without one a row's stamp is its place in the line."""

    def publisher(self) -> Publisher:
        """Return the enqueueing side of this process."""

    def consumer(self, queues: Callable[[], Sequence[str]]) -> Consumer:
        """Return the working side for the queues that ``queues`` names, now and later."""
