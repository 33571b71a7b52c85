"""The sending side of producers: waits for the broker where the caller wants to know, and survives a fork."""

import atexit
import os
import threading

from tomqueue.errors import PublishError
from tomqueue.message import Outgoing
from tomqueue.reporting import Reporting
from tomqueue.settings import Settings
from tomqueue.transport.rabbitmq.address import parameters_of
from tomqueue.transport.rabbitmq.connection import Link
from tomqueue.transport.rabbitmq.dispatch import Dispatch, Item
from tomqueue.transport.rabbitmq.foreign import properties_of

__all__ = ["RabbitMessagePublisher"]


class Connected:
    """The connection of one process for its producers, and the thread that it lives in."""

    def __init__(self, settings: Settings, reporting: Reporting) -> None:
        self._flush_seconds = settings.flush_seconds
        self._dispatch = Dispatch(settings.publish_buffer, reporting)
        self._link = self._dispatch.link = Link(settings, "producer", self._dispatch, reporting)
        self._starting = threading.Lock()
        self._started = False

    def put(self, item: Item) -> None:
        """Have a message sent."""
        with self._starting:
            if not self._started:
                self._link.start()
                self._started = True
        self._link.post(lambda: self._dispatch.put(item))

    def close(self) -> None:
        """Wait a while for what is not sent yet, unless the broker is away, and end."""
        if self._started:
            self._link.post(self._dispatch.finish)
            self._dispatch.finished.wait(self._flush_seconds)
            self._link.post(lambda: self._dispatch.give_up("the process ended before RabbitMQ had it"))
            self._link.stop()


class RabbitMessagePublisher:
    """A MessagePublisher. A process that was forked makes a connection of its own and leaves its parent's alone."""

    def __init__(self, settings: Settings, reporting: Reporting) -> None:
        parameters_of(settings, "check")
        self._settings = settings
        self._reporting = reporting
        self._connected: dict[int, Connected] = {}
        self._closed = False
        atexit.register(self.close)

    def check(self, message: Outgoing) -> None:
        """Raise PublishError for what AMQP cannot carry."""
        properties_of(message)

    def send(self, message: Outgoing) -> None:
        """Send it and wait for the broker's confirm, at most ``broker_timeout``."""
        done = threading.Event()
        answers: list[str | None] = []

        def answered(why: str | None) -> None:
            answers.append(why)
            done.set()

        self._mine().put(Item(message, properties_of(message), answered, is_waited_for=True))
        if not done.wait(self._settings.broker_timeout):
            seconds = self._settings.broker_timeout
            raise not_sent(message, f"RabbitMQ did not confirm it within {seconds:g} s: it may or may not be there")
        if answers[0] is not None:
            raise not_sent(message, answers[0])

    def post(self, message: Outgoing) -> None:
        """Have it sent; report what goes wrong."""

        def answered(why: str | None) -> None:
            if why is not None:
                self._reporting.report(not_sent(message, why))

        try:
            self._mine().put(Item(message, properties_of(message), answered, is_waited_for=False))
        except Exception as error:  # noqa: BLE001 - the caller has committed: nothing may reach it
            self._reporting.report(error)

    def close(self) -> None:
        """Send what is still to be sent, for at most ``flush_seconds``, and end."""
        self._closed = True
        atexit.unregister(self.close)
        connected = self._connected.get(os.getpid())
        if connected is not None:
            connected.close()

    def _mine(self) -> Connected:
        if self._closed:
            raise PublishError("the application is closed: nothing more is sent")
        connected = self._connected.get(os.getpid())
        if connected is None:  # setdefault is atomic: of two threads that come here, one wins
            connected = self._connected.setdefault(os.getpid(), Connected(self._settings, self._reporting))
        return connected


def not_sent(message: Outgoing, why: str) -> PublishError:
    """Return the error about a message; it names no content."""
    return PublishError(f"message {message.message_id} for exchange {message.exchange!r} is not sent: {why}")
