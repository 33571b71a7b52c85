"""Where the broker is and how to connect to it: the setting ``broker_url``."""

import os
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pika

from tomqueue.errors import SettingsError
from tomqueue.settings import Settings, broker_urls

__all__ = ["Reason", "describe", "parameters_of", "place_of"]

NUMBERS: Mapping[str, Callable[[str], float]] = {
    "heartbeat": int,
    "connection_attempts": int,
    "retry_delay": float,
    "socket_timeout": float,
    "stack_timeout": float,
    "blocked_connection_timeout": float,
    "channel_max": int,
    "frame_max": int,
}
FILES = ("cacertfile", "certfile", "keyfile")
"""RabbitMQ's own names for them in a URL."""


def parameters_of(settings: Settings, side: str, address: str | None = None) -> pika.ConnectionParameters:
    """Return how to connect to ``address``, or to the first node of ``broker_url``; ``side`` is shown by the broker.

    Raises SettingsError, which shows no password.
    """
    url = urlsplit(address or broker_urls(settings.broker_url)[0])
    given = dict(parse_qsl(url.query, keep_blank_values=True))
    secure = url.scheme == "amqps"
    return pika.ConnectionParameters(
        host=url.hostname or "localhost",
        port=url.port or (5671 if secure else 5672),
        virtual_host=unquote(url.path[1:]) or "/",
        credentials=pika.PlainCredentials(unquote(url.username or "guest"), unquote(url.password or "guest")),
        ssl_options=tls_options(given, url.hostname or "localhost") if secure else None,
        client_properties={
            "connection_name": f"{settings.prefix} {side} {socket.gethostname()}:{os.getpid()}",
            "product": "TomQueue",
        },
        tcp_options=tcp_options(settings),
        **{**defaults(settings), **numbers(given)},
    )


def place_of(settings: Settings) -> str:
    """Return the address as it may be shown: without user, password and files."""
    urls = [urlsplit(url) for url in broker_urls(settings.broker_url)]
    port = 5671 if urls[0].scheme == "amqps" else 5672
    return ",".join(f"{url.hostname or 'localhost'}:{url.port or port}" for url in urls) + urls[0].path


def defaults(settings: Settings) -> dict[str, float]:
    """Return the times and counts that the URL may override."""
    return {
        "heartbeat": round(settings.broker_heartbeat),
        "connection_attempts": 1,
        "socket_timeout": settings.broker_connect_timeout,
        "stack_timeout": settings.broker_connect_timeout + settings.broker_timeout,
        "blocked_connection_timeout": settings.broker_timeout,
    }


def tcp_options(settings: Settings) -> dict[str, int]:
    """Have the kernel end a connection whose peer takes no bytes for ``broker_timeout``."""
    return {"TCP_USER_TIMEOUT": int(settings.broker_timeout * 1000)} if hasattr(socket, "TCP_USER_TIMEOUT") else {}


def numbers(given: Mapping[str, str]) -> dict[str, float]:
    """Return the numbers in the URL's query."""
    if unknown := set(given) - set(NUMBERS) - set(FILES):
        known = ", ".join([*NUMBERS, *FILES])
        raise SettingsError(f"broker_url has the parameter {min(unknown)!r}: use {known}")
    found = {}
    for name in given.keys() & NUMBERS.keys():
        try:
            found[name] = NUMBERS[name](given[name])
        except ValueError:
            raise SettingsError(f"broker_url has {name}={given[name]!r}: give a number") from None
    return found


def tls_options(given: Mapping[str, str], host: str) -> pika.SSLOptions:
    """Return TLS that always verifies the broker's certificate and name."""
    try:
        context: ssl.SSLContext = ssl.create_default_context(cafile=given.get("cacertfile"))
        if "certfile" in given:
            context.load_cert_chain(given["certfile"], given.get("keyfile"))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"broker_url names a file of {', '.join(FILES)} that cannot be used: {error}") from error
    return pika.SSLOptions(context, host)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a connection ended, without pika's wrappings."""

    error: object
    text: str


def describe(reason: object) -> Reason:
    """Return the reason in one line. pika wraps its reasons in each other."""
    error = reason
    while (inner := within(error)) is not None:
        error = inner
    text = str(error) or type(error).__name__
    if isinstance(error, Exception) and type(error).__name__ not in text:
        text = f"{type(error).__name__}: {text}"
    return Reason(error, " ".join(text.split()))


def within(error: Any) -> BaseException | None:
    """Return the error that pika hides in one of its own: an attribute, the last of many, or an argument."""
    inner = getattr(error, "exceptions", None) or getattr(error, "exception", None) or getattr(error, "args", None)
    inner = inner[-1] if isinstance(inner, list | tuple) else inner
    return inner if isinstance(inner, BaseException) else None
