"""What to do when the broker cannot be asked, or has something that was declared otherwise."""

import socket
import ssl

from pika.exceptions import (
    AuthenticationError,
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from tomqueue.transport.topology import Declaration, Exchange, Queue

__all__ = ["cure_of", "cure_of_other"]

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


def cure_of_other(one: Declaration) -> str:
    """Return what to do about something that exists and was declared otherwise."""
    match one:
        case Exchange(is_foreign=True, type=kind):
            return f"declare the consumer or producer with the type that it has (durable, and not {kind!r})"
        case Queue(is_foreign=True):
            return "correct queue_type; its messages are nowhere else, so empty it before you delete it at the broker"
        case _:
            return (
                "correct queue_type or prefix, or stop what uses it, delete it at the broker, start again and run "
                "`tomqueue republish`: the jobs are in the database"
            )
