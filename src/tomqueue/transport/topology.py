"""What is declared at the broker, and its names: the same on RabbitMQ 3.10 to 4.x, without plugins.

Publishers and consumers both declare all that they use, so that no news is lost for want of a queue.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tomqueue.priority import PRIORITIES, Priority

__all__ = ["Binding", "Declaration", "Exchange", "Queue", "Topology"]

LONGEST_NAME = 255
"""Bytes of an AMQP short string."""
DELIVERY_LIMIT = 1_000_000
"""Of quorum queues. Positive: without one RabbitMQ 3.10 puts a requeued message at the tail, and 4.x drops it
after 20 returns; -1 drops it at the first on 3.10."""
USABLE = re.compile(r"[A-Za-z0-9_.-]{1,100}")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange."""

    name: str
    type: str
    is_foreign: bool = False
    """Whether it belongs to another program."""


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue."""

    name: str
    arguments: Mapping[str, str | int] = field(hash=False)
    is_foreign: bool = False
    """Whether it holds messages of other programs, which are nowhere else."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What of an exchange goes to a queue."""

    exchange: str
    queue: str
    routing_key: str

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"{self.exchange} -> {self.queue}"


Declaration = Exchange | Queue | Binding


@dataclass(frozen=True, slots=True)
class Topology:
    """Names and declarations of one ``prefix``. ``queue_type`` is ``classic`` or ``quorum``."""

    prefix: str
    queue_type: str = "classic"

    @property
    def work(self) -> str:
        """The exchange that all news of ready jobs goes to."""
        return f"{self.prefix}.work"

    @property
    def deferred(self) -> str:
        """The exchange, and the queue, of what is due soon."""
        return f"{self.prefix}.work.deferred"

    def routing_key(self, queue: str, rank: int) -> str:
        """Return the key of a job's news."""
        return f"{queue}.{Priority.of_rank(rank)}"

    def queue(self, queue: str, rank: int) -> str:
        """Return the name of the broker's queue for a queue and priority."""
        return f"{self.prefix}.{self.routing_key(queue, rank)}"

    def can_carry(self, queue: str) -> bool:
        """Say whether the broker can have queues of this name; plain SQL may write any into a row."""
        return bool(USABLE.fullmatch(queue)) and len(self.queue(queue, Priority.NORMAL.rank)) <= LONGEST_NAME

    def common(self) -> Iterator[Declaration]:
        """Declare what all queues share."""
        yield Exchange(self.work, "topic")
        yield Exchange(self.deferred, "fanout")
        yield Queue(self.deferred, self._arguments())
        yield Binding(self.deferred, self.deferred, "")

    def of_queue(self, queue: str) -> Iterator[Declaration]:
        """Declare what one named queue needs."""
        for rank in PRIORITIES:
            yield Queue(self.queue(queue, rank), self._arguments())
            yield Binding(self.work, self.queue(queue, rank), self.routing_key(queue, rank))

    def consumer_queue(self, name: str) -> str:
        """Return the name of the broker's queue of a consumer; no named queue has a colon in it."""
        return f"{self.prefix}.consumer:{name}"

    def of_consumer(self, name: str, exchange: str, kind: str, keys: Sequence[str]) -> Iterator[Declaration]:
        """Declare what a consumer of a foreign exchange needs."""
        yield Exchange(exchange, kind, is_foreign=True)
        yield Queue(self.consumer_queue(name), self._arguments(), is_foreign=True)
        for key in keys:
            yield Binding(exchange, self.consumer_queue(name), key)

    def _arguments(self) -> dict[str, str | int]:
        # Always the type, because a virtual host's default may change what silence means; and nothing else, because
        # every other argument is refused somewhere between 3.10 and 4.x, or better left to a policy.
        arguments: dict[str, str | int] = {"x-queue-type": self.queue_type}
        if self.queue_type == "quorum":
            arguments["x-delivery-limit"] = DELIVERY_LIMIT
        return arguments
