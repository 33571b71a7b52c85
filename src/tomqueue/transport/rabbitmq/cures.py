"""What to do when the broker cannot be asked."""

import socket
import ssl

from pika.exceptions import (
    AuthenticationError,
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

__all__ = ["cure_of"]

ACCESS_REFUSED = 403
LOGIN = "check the user and password in broker_url"
CURES: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((ProbableAuthenticationError, AuthenticationError), LOGIN),
    ((ProbableAccessDeniedError,), "check the virtual host in broker_url, and the user's permissions in it"),
    ((ssl.SSLError,), "check amqps://, the port, and cacertfile, certfile and keyfile in broker_url"),
    ((socket.gaierror,), "check the host name in broker_url"),
    ((ConnectionRefusedError,), "check that RabbitMQ runs there, and host and port in broker_url"),
    ((TimeoutError,), "check the network and firewalls, and host and port in broker_url"),
    ((ChannelClosedByBroker,), "give the user of broker_url the permissions that it lacks"),
)


def cure_of(error: object) -> str:
    """Return what to do about an error of a connection."""
    if isinstance(error, ConnectionClosedByBroker):
        return LOGIN if error.reply_code == ACCESS_REFUSED else "check the virtual host in broker_url, and its limits"
    fits = (cure for kinds, cure in CURES if isinstance(error, kinds))
    return next(fits, "check broker_url, and RabbitMQ's log")
