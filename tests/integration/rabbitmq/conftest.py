"""A publisher and a consumer on the shared RabbitMQ server, with a store on SQLite beside them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.news import connected, rabbit
from tomqueue.settings import Settings
from tomqueue.store.open import ready_store
from tomqueue.store.sql import SqlStore
from tomqueue.transport.rabbitmq import RabbitTransport
from tomqueue.transport.rabbitmq.consumer import RabbitConsumer
from tomqueue.transport.rabbitmq.publisher import RabbitPublisher


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
    monkeypatch.setattr("tomqueue.worker.intake.BEHIND_EVERY", 3600.0)
