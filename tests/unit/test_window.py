"""What is under way on a channel, until the broker confirms it."""

from pika.spec import Basic

from tomqueue.transport.rabbitmq.window import Window


def window(*items: str) -> Window[str]:
    """Return a window with these sent."""
    made: Window[str] = Window()
    for item in items:
        made.add(item)
    return made


def test_a_confirm_is_about_one_or_about_all_up_to_it() -> None:
    """In the order in which they were sent, each once; a refusal is told apart."""
    under_way = window("a", "b", "c", "d")
    assert list(under_way.answered(Basic.Ack(2))) == [("b", True)]
    assert list(under_way.answered(Basic.Nack(3, multiple=True))) == [("a", False), ("c", False)]
    assert list(under_way.answered(Basic.Ack(3))) == []
    assert list(under_way) == ["d"]


def test_what_is_taken_out_is_not_answered_any_more() -> None:
    """Its number stays in use on the channel."""
    under_way = window("a", "b")
    assert under_way.take_out(lambda item: item == "a") == ["a"]
    assert under_way.add("c") == 3
    assert list(under_way.answered(Basic.Ack(3, multiple=True))) == [("b", True), ("c", True)]


def test_a_channel_numbers_from_one() -> None:
    """So does the next one, and what was under way is given back in order."""
    under_way = window("a", "b")
    assert under_way.end() == ["a", "b"]
    assert under_way.add("c") == 1
    assert under_way.get(1) == "c"
    assert len(under_way) == 1
