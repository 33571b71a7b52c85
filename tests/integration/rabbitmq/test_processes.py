"""Publishing from processes that fork, and from processes that end."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.news import arriving, connected, ids
from tomqueue.transport.base import Delivery
from tomqueue.transport.rabbitmq import RabbitTransport
from tomqueue.transport.rabbitmq.consumer import RabbitConsumer

BEGIN = """
import logging, os, sys
from datetime import UTC, datetime
from tomqueue.reporting import Reporting
from tomqueue.settings import Settings
from tomqueue.store.open import ready_store
from tomqueue.transport.base import Notification
from tomqueue.transport.rabbitmq import RabbitTransport

url, prefix, path = sys.argv[1:]
store = ready_store(Settings(database_url=f"sqlite:///{path}"))
settings = Settings(broker_url=url, prefix=prefix)
publisher = RabbitTransport(store, settings, Reporting(logging.getLogger("tomqueue"))).publisher()

def publish(*numbers):
    stamp = datetime(2090, 1, 1, tzinfo=UTC)
    for number in numbers:
        publisher.publish([Notification(number, "default", 1, stamp)])
"""
FORK = """
publish(1)
children = []
for number in (2, 3):
    child = os.fork()
    if child == 0:
        publish(number)  # as a request does in a worker of a pre-forking server
        sys.exit(0)
    children.append(child)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
publish(4)
"""


@pytest.fixture
def served(transport: RabbitTransport) -> RabbitConsumer:
    """Give the queue before anyone publishes."""
    consumer = transport.consumer(lambda: ["default"])
    connected(consumer)
    return consumer


def run(script: str, url: str, prefix: str, tmp_path: Path) -> None:
    """Run a program to its end, which comes by itself."""
    command = [sys.executable, "-c", BEGIN + script, url, prefix, str(tmp_path / "program.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_forked_processes_publish_beside_their_parent(
    served: RabbitConsumer, rabbitmq_url: str, rabbitmq_prefix: str, tmp_path: Path
) -> None:
    """Gunicorn's way: the parent has published already; each child gets a connection of its own, none is disturbed."""
    run(FORK, rabbitmq_url, rabbitmq_prefix, tmp_path)
    assert sorted(ids(arriving(served, 4))) == [1, 2, 3, 4]
    assert served.receive(1) == []
    served.close()


def test_what_is_buffered_is_sent_before_a_process_ends(
    served: RabbitConsumer, rabbitmq_url: str, rabbitmq_prefix: str, tmp_path: Path
) -> None:
    """A script that enqueues and ends at once, without saying goodbye."""
    run("publish(*range(1, 501))", rabbitmq_url, rabbitmq_prefix, tmp_path)
    received: list[Delivery] = []
    while len(received) < 500:
        received += arriving(served, 50)
        for delivery in received[-50:]:
            served.ack(delivery)
    assert sorted(ids(received)) == list(range(1, 501))
    served.close()


def test_a_process_ends_although_the_broker_is_away(tmp_path: Path) -> None:
    """Nobody waits for what cannot be sent: the database has it."""
    run("publish(1)", "amqp://127.0.0.1:1", "test", tmp_path)
