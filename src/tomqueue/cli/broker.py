"""What the broker has, beside what is ready in the database: the second half of ``tomqueue queues list``."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from tomqueue.cli.output import Column, print_table
from tomqueue.cli.target import Target
from tomqueue.definition import ConsumerDefinition
from tomqueue.errors import BrokerUnavailable
from tomqueue.priority import PRIORITIES, Priority
from tomqueue.transport.rabbitmq import Depth, Inspection

__all__ = ["BrokerSide", "look_at_broker"]

SIDE_COLUMNS = (
    Column(title="QUEUE", elastic=True),
    Column(title="PRIORITY"),
    Column(title="READY", right=True),
    Column(title="MESSAGES", right=True),
    Column(title="CONSUMERS", right=True),
)
CONSUMER_COLUMNS = (
    Column(title="CONSUMER", elastic=True),
    Column(title="EXCHANGE", elastic=True),
    Column(title="QUEUE"),
    Column(title="PRIORITY"),
    Column(title="MESSAGES", right=True),
    Column(title="CONSUMERS", right=True),
)


@dataclass(frozen=True, slots=True)
class Side:
    """One queue and priority: rows that are ready in the database beside what the broker has of it."""

    queue: str
    rank: int
    ready: int
    depth: Depth | None

    @property
    def matters(self) -> bool:
        """Whether there is anything to see."""
        return bool(self.ready or (self.depth and (self.depth.messages or self.depth.consumers)))

    def fields(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {"ready": self.ready, **depth_fields(self.depth)}

    def cells(self) -> list[str]:
        """Return a line of the table; a message may tell of up to 64 jobs, and what a worker holds is not counted."""
        return [self.queue, Priority.of_rank(self.rank), f"{self.ready:,}", *depth_cells(self.depth)]


@dataclass(frozen=True, slots=True)
class ConsumerSide:
    """What waits for a consumer of another program's exchange: the messages are at the broker and nowhere else."""

    consumer: ConsumerDefinition
    depth: Depth | None

    def fields(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "exchange": self.consumer.exchange,
            "priority": str(self.consumer.priority),
            **depth_fields(self.depth),
        }

    def cells(self) -> list[str]:
        """Return a line of the table."""
        one = self.consumer
        return [one.name, one.exchange, one.queue, one.priority, *depth_cells(self.depth)]


@dataclass(frozen=True, slots=True)
class BrokerSide:
    """All that is known of the broker; empty without one, or while it is away."""

    queues: Sequence[Side] = ()
    consumers: Sequence[ConsumerSide] = field(default=())

    def fields(self, queue: str) -> dict[str, Any]:
        """Return what the broker has of a queue, as a part of its JSON object."""
        sides = {str(Priority.of_rank(side.rank)): side.fields() for side in self.queues if side.queue == queue}
        ours = {one.consumer.name: one.fields() for one in self.consumers if one.consumer.queue == queue}
        return {**({"broker": sides} if sides else {}), **({"consumers": ours} if ours else {})}

    def print_tables(self) -> None:
        """Print what there is to see, each table behind an empty line."""
        lines = [side.cells() for side in self.queues if side.matters]
        if self.queues:
            click.echo()
            print_table(SIDE_COLUMNS, lines, empty="")
        if self.consumers:
            click.echo()
            print_table(CONSUMER_COLUMNS, (one.cells() for one in self.consumers), empty="")


def look_at_broker(target: Target, queues: Sequence[str]) -> BrokerSide:
    """Look at both sides of these queues, and of the application's consumers."""
    try:
        with target.broker() as broker:
            if broker is None:
                return BrokerSide()
            depths = broker.depths(queues)
            consumers = consumer_sides(target, broker)
    except BrokerUnavailable as error:
        click.echo(f"{error}: what follows is the database alone", err=True)
        return BrokerSide()
    ready = target.catalog.queues.ready_by_priority()
    sides = [
        Side(name, rank, ready.get((name, rank), 0), depths.get((name, rank))) for name in queues for rank in PRIORITIES
    ]
    return BrokerSide(sides, consumers)


def consumer_sides(target: Target, broker: Inspection) -> list[ConsumerSide]:
    """Look at what waits for each consumer that the application declares."""
    return [ConsumerSide(one, broker.of_consumer(one.name)) for one in target.tq.consumers]


def depth_cells(depth: Depth | None) -> list[str]:
    """Return the cells of what the broker has; dashes where it has no such queue."""
    return ["-", "-"] if depth is None else [f"{depth.messages:,}", f"{depth.consumers:,}"]


def depth_fields(depth: Depth | None) -> dict[str, int | None]:
    """Return what the broker has as a part of a JSON object; null where it has no such queue."""
    return {
        "messages": None if depth is None else depth.messages,
        "consumers": None if depth is None else depth.consumers,
    }
