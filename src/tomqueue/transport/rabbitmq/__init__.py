"""News by RabbitMQ: the only importer of pika."""

from tomqueue.transport.rabbitmq.inspection import Depth, Inspection, Node
from tomqueue.transport.rabbitmq.message_publisher import RabbitMessagePublisher
from tomqueue.transport.rabbitmq.transport import RabbitTransport

__all__ = ["Depth", "Inspection", "Node", "RabbitMessagePublisher", "RabbitTransport"]
