"""A look at the broker from outside, for people: over AMQP alone, so that no plugin is needed. It changes nothing."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker, ConnectionBlockedTimeout, UnroutableError

from tomqueue.definition import ConsumerDefinition
from tomqueue.errors import BrokerUnavailable
from tomqueue.priority import PRIORITIES
from tomqueue.service import boot_time
from tomqueue.settings import Settings, broker_urls
from tomqueue.transport.rabbitmq.address import describe, parameters_of, place_of
from tomqueue.transport.rabbitmq.cures import cure_of, cure_of_other
from tomqueue.transport.topology import Binding, Exchange, Queue, Topology

__all__ = ["Depth", "Difference", "Inspection", "Node"]

NOT_FOUND = 404
PRECONDITION_FAILED = 406
HEARTBEAT = 4
"""Seconds: a broker that stands still is given up after two of them."""
ALARM_SECONDS = 2.0
"""A broker that takes news confirms within milliseconds; one with an alarm never does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The broker that we are connected to; ``seconds`` is what an answer takes."""

    place: str
    product: str
    version: str
    cluster: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Depth:
    """What the broker says of one of its queues: messages that nobody holds, and consumers."""

    messages: int
    consumers: int


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is there and was declared otherwise: the broker's words on it, and what to do."""

    name: str
    words: str
    cure: str


class Inspection:
    """One connection to the broker. Raises BrokerUnavailable, with the reason and no password."""

    def __init__(self, settings: Settings) -> None:
        self._topology = Topology(settings.prefix, settings.queue_type)
        nodes = [parameters_of(settings, "inspection", address) for address in broker_urls(settings.broker_url)]
        for parameters in nodes:
            parameters.blocked_connection_timeout = ALARM_SECONDS
            parameters.heartbeat = HEARTBEAT
        self._password = nodes[0].credentials.password
        self._place = place_of(settings)
        self._logger = logging.getLogger("pika")
        self._propagates = self._logger.propagate
        self._logger.propagate = False  # what a look finds is for its caller to say
        self._silence = logging.NullHandler()
        self._logger.addHandler(self._silence)
        try:
            with self._translated():
                self._connection = pika.BlockingConnection(nodes)  # the first that answers
        except BaseException:
            self._speak()
            raise

    def close(self) -> None:
        """End the connection."""
        with suppress(AMQPError):
            self._connection.close()
        self._speak()

    def node(self) -> Node:
        """Say who answers."""
        # pika keeps what the server says about itself in the connection behind the blocking one
        said: dict[str, Any] = self._connection._impl.server_properties  # noqa: SLF001
        began = boot_time()
        with self._translated():
            self._connection.channel().close()
        return Node(
            place=self._place, product=text_of(said, "product"), version=text_of(said, "version"),
            cluster=text_of(said, "cluster_name"), seconds=(boot_time() - began) / 2,
        )  # fmt: skip

    def depths(self, queues: Iterable[str]) -> dict[tuple[str, int], Depth]:
        """Read what waits, by queue and priority; a queue that is not there is left out."""
        found: dict[tuple[str, int], Depth] = {}
        for queue in queues:
            if not self._topology.can_carry(queue):
                continue
            for rank in PRIORITIES:
                depth = self._depth(self._topology.queue(queue, rank))
                if depth is not None:
                    found[queue, rank] = depth
        return found

    def of_consumer(self, consumer: str) -> Depth | None:
        """Read what waits for a consumer of a foreign exchange; None when its queue is not there."""
        return self._depth(self._topology.consumer_queue(consumer))

    def missing(self, queues: Iterable[str], consumers: Iterable[ConsumerDefinition]) -> list[str]:
        """Return the names that should be there and are not."""
        return [
            f"{type(one).__name__.lower()} {one.name}"
            for one in self._declarations(queues, consumers)
            if not self._is_there(one)
        ]

    def different(self, queues: Iterable[str], consumers: Iterable[ConsumerDefinition]) -> list[Difference]:
        """Return what is there and was declared otherwise than the settings and the application say."""
        different = []
        for one in self._declarations(queues, consumers):
            if self._is_there(one):
                try:
                    self._declare(one, passive=False)
                except ChannelClosedByBroker as error:
                    different.append(Difference(one.name, error.reply_text, cure_of_other(one)))
        return different

    def alarm(self) -> str | None:
        """Return why the broker takes no news, None when it does. Ask this last: an alarm stops our connection, too.

        A message that no queue takes is sent: it comes back, or the broker says why it does not.
        """
        said: list[str] = []
        # pika's blocking connection would pass it on only while nothing else is waited for
        self._connection._impl.add_on_connection_blocked_callback(  # noqa: SLF001
            lambda _connection, frame: said.append(str(frame.method.reason))
        )
        try:
            with self._translated():
                return self._refusal()
        except BrokerUnavailable as error:
            if isinstance(error.__cause__, ConnectionBlockedTimeout):
                return said[0] if said else "it is blocked"
            raise

    def _refusal(self) -> str | None:
        """Publish twice, and return the broker's words if it refuses that.

        An alarm stops a connection behind its first message, which may still be returned; where there is no exchange
        nobody has published or consumed yet.
        """
        # should somebody have bound a queue to everything, it is gone in a moment
        properties = pika.BasicProperties(expiration="1")
        for _ in range(2):
            channel = self._connection.channel()
            channel.confirm_delivery()
            try:
                channel.basic_publish(self._topology.work, "nobody.takes.this", b"", properties, mandatory=True)
            except UnroutableError:
                pass
            except ChannelClosedByBroker as error:
                if error.reply_code != NOT_FOUND:
                    return str(error.reply_text)
        return None

    def _speak(self) -> None:
        self._logger.propagate = self._propagates
        self._logger.removeHandler(self._silence)

    # Parts --------------------------------------------------------------------------------------------

    def _declarations(self, queues: Iterable[str], consumers: Iterable[ConsumerDefinition]) -> list[Exchange | Queue]:
        """Return what can be looked at: bindings cannot."""
        named = (self._topology.of_queue(queue) for queue in queues if self._topology.can_carry(queue))
        foreign = (self._topology.of_consumer(one.name, one.exchange, one.type, one.routing_keys) for one in consumers)
        every = chain(self._topology.common(), *named, *foreign)
        return [one for one in every if not isinstance(one, Binding)]

    def _is_there(self, one: Exchange | Queue) -> bool:
        try:
            self._declare(one, passive=True)
        except ChannelClosedByBroker as error:
            if error.reply_code == NOT_FOUND:
                return False
            raise
        return True

    def _depth(self, name: str) -> Depth | None:
        try:
            answer = self._declare(Queue(name, {}), passive=True)
        except ChannelClosedByBroker as error:
            if error.reply_code == NOT_FOUND:
                return None
            raise
        return Depth(answer.method.message_count, answer.method.consumer_count)

    def _declare(self, one: Exchange | Queue, *, passive: bool) -> Any:
        with self._translated():
            channel = self._connection.channel()  # a refusal closes it
            try:
                if isinstance(one, Exchange):
                    return channel.exchange_declare(one.name, one.type, passive=passive, durable=True)
                return channel.queue_declare(one.name, passive=passive, durable=True, arguments=dict(one.arguments))
            finally:
                if channel.is_open:
                    channel.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except ChannelClosedByBroker as error:
            if error.reply_code in {NOT_FOUND, PRECONDITION_FAILED}:
                raise
            raise BrokerUnavailable(f"RabbitMQ at {self._place} refuses: {error.reply_text}") from error
        except (AMQPError, OSError) as error:
            reason = describe(error)
            text = reason.text.replace(self._password, "***") if self._password else reason.text
            raise BrokerUnavailable(f"RabbitMQ at {self._place} is away: {text}: {cure_of(reason.error)}") from error


def text_of(said: dict[str, Any], name: str) -> str:
    """Return what a server says of itself as text."""
    value = said.get(name, "?")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
