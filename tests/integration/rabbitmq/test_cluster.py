"""Quorum queues on three nodes: they do what others do, and most of the nodes may be away for a while."""

from collections.abc import Iterator

import pytest

from tests.harness import happens
from tests.news import all_are_here, arriving, connected, ids, is_sent, news, publish_singly, rabbit
from tests.rabbitmq_cluster import Cluster, rabbitmq_cluster
from tomqueue.store.sql import SqlStore
from tomqueue.transport.rabbitmq import RabbitTransport
from tomqueue.transport.rabbitmq.consumer import RabbitConsumer
from tomqueue.transport.rabbitmq.publisher import RabbitPublisher

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def three() -> Iterator[Cluster]:
    """Give a cluster whose nodes the tests kill."""
    with rabbitmq_cluster() as running:
        yield running


@pytest.fixture
def cluster(three: Cluster) -> Cluster:
    """Give that cluster, all of it running."""
    three.start()
    return three


@pytest.fixture
def transport(store: SqlStore, cluster: Cluster, prefix: str) -> RabbitTransport:
    """Give the transport over the cluster, on quorum queues."""
    return rabbit(store, cluster.url, prefix, queue_type="quorum")


def test_quorum_queues_do_what_others_do(publisher: RabbitPublisher, consumer: RabbitConsumer) -> None:
    """News arrives in order of urgency, within a priority in order of publishing, and what is put back comes again."""
    publish_singly(
        publisher, *(news(number, priority=priority) for number, priority in ((1, 3), (2, 1), (3, 1), (4, 0)))
    )
    all_are_here(consumer, 4)
    held = arriving(consumer, 4)
    assert ids(held) == [4, 2, 3, 1]
    assert consumer.requeue(held[0])
    for delivery in held[1:]:
        consumer.ack(delivery)
    assert ids(arriving(consumer, 1)) == [4]


def test_without_a_majority_publishing_waits(
    cluster: Cluster, publisher: RabbitPublisher, consumer: RabbitConsumer
) -> None:
    """It returns at once, nothing is lost, and the news arrives when there is a majority again."""
    publisher.publish([news(1)])
    (before,) = arriving(consumer, 1)
    consumer.ack(before)
    for node in cluster.nodes[1:]:
        node.kill()
    for number in range(2, 52):
        publisher.publish([news(number)])
    assert not is_sent(publisher)
    cluster.start()
    connected(consumer)
    found: set[int] = set()
    while not found >= set(range(2, 52)):  # pytest's time-out ends it
        found.update(ids(consumer.receive(100)))
        consumer.wait(0.05)
    assert happens(lambda: is_sent(publisher))
