"""Messages of other programs, between AMQP's properties and ours."""

from datetime import UTC, datetime
from typing import Any

import pika

from tomqueue.errors import PublishError
from tomqueue.message import Message, Outgoing

__all__ = ["properties_of", "received"]


def received(method: Any, properties: pika.BasicProperties, body: bytes) -> Message:
    """Return what was delivered as a handler sees it."""
    return Message(
        body=body,
        headers=properties.headers or {},
        routing_key=text_of(method.routing_key),
        exchange=text_of(method.exchange),
        message_id=properties.message_id and text_of(properties.message_id),
        content_type=properties.content_type and text_of(properties.content_type),
        timestamp=time_of(properties.timestamp),
        redelivered=method.redelivered,
    )


def text_of(text: str | bytes) -> str:
    """Return a short string; pika leaves one that is no UTF-8 as it is."""
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def time_of(seconds: object) -> datetime | None:
    """Return AMQP's timestamp as a time; None for none, and for one that no calendar has."""
    try:
        return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int) else None
    except (ValueError, OverflowError, OSError):
        return None


def properties_of(message: Outgoing) -> pika.BasicProperties:
    """Return what stands beside the body; raise PublishError for what AMQP cannot carry."""
    properties = pika.BasicProperties(
        content_type=message.content_type,
        delivery_mode=2,  # persistent
        timestamp=int(datetime.now(UTC).timestamp()),
        message_id=message.message_id,
        headers=dict(message.headers) or None,
    )
    try:
        pika.spec.Basic.Publish(exchange=message.exchange, routing_key=message.routing_key).encode()
        properties.encode()
    except Exception as error:  # pika checks some, struct the rest, each with errors of its own
        raise PublishError(
            f"AMQP cannot carry the headers, routing_key or message_id of a message for {message.exchange!r}: {error!r}"
        ) from error
    return properties
