"""Names and declarations at the broker."""

from itertools import chain

import pytest

from tomqueue.transport.topology import Binding, Exchange, Queue, Topology


def test_one_queue_for_each_queue_and_priority() -> None:
    """Durable, bound to the topic exchange by a key of its own."""
    assert list(Topology("shop").of_queue("mailers"))[:2] == [
        Queue("shop.mailers.high", {"x-queue-type": "classic"}),
        Binding("shop.work", "shop.mailers.high", "mailers.high"),
    ]
    names = [one.name for one in Topology("shop").of_queue("mailers") if isinstance(one, Queue)]
    assert names == [f"shop.mailers.{priority}" for priority in ("high", "normal", "low", "bulk")]


def test_what_all_queues_share() -> None:
    """The exchange of the work, and the way to the deferred process."""
    assert list(Topology("shop").common()) == [
        Exchange("shop.work", "topic"),
        Exchange("shop.work.deferred", "fanout"),
        Queue("shop.work.deferred", {"x-queue-type": "classic"}),
        Binding("shop.work.deferred", "shop.work.deferred", ""),
    ]


def test_quorum_queues_never_drop_what_comes_back() -> None:
    """The limit is positive and far away: no limit and -1 both lose messages on some version."""
    topology = Topology("shop", "quorum")
    for one in chain(topology.common(), topology.of_queue("default")):
        if isinstance(one, Queue):
            assert one.arguments == {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}


@pytest.mark.parametrize(("rank", "key"), [(0, "default.high"), (3, "default.bulk"), (7, "default.bulk")])
def test_a_rank_that_is_none_counts_as_the_nearest(rank: int, key: str) -> None:
    """Plain SQL may write any number into a row."""
    assert Topology("shop").routing_key("default", rank) == key


@pytest.mark.parametrize("queue", ["", "#", "a*", "a b", "ü", "x" * 101])
def test_names_that_a_broker_could_misread_are_not_carried(queue: str) -> None:
    """A topic's wildcards most of all."""
    assert not Topology("shop").can_carry(queue)
    assert Topology("shop").can_carry("mailers.eu-1_b")


def test_the_longest_names_fit() -> None:
    """AMQP gives a name 255 bytes."""
    assert Topology("p" * 100).can_carry("q" * 100)


def test_a_consumer_binds_its_own_queue_to_a_foreign_exchange() -> None:
    """Its name has a colon, so that it is no named queue's; the exchange has the name that it was given."""
    exchange, queue, first, second = Topology("app", "quorum").of_consumer(
        "shop.on_order", "orders", "topic", ["a", "b"]
    )
    assert exchange == Exchange("orders", "topic", is_foreign=True)
    assert isinstance(queue, Queue)
    assert (queue.name, queue.arguments["x-queue-type"]) == ("app.consumer:shop.on_order", "quorum")
    assert (first, second) == (Binding("orders", queue.name, "a"), Binding("orders", queue.name, "b"))
    assert not Topology("app").can_carry("consumer:shop.on_order")
