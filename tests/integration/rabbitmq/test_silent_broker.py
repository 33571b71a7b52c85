"""A network that swallows packets: nothing breaks and nothing comes. Without heartbeats, so that only we can notice."""

import contextlib
import gc
import socket
from collections.abc import Iterator

import pytest

from tests.faults.proxy import Flow, Proxy
from tests.harness import happens
from tests.integration.rabbitmq.test_publisher import stamp_of, stamped
from tests.news import arriving, connected, ids, is_sent, news, rabbit, sender_of
from tests.rabbitmq_server import Broker
from tomqueue.store.sql import SqlStore
from tomqueue.transport.rabbitmq import RabbitTransport, publication
from tomqueue.transport.rabbitmq.consumer import RabbitConsumer
from tomqueue.transport.rabbitmq.publisher import RabbitPublisher
from tomqueue.transport.rabbitmq.pulse import LATE
from tomqueue.transport.rabbitmq.subscription import Subscription


@pytest.fixture
def wire(broker: Broker) -> Iterator[Proxy]:
    """Give a wire to the broker."""
    with Proxy(broker.port) as made:
        yield made


@pytest.fixture
def transport(store: SqlStore, broker: Broker, wire: Proxy, prefix: str) -> RabbitTransport:
    """Give the transport over the wire, without heartbeats."""
    return rabbit(store, f"{broker.url_through(wire.port)}?heartbeat=0", prefix, broker_timeout=4.0)


def sockets_to(port: int) -> list[socket.socket]:
    """Return this process's open connections to a port."""
    open_ones = [one for one in gc.get_objects() if isinstance(one, socket.socket) and one.fileno() != -1]
    found = []
    for one in open_ones:
        with contextlib.suppress(OSError):  # it listens, or is no connection
            if one.family == socket.AF_INET and one.getpeername()[1] == port:
                found.append(one)
    return found


def test_a_worker_asks_the_database_until_the_broker_answers(
    wire: Proxy, publisher: RabbitPublisher, consumer: RabbitConsumer
) -> None:
    """It notices a silence by asking, and goes on by the same connection when that was short."""
    wire.swallow()
    assert happens(lambda: consumer.asks_database)
    wire.resume()
    connected(consumer)
    publisher.publish([news(1)])
    assert ids(arriving(consumer, 1)) == [1]
    assert len(wire.accepted) == 2


def test_a_worker_whose_channel_is_not_opened_asks_the_database(wire: Proxy, consumer: RabbitConsumer) -> None:
    """One that let its news go for want of a free slot, and wants it again, is told nothing as well."""
    consumer.suspend()
    wire.swallow()
    consumer.receive(1)
    assert happens(lambda: consumer.asks_database)
    wire.resume()
    connected(consumer)


def test_a_worker_far_away_asks_the_database_until_all_is_consumed_again(wire: Proxy, consumer: RabbitConsumer) -> None:
    """One that let its news go for want of a free slot asks the broker for each queue anew: that takes a while."""
    consumer.suspend()
    assert happens(lambda: consumer._subscription._channel is None)
    wire.slow(Flow(latency=0.2), Flow(latency=0.2))
    consumer.receive(1)
    assert happens(lambda: consumer.asks_database)
    connected(consumer)
    wire.resume()


def test_a_worker_far_away_asks_the_database_until_a_new_queue_is_consumed(
    wire: Proxy, transport: RabbitTransport
) -> None:
    """What was announced to a new queue's place at the broker is not delivered before that."""
    served = ["default"]
    consumer = connected(transport.consumer(lambda: list(served)))
    wire.slow(Flow(latency=0.3), Flow(latency=0.3))
    served.append("mailers")
    assert happens(lambda: consumer.asks_database)
    connected(consumer)
    wire.resume()
    consumer.close()


def test_a_slow_wire_is_no_silence(
    wire: Proxy, publisher: RabbitPublisher, consumer: RabbitConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a second each way: the worker stays with the broker."""
    publisher.publish([news(1)])
    arriving(consumer, 1)
    said = watched(consumer._subscription, monkeypatch)
    wire.slow(Flow(latency=0.5), Flow(latency=0.5))
    publisher.publish([news(2)])
    assert ids(arriving(consumer, 1)) == [2]
    assert happens(lambda: len(said) >= 4)
    assert all(said)
    wire.resume()


def watched(subscription: Subscription, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return what a subscription says from now on about whether there is news."""
    said: list[bool] = []
    say = subscription._say

    def watch(*, news: bool) -> None:
        said.append(news)
        say(news=news)

    monkeypatch.setattr(subscription, "_say", watch)
    return said


def test_a_broker_far_away_is_connected_to_in_the_end(
    wire: Proxy, store: SqlStore, broker: Broker, prefix: str
) -> None:
    """Each answer comes in time; all together, for some queues, take longer than ``broker_timeout``."""
    wire.slow(Flow(latency=0.05), Flow(latency=0.05))
    far = rabbit(store, broker.url_through(wire.port), prefix, broker_timeout=1.0)
    consumer, publisher = far.consumer(lambda: ["default", "mailers"]), far.publisher()
    connected(consumer)
    publisher.publish([news(1)])
    assert ids(arriving(consumer, 1)) == [1]
    assert len(wire.accepted) == 2
    wire.resume()
    publisher.close()
    consumer.close()


def test_nothing_is_unannounced_while_the_broker_is_silent(
    wire: Proxy, store: SqlStore, publisher: RabbitPublisher, consumer: RabbitConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A confirm that does not come says nothing then: the news arrives in the end, under its stamp."""
    monkeypatch.setattr(publication, "CONFIRM_SECONDS", LATE + 0.5)
    publisher.publish([news(1)])
    assert happens(lambda: is_sent(publisher))
    wire.swallow()
    told = stamped(store)
    publisher.publish([told])
    pulse = sender_of(publisher)._publication.pulse
    assert happens(lambda: pulse.silence > LATE + 2)
    wire.resume()
    assert happens(lambda: is_sent(publisher))
    assert told.job_id in ids(arriving(consumer, 2))
    assert stamp_of(store, told.job_id) == told.stamp


def test_nothing_stays_open_of_what_a_silent_broker_never_closes(
    wire: Proxy, transport: RabbitTransport, publisher: RabbitPublisher
) -> None:
    """Neither when a connection is given up for another, nor when the application closes."""
    publisher.publish([news(1)])
    assert happens(lambda: is_sent(publisher))
    consumer = connected(transport.consumer(lambda: ["default"]))
    assert isinstance(consumer, RabbitConsumer)
    assert len(sockets_to(wire.port)) == 2
    link = consumer._link
    wire.swallow()
    link.post(lambda: link.restart("a reason"))
    assert happens(lambda: link.away)
    assert happens(lambda: not link._leaving)
    consumer.close()
    publisher.close()
    assert sockets_to(wire.port) == []
