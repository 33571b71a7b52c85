"""Who is let in, and how both sides make sure of each other."""

import logging
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.harness import happens
from tests.news import PATIENCE, arriving, connected, ids, news, rabbit
from tests.rabbitmq_server import Broker, Certificates, Options, rabbitmq
from tests.servers import USER
from tomqueue.errors import SettingsError
from tomqueue.store.sql import SqlStore
from tomqueue.transport.rabbitmq.consumer import RabbitConsumer


def openssl(*arguments: object) -> None:
    """Run openssl."""
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_ca(folder: Path, name: str) -> Path:
    """Make a certificate authority of our own."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-days", 2,
        "-keyout", key, "-out", certificate,
    )  # fmt: skip
    return certificate


def make_certificates(folder: Path) -> Certificates:
    """Make a certificate for ``localhost``, signed by a private authority."""
    ca, key, request, certificate = make_ca(folder, "ca"), folder / "key", folder / "request", folder / "certificate"
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=node", "-keyout", key, "-out", request)
    extension = folder / "extension"
    extension.write_text("subjectAltName=DNS:localhost")
    openssl(
        "x509", "-req", "-in", request, "-CA", ca, "-CAkey", folder / "ca.key", "-CAcreateserial", "-days", 2,
        "-extfile", extension, "-out", certificate,
    )  # fmt: skip
    return Certificates(ca=ca, certificate=certificate, key=key)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Give the files of a node with TLS."""
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secure(certificates: Certificates, node: Broker) -> Iterator[Broker]:  # node: its absence is told in one way
    """Give a node with TLS."""
    with rabbitmq(Options(tls=certificates)) as running:
        yield running


def secure_url(secure: Broker, host: str, ca: Path | None) -> str:
    """Return the address over TLS."""
    query = f"?cacertfile={quote(str(ca), safe='')}" if ca else ""
    return f"amqps://{USER}:{secure.password}@{host}:{secure.tls_port}/%2F{query}"


def refused(consumer: RabbitConsumer, caplog: pytest.LogCaptureFixture) -> str:
    """Wait until a consumer has tried several times; return the only line about what a person must do.

    A node that has only just started may reset the first connection: that is another line, and no error.
    """
    assert happens(lambda: consumer._link._failures >= 4)
    assert consumer.asks_database
    consumer.close()
    (line,) = [one for one in caplog.records if "is away" in one.message and one.levelname == "ERROR"]
    return line.message


def test_tls_with_a_private_authority(store: SqlStore, secure: Broker, certificates: Certificates, prefix: str) -> None:
    """``amqps`` and ``cacertfile``: both sides work."""
    transport = rabbit(store, secure_url(secure, "localhost", certificates.ca), prefix)
    publisher, consumer = transport.publisher(), connected(transport.consumer(lambda: ["default"]))
    publisher.publish([news(1)])
    assert ids(arriving(consumer, 1)) == [1]
    consumer.close()
    publisher.close()


def test_tls_of_an_unknown_authority_is_refused(
    store: SqlStore, secure: Broker, prefix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither another private one nor the system's can vouch for it."""
    url = secure_url(secure, "localhost", make_ca(tmp_path, "other"))
    assert "certificate verify failed" in refused(rabbit(store, url, prefix).consumer(lambda: ["default"]), caplog)
    caplog.clear()
    url = secure_url(secure, "localhost", None)
    assert "certificate verify failed" in refused(rabbit(store, url, prefix).consumer(lambda: ["default"]), caplog)


def test_tls_of_another_host_is_refused(
    store: SqlStore, secure: Broker, certificates: Certificates, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The certificate is good, for another name."""
    url = secure_url(secure, "127.0.0.1", certificates.ca)
    message = refused(rabbit(store, url, prefix).consumer(lambda: ["default"]), caplog)
    assert "IP address mismatch" in message


def test_a_file_that_is_missing_is_told_at_once(store: SqlStore, prefix: str) -> None:
    """Nothing is started with half a configuration, and the password is not shown."""
    with pytest.raises(SettingsError, match="cacertfile") as caught:
        rabbit(store, "amqps://me:secret@localhost/?cacertfile=/nowhere", prefix)
    assert "secret" not in str(caught.value)


def test_a_virtual_host(store: SqlStore, broker: Broker, prefix: str) -> None:
    """Named in the URL, with its slash escaped."""
    transport = rabbit(store, broker.add_vhost(f"{prefix}/shop"), prefix)
    publisher, consumer = transport.publisher(), connected(transport.consumer(lambda: ["default"]))
    publisher.publish([news(1)])
    assert ids(arriving(consumer, 1)) == [1]
    assert f"{prefix}.default.normal" in broker.ctl("list_queues", "--vhost", f"{prefix}/shop", "name")
    consumer.close()
    publisher.close()


def test_a_wrong_password_is_one_clear_error(
    store: SqlStore, broker: Broker, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried again in growing pauses, for somebody may correct the broker; no password is shown."""
    url = broker.url.replace(broker.password, "wrong-password")
    message = refused(rabbit(store, url, prefix).consumer(lambda: ["default"]), caplog)
    assert "ACCESS_REFUSED" in message
    assert "wrong-password" not in caplog.text


def test_what_a_person_must_mend_is_told_although_the_broker_was_away_before(
    store: SqlStore, broker: Broker, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong password shows only when the broker is there: a line of its own."""
    broker.stop()
    consumer = rabbit(store, broker.url.replace(broker.password, "wrong-password"), prefix).consumer(
        lambda: ["default"]
    )
    assert happens(lambda: "is away" in caplog.text)
    assert "ACCESS_REFUSED" not in caplog.text
    broker.start()
    assert happens(lambda: "ACCESS_REFUSED" in caplog.text)
    consumer.close()
    assert [one.levelname for one in caplog.records if "is away" in one.message] == ["WARNING", "ERROR"]


def test_a_user_who_may_not_declare_uses_what_is_there(
    store: SqlStore, broker: Broker, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Many companies declare by hand: the error says so, and news flows."""
    made = connected(rabbit(store, broker.url, prefix).consumer(lambda: ["default"]))
    made.close()
    user = f"user-{prefix}"
    broker.ctl("add_user", user, "password")
    broker.ctl("set_permissions", user, "^$", ".*", ".*")
    transport = rabbit(store, broker.url.replace(f"{USER}:{broker.password}", f"{user}:password"), prefix)
    publisher, consumer = transport.publisher(), connected(transport.consumer(lambda: ["default"]))
    publisher.publish([news(1)])
    assert ids(arriving(consumer, 1)) == [1]
    assert "the right to configure it" in caplog.text
    consumer.close()
    publisher.close()


def test_the_rights_of_the_production_page_are_enough(
    store: SqlStore, broker: Broker, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A user of its own who may do everything with names that start with the prefix, and nothing else."""
    user, names = f"user-{prefix}", rf"^{prefix}\."
    broker.ctl("add_user", user, "password")
    broker.ctl("set_permissions", user, names, names, names)
    transport = rabbit(store, broker.url.replace(f"{USER}:{broker.password}", f"{user}:password"), prefix)
    publisher, consumer = transport.publisher(), connected(transport.consumer(lambda: ["default"]))
    publisher.publish([news(1)])
    assert ids(arriving(consumer, 1)) == [1]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    consumer.close()
    publisher.close()


def test_an_end_while_it_connects_leaves_nothing_open(store: SqlStore) -> None:
    """Somebody accepts the connection and says nothing: whoever gives up waiting closes it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE)
        port = silent.getsockname()[1]
        consumer = rabbit(store, f"amqp://127.0.0.1:{port}", "test").consumer(lambda: ["default"])
        peer, _ = silent.accept()
        with peer:
            peer.settimeout(PATIENCE)
            assert peer.recv(8) == b"AMQP\x00\x00\x09\x01"
            consumer.close()
            assert peer.recv(8) == b""
