"""Messages that wait for a slot."""

from tomqueue import Message, TomQueue
from tomqueue.transport.base import Letter
from tomqueue.transport.rabbitmq.inbox import Inbox


def letter(priority: str, text: str) -> Letter:
    """Return a message of a consumer with a priority."""
    consumer = TomQueue("sqlite:///unused.db").consumer(name="any", exchange="orders", priority=priority)
    return Letter(Message(body=text.encode()), consumer(lambda _message: None))


def test_the_most_urgent_is_taken_first() -> None:
    """Of one priority in the order of their coming."""
    inbox = Inbox()
    assert (inbox.most_urgent(), inbox.take()) == (None, None)
    letters = [letter("low", "1"), letter("high", "2"), letter("high", "3")]
    for one in letters:
        inbox.put(one)
    assert inbox.most_urgent() == 0
    assert [inbox.take(), inbox.take(), inbox.take(), inbox.take()] == [letters[1], letters[2], letters[0], None]


def test_what_is_unwanted_is_taken_out() -> None:
    """The others keep their order."""
    inbox = Inbox()
    letters = [letter("normal", text) for text in "abc"]
    for one in letters:
        inbox.put(one)
    assert inbox.take_out(lambda one: one.message.body == b"b") == [letters[1]]
    assert [inbox.take(), inbox.take()] == [letters[0], letters[2]]
