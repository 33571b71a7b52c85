"""What tests of the news share: notifications, transports over RabbitMQ, and waiting for deliveries."""

import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pika

from tomqueue.reporting import Reporting
from tomqueue.settings import Settings
from tomqueue.store.sql import SqlStore
from tomqueue.transport.base import Consumer, Delivery, Notification, Publisher
from tomqueue.transport.rabbitmq import RabbitTransport
from tomqueue.transport.rabbitmq.consumer import RabbitConsumer
from tomqueue.transport.rabbitmq.sender import Sender
from tomqueue.worker.worker import Worker

STAMP = datetime(2090, 1, 1, tzinfo=UTC)
"""In the future, so that it is never stale."""
PATIENCE = 20.0


def news(job_id: int, queue: str = "default", priority: int = 1, stamp: datetime = STAMP) -> Notification:
    """Return news of a job."""
    return Notification(job_id, queue, priority, stamp)


def ids(deliveries: Sequence[Delivery]) -> list[int]:
    """Return what deliveries tell of."""
    return [delivery.notification.job_id for delivery in deliveries]


def publish_singly(publisher: Publisher, *notifications: Notification) -> None:
    """Publish a message for each: what is published in one go may become one message."""
    for notification in notifications:
        publisher.publish([notification])
        assert not publisher.flush(PATIENCE)


def arriving(consumer: Consumer, count: int) -> list[Delivery]:
    """Receive ``count`` deliveries, as they arrive."""
    received: list[Delivery] = []
    until = time.monotonic() + PATIENCE
    while len(received) < count and time.monotonic() < until:
        received += consumer.receive(count - len(received))
        if len(received) < count:
            consumer.wait(0.1)
    return received


def all_are_here(consumer: Consumer, count: int) -> None:
    """Wait until ``count`` deliveries have come from a broker, without receiving them."""
    until = time.monotonic() + PATIENCE
    if not isinstance(consumer, RabbitConsumer):
        return
    hand = consumer._hand
    while hand.gathering or hand._shelves.count < count:
        assert time.monotonic() < until
        time.sleep(0.005)


def connected(consumer: Consumer) -> Consumer:
    """Return a broker's consumer when it is served."""
    until = time.monotonic() + PATIENCE
    while consumer.asks_database:
        assert time.monotonic() < until, "the broker does not serve us"
        consumer.wait(0.1)
    return consumer


def rabbit(store: SqlStore, url: str, prefix: str, **settings: Any) -> RabbitTransport:
    """Return the transport over a broker."""
    chosen = Settings(broker_url=url, prefix=prefix, **settings)
    return RabbitTransport(store, chosen, Reporting(logging.getLogger("tomqueue")))


def sender_of(publisher: Any) -> Sender:
    """Return the sender of this process, which has published something."""
    (sender,) = publisher._senders.values()
    assert isinstance(sender, Sender)
    return sender


def is_served(worker: Worker) -> bool:
    """Say whether a worker gets its news from the broker."""
    return not worker._consumer.asks_database


def is_sent(publisher: Any) -> bool:
    """Say whether everything published is with the broker."""
    return not sender_of(publisher)._publication.unconfirmed


@contextmanager
def raw_channel(url: str) -> Iterator[Any]:
    """Give a channel of pika's own, with confirms, to do what others may do to a broker."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


def put_raw(url: str, queue: str, body: bytes | object, headers: dict[str, Any] | None = None) -> None:
    """Put any message straight into a queue of the broker."""
    if headers is None:
        headers = {"stamp": STAMP.isoformat(), "priority": "normal"}
    with raw_channel(url) as channel:
        properties = pika.BasicProperties(headers=headers)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        channel.basic_publish("", queue, data, properties, mandatory=True)


def waiting_in(url: str, queue: str) -> int:
    """Return how many messages are ready in a queue of the broker."""
    with raw_channel(url) as channel:
        count = channel.queue_declare(queue, passive=True).method.message_count
        assert isinstance(count, int)
        return count


def ids_in(body: bytes) -> list[int]:
    """Return the jobs that the body of one of our own messages tells of."""
    said = json.loads(body)
    return [job for job, *_ in said["jobs"]] if "jobs" in said else [said["job_id"]]


def told_in(url: str, queue: str) -> set[int]:
    """Return the jobs that the messages in a queue of the broker tell of; they stay there."""
    told: set[int] = set()
    with raw_channel(url) as channel:
        while (body := channel.basic_get(queue)[2]) is not None:
            told.update(ids_in(body))
    return told
