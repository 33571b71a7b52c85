"""A publisher and a consumer on the shared RabbitMQ server, with a store on SQLite beside them."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import make_app
from tests.news import connected, rabbit, raw_channel
from tomqueue import TomQueue
from tomqueue.settings import Settings
from tomqueue.store.open import ready_store
from tomqueue.store.sql import SqlStore
from tomqueue.transport.rabbitmq import RabbitTransport
from tomqueue.transport.rabbitmq.connection import THREADS
from tomqueue.transport.rabbitmq.consumer import RabbitConsumer
from tomqueue.transport.rabbitmq.publisher import RabbitPublisher
from tomqueue.transport.topology import Topology

CONSUMERS = ("mine", "other", "third")
"""Names of consumers in tests."""


@pytest.fixture(autouse=True)
def nobody_stays() -> Iterator[None]:
    """See that a test leaves no connection open that would disturb the next one."""
    before = set(threading.enumerate())
    yield
    left = [one for one in threading.enumerate() if one.name.startswith(THREADS) and one not in before]
    assert not left, f"the test left connections open: {left}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """Give the rows."""
    opened = ready_store(Settings(database_url=f"sqlite:///{tmp_path / 'jobs.db'}"))
    yield opened
    opened.close()


@pytest.fixture
def transport(store: SqlStore, rabbitmq_url: str, rabbitmq_prefix: str) -> RabbitTransport:
    """Give the transport over the shared server."""
    return rabbit(store, rabbitmq_url, rabbitmq_prefix)


@pytest.fixture
def publisher(transport: RabbitTransport) -> Iterator[RabbitPublisher]:
    """Give the enqueueing side."""
    made = transport.publisher()
    yield made
    made.close()


@pytest.fixture
def consumer(transport: RabbitTransport) -> Iterator[RabbitConsumer]:
    """Give the working side, connected."""
    made = transport.consumer(lambda: ["default", "mailers"])
    connected(made)
    yield made
    made.close()


@pytest.fixture
def only_by_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a worker that is served by the broker from asking the database itself."""
    monkeypatch.setattr("tomqueue.worker.lost_news.LOOK_EVERY", 3600.0)
    monkeypatch.setattr("tomqueue.worker.lost_news.IDLE_LOOK_EVERY", 3600.0)
    monkeypatch.setattr("tomqueue.worker.looks.SELDOM_DUE", 3600.0)


@pytest.fixture
def exchange(rabbitmq_url: str, rabbitmq_prefix: str) -> Iterator[str]:
    """Give the name of an exchange, this test's own; it and the queues of consumers are deleted afterwards."""
    name = f"{rabbitmq_prefix}.orders"
    yield name
    with raw_channel(rabbitmq_url) as channel:
        channel.exchange_delete(name)
        for consumer in CONSUMERS:
            channel.queue_delete(Topology(rabbitmq_prefix).consumer_queue(consumer))


@pytest.fixture
def tq(tmp_path: Path, rabbitmq_url: str, rabbitmq_prefix: str) -> Iterator[TomQueue]:
    """Give an application with a broker."""
    app = make_app(tmp_path / "app.db", broker_url=rabbitmq_url, prefix=rabbitmq_prefix)
    yield app
    app.close()
