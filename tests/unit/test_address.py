"""The setting ``broker_url``, and what it may say."""

from typing import Any

import pytest
from pika.exceptions import AMQPConnectionError

from tomqueue.errors import SettingsError
from tomqueue.settings import broker_urls, read_settings
from tomqueue.transport.rabbitmq.address import describe, parameters_of, place_of


def parameters(url: str, **settings: Any) -> Any:
    """Return how pika is told to connect."""
    return parameters_of(read_settings({}, broker_url=url, **settings), "publisher")


def test_a_url_says_it_all() -> None:
    """With everything escaped that must be."""
    found = parameters("amqp://me:p%40ss@broker.example:5673/shop%2Feu?heartbeat=7&connection_attempts=3")
    assert (found.host, found.port, found.virtual_host) == ("broker.example", 5673, "shop/eu")
    assert (found.credentials.username, found.credentials.password) == ("me", "p@ss")
    assert (found.heartbeat, found.connection_attempts, found.ssl_options) == (7, 3, None)


@pytest.mark.parametrize(("url", "port"), [("amqp://localhost", 5672), ("amqps://localhost/", 5671)])
def test_the_rest_is_usual(url: str, port: int) -> None:
    """Ports, the guest, the virtual host ``/``, and times from the settings."""
    found = parameters(url, broker_heartbeat=20, broker_connect_timeout=2, broker_timeout=3)
    assert (found.port, found.virtual_host, found.credentials.username) == (port, "/", "guest")
    assert (found.heartbeat, found.socket_timeout, found.stack_timeout) == (20, 2, 5)
    assert found.blocked_connection_timeout == 3
    assert found.client_properties["connection_name"].startswith("tomqueue publisher ")


def test_a_url_may_name_the_nodes_of_a_cluster() -> None:
    """Each with its port or the usual one, and all with the same account, virtual host and parameters."""
    url = "amqps://me:a%2Cb@one:5673,two,[::1]:5674/shop?heartbeat=7"
    settings = read_settings({}, broker_url=url)
    found = [parameters_of(settings, "publisher", address) for address in broker_urls(url)]
    assert [(one.host, one.port) for one in found] == [("one", 5673), ("two", 5671), ("::1", 5674)]
    assert {(one.credentials.password, one.virtual_host, one.heartbeat) for one in found} == {("a,b", "shop", 7)}
    assert place_of(settings) == "one:5673,two:5671,::1:5674/shop"


def test_tls_verifies_certificate_and_name() -> None:
    """There is no way to turn it off."""
    options = parameters("amqps://broker.example/").ssl_options
    assert options.server_hostname == "broker.example"
    assert options.context.check_hostname
    assert options.context.verify_mode.name == "CERT_REQUIRED"


@pytest.mark.parametrize(
    ("query", "text"),
    [("verify=none", "verify"), ("heartbeat=often", "heartbeat"), ("sockettimeout=1", "sockettimeout")],
)
def test_what_cannot_be_is_named(query: str, text: str) -> None:
    """With what can be, and without the password."""
    with pytest.raises(SettingsError, match=text) as caught:
        parameters(f"amqp://me:secret@localhost/?{query}")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["http://me:secret@h/", "me:secret@h", "amqp://me:secret@h:port/", "amqp://me:sec[ret@h", "amqp://me:secret@a,,b/"],
)
def test_a_url_that_is_none_is_told_without_its_password(url: str) -> None:
    """It may be somebody's real one with a slip."""
    with pytest.raises(SettingsError, match="broker_url must look like") as caught:
        read_settings({}, broker_url=url)
    assert "sec" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    "settings", [{"prefix": "a b"}, {"prefix": "amq.x"}, {"queue_type": "stream"}, {"prefetch": 0}, {"prefetch": 2001}]
)
def test_a_setting_of_the_broker_that_cannot_be_is_named(settings: dict[str, Any]) -> None:
    """Before anything is started."""
    with pytest.raises(SettingsError, match=next(iter(settings))):
        read_settings({}, **settings)


def test_the_place_has_no_password() -> None:
    """It stands in the log."""
    assert place_of(read_settings({}, broker_url="amqp://me:secret@h/shop?heartbeat=1")) == "h:5672/shop"


def test_wrapped_errors_are_unwrapped() -> None:
    """Pika wraps its reasons in each other; the innermost says it."""

    class Wrapping(Exception):
        exceptions = (ValueError("the reason"),)

    for wrapped in (Wrapping(), AMQPConnectionError(Wrapping())):
        found = describe(wrapped)
        assert isinstance(found.error, ValueError)
        assert found.text == "ValueError: the reason"
    assert describe("just a text").text == "just a text"
