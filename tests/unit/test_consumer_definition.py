"""What may be said about consumers and producers, and what is refused where it is declared."""

from datetime import timedelta
from typing import Any

import pytest

from tomqueue import Message, Priority, TomQueue
from tomqueue.errors import DefinitionError


@pytest.fixture
def tq() -> TomQueue:
    """Give an application that connects to nothing."""
    return TomQueue("sqlite:///unused.db", default_queue="usual", default_priority="low")


def on_order(message: Message) -> str:
    """Handle a message."""
    return message.routing_key


def test_a_consumer_is_still_a_function(tq: TomQueue) -> None:
    """It can be called with a message of one's own, as a test does."""
    consumer = tq.consumer(exchange="orders")(on_order)
    assert consumer(Message(body=b"", routing_key="order.paid")) == "order.paid"
    assert consumer.name.endswith("test_consumer_definition.on_order")
    assert consumer.__doc__ == on_order.__doc__


def test_what_is_not_said_comes_from_the_settings(tq: TomQueue) -> None:
    """Queue and priority; a topic exchange is bound with everything."""
    consumer = tq.consumer(exchange="orders")(on_order)
    assert (consumer.queue, consumer.priority, consumer.routing_keys) == ("usual", Priority.LOW, ("#",))
    assert (consumer.type, consumer.max_run_time, consumer.is_async) == ("topic", 300.0, False)


def test_what_is_said_counts(tq: TomQueue) -> None:
    """Options of the decorator, also a list of routing keys and an asynchronous handler."""

    @tq.consumer(
        name="mine", exchange="orders", type="direct", routing_key=["a", "b"], queue="mailers", priority="high",
        max_run_time=timedelta(minutes=2), discard_on=(KeyError,),
    )  # fmt: skip
    async def handle(message: Message) -> None: ...

    assert (handle.name, handle.routing_keys, handle.queue, handle.priority) == ("mine", ("a", "b"), "mailers", "high")
    assert (handle.max_run_time, handle.discard_on, handle.is_async) == (120.0, (KeyError,), True)
    assert list(tq.consumers) == [handle]


@pytest.mark.parametrize(
    ("terms", "problem"),
    [
        ({"exchange": ""}, "exchange="),
        ({"exchange": 7}, "exchange="),
        ({"exchange": "ä" * 128}, "255 bytes"),
        ({"type": "headers"}, "use one of topic, direct, fanout"),
        ({"type": "direct"}, "needs routing_key"),
        ({"routing_key": 7}, "routing_key=7"),
        ({"routing_key": []}, "routing_key="),
        ({"routing_key": ["x" * 256]}, "255 bytes"),
        ({"priority": "urgent"}, "use one of high, normal, low, bulk"),
        ({"queue": "a b"}, "queue="),
        ({"max_run_time": 1501}, "between 0.001 and 1500"),
        ({"max_run_time": "long"}, "must be a number"),
        ({"discard_on": KeyError}, "must be a tuple"),
        ({"name": "a:b"}, "name="),
    ],
)
def test_what_cannot_work_is_refused(tq: TomQueue, terms: dict[str, Any], problem: str) -> None:
    """The message names the option, and what may be said."""
    with pytest.raises(DefinitionError, match=problem):
        tq.consumer(**{"exchange": "orders", **terms})(on_order)


@pytest.mark.parametrize("handler", [lambda: None, lambda one, two: None, lambda *, message: None, str, 7])
def test_a_consumer_takes_one_message(tq: TomQueue, handler: Any) -> None:
    """Nothing else can be called with one."""
    with pytest.raises(DefinitionError, match=r"one argument|a function that takes a Message"):
        tq.consumer(exchange="orders", name="odd")(handler)


def test_two_consumers_of_one_name_are_refused(tq: TomQueue) -> None:
    """They would share a queue of the broker; the same function again (a reloaded module) is the same consumer."""
    tq.consumer(exchange="orders", name="mine")(on_order)
    tq.consumer(exchange="other", name="mine")(on_order)
    assert [consumer.exchange for consumer in tq.consumers] == ["other"]
    with pytest.raises(DefinitionError, match="two consumers are called 'mine'"):
        tq.consumer(exchange="orders", name="mine")(Message.json)


def test_a_producer_names_an_exchange(tq: TomQueue) -> None:
    """Nothing is connected yet."""
    assert repr(tq.producer(exchange="orders")) == "<producer for orders>"
    with pytest.raises(DefinitionError, match="use one of topic, direct, fanout"):
        tq.producer(exchange="orders", type="x-random")


def test_a_body_is_read_as_json() -> None:
    """What is no JSON is a ValueError that does not show the body."""
    assert Message(body=b'{"id": 7}').json() == {"id": 7}
    with pytest.raises(ValueError, match="message 'm-1' is no JSON") as caught:
        Message(body=b"secret", message_id="m-1").json()
    assert "secret" not in str(caught.value) + repr(Message(body=b"secret"))
