"""The limit of RabbitMQ by pika: publish with confirms, consume and acknowledge 256 at a time; no job system."""

import os

import pika
from pika.adapters.select_connection import SelectConnection
from verbs import Program, count_done

QUEUE, BATCH = "limit", 256
PERSISTENT = pika.BasicProperties(delivery_mode=2)
PARAMETERS = pika.URLParameters(os.environ["BROKER_URL"])


class Publisher:
    """Publishes and waits for the confirm of each; opened when first used, so that workers need none."""

    def start(self):
        self.connection = pika.BlockingConnection(PARAMETERS)
        self.channel = self.connection.channel()
        self.channel.queue_declare(QUEUE, durable=True)
        self.channel.confirm_delivery()

    def publish(self, number):
        self.channel.basic_publish("", QUEUE, b'{"job_id": %d}' % number, PERSISTENT, mandatory=True)


class Pipeline:
    """Publishes all of them and waits for the confirm of the last."""

    def __init__(self, numbers):
        self.numbers, self.confirmed = numbers, 0

    def run(self):
        self.connection = SelectConnection(PARAMETERS, on_open_callback=self.opened)
        self.connection.ioloop.start()

    def opened(self, connection):
        connection.channel(on_open_callback=self.ready)

    def ready(self, channel):
        channel.confirm_delivery(self.acknowledged)
        for number in self.numbers:
            channel.basic_publish("", QUEUE, b'{"job_id": %d}' % number, PERSISTENT)

    def acknowledged(self, frame):
        self.confirmed = frame.method.delivery_tag if frame.method.multiple else self.confirmed + 1
        if self.confirmed >= len(self.numbers):
            self.connection.ioloop.stop()


def work():
    """Consume; acknowledge every 256th message for all before it, and what is left when none comes for a moment."""
    connection = pika.BlockingConnection(PARAMETERS)
    channel = connection.channel()
    channel.queue_declare(QUEUE, durable=True)
    channel.basic_qos(prefetch_count=2 * BATCH)
    unacked = 0
    for method, _properties, _body in channel.consume(QUEUE, inactivity_timeout=0.05):
        if method is not None:
            count_done()
            unacked, last = unacked + 1, method.delivery_tag
        if unacked >= BATCH or (method is None and unacked):
            channel.basic_ack(last, multiple=True)
            unacked = 0


publisher = Publisher()
program = Program(
    enqueue=publisher.publish,
    enqueue_many=lambda numbers: Pipeline(numbers).run(),
    start=publisher.start,
)
