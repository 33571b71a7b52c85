"""Sending messages to an exchange of another program: ``tq.producer(exchange="orders", type="topic")``."""

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from tomqueue.enqueue.enqueuing import Enqueuing, one_caller
from tomqueue.errors import ArgumentsError
from tomqueue.message import Outgoing

__all__ = ["Producer"]


class Producer:
    """Publishes messages to one exchange, which is declared durable by whoever comes first."""

    def __init__(self, exchange: str, kind: str, enqueuing: Enqueuing) -> None:
        self.exchange = exchange
        self.type = kind
        self._enqueuing = enqueuing

    def __repr__(self) -> str:
        return f"<producer for {self.exchange}>"

    def publish(
        self,
        body: Any,
        *,
        routing_key: str = "",
        headers: Mapping[str, Any] | None = None,
        message_id: str | None = None,
        content_type: str | None = None,
        mandatory: bool = False,
        session: Any = None,
        connection: Any = None,
    ) -> None:
        """Publish ``body``: bytes as they are, anything else as JSON. It is persistent.

        Returns when the broker has it; raises PublishError when it does not say so within ``broker_timeout``, or
        no queue gets it and it is ``mandatory``. With ``session`` or ``connection``, and in an atomic job, it is
        sent after the outermost commit of that transaction, in the background: what goes wrong then is reported.
        Raises ArgumentsError for a body that cannot be JSON.
        """
        message = self._message(body, routing_key, headers, message_id, content_type, mandatory=mandatory)
        self._enqueuing.publish(message, one_caller(session, connection))

    async def apublish(
        self,
        body: Any,
        *,
        routing_key: str = "",
        headers: Mapping[str, Any] | None = None,
        message_id: str | None = None,
        content_type: str | None = None,
        mandatory: bool = False,
        session: Any = None,
        connection: Any = None,
    ) -> None:
        """Publish from asynchronous code, with an AsyncSession or AsyncConnection if any."""
        message = self._message(body, routing_key, headers, message_id, content_type, mandatory=mandatory)
        await self._enqueuing.apublish(message, one_caller(session, connection))

    def _message(
        self,
        body: Any,
        routing_key: str,
        headers: Mapping[str, Any] | None,
        message_id: str | None,
        content_type: str | None,
        *,
        mandatory: bool,
    ) -> Outgoing:
        raw = isinstance(body, bytes | bytearray | memoryview)
        return Outgoing(
            exchange=self.exchange,
            exchange_type=self.type,
            body=bytes(body) if raw else self._json(body),
            headers=headers or {},
            routing_key=routing_key,
            message_id=message_id or uuid.uuid4().hex,
            content_type=content_type or ("application/octet-stream" if raw else "application/json"),
            mandatory=mandatory,
        )

    def _json(self, body: Any) -> bytes:
        try:
            return msgspec.json.encode(body)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ArgumentsError(f"a message for {self.exchange!r} cannot be JSON: {error}") from error
