"""News by RabbitMQ: the only importer of pika."""

from tomqueue.transport.rabbitmq.transport import RabbitTransport

__all__ = ["RabbitTransport"]
