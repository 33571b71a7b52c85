"""What is declared on a connection, by a channel that only takes note of it."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from tomqueue.transport.rabbitmq.declare import Declarations
from tomqueue.transport.rabbitmq.pulse import Pulse
from tomqueue.transport.topology import Binding, Topology

Callback = Callable[[Any], None] | None


class Channel:
    """A channel whose broker answers when the test says so, and never to a binding of ``hangs``."""

    is_open = True

    def __init__(self, *, hangs: bool = False) -> None:
        self.connection = self
        self.asked: list[str] = []
        self.aside: list[Channel] = []
        self._hangs = hangs
        self._callbacks: list[Callable[[Any], None]] = []

    def channel(self, on_open_callback: Callable[["Channel"], None]) -> None:
        self.aside.append(Channel())
        on_open_callback(self.aside[-1])

    def exchange_declare(self, name: str, *_kind: str, callback: Callback = None, **_options: Any) -> None:
        self._ask(f"exchange {name}", callback)

    def queue_declare(self, name: str, callback: Callback = None, **_options: Any) -> None:
        self._ask(f"queue {name}", callback)

    def queue_bind(self, name: str, *_where: str, callback: Callback = None) -> None:
        self._ask(f"bind {name}", None if self._hangs else callback)

    def close(self) -> None:
        self.asked.append("close")

    def answer(self) -> int:
        """Answer all that was asked for with a callback; return how many answers that took."""
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(None)
        return len(callbacks)

    def _ask(self, what: str, callback: Callback) -> None:
        self.asked.append(what)
        if callback is not None:
            self._callbacks.append(callback)


@pytest.fixture
def declarations() -> Declarations:
    """Give what one side has declared: nothing yet."""
    return Declarations(logging.getLogger("tomqueue"), Pulse())


COMMON = list(Topology("me").common())


def test_nobody_waits_for_a_binding_that_was_made_before(declarations: Declarations) -> None:
    """On the next connection it is made again aside: a broker one of whose nodes stands still would not answer."""
    first, second, done = Channel(), Channel(hangs=True), list[Channel]()
    declarations.declare(first, COMMON, lambda: done.append(first))
    first.answer()
    declarations.reset()
    declarations.declare(second, COMMON, lambda: done.append(second))
    assert done == [first]
    second.answer()
    assert done == [first, second]
    assert declarations.holds(COMMON)
    assert [aside.asked for aside in second.aside] == [["bind me.work.deferred", "close"]]


def test_a_binding_that_is_gone_is_waited_for(declarations: Declarations) -> None:
    """The broker returned a message, for example: nothing is sent before the binding is there."""
    channel, done = Channel(), list[Channel]()
    declarations.declare(channel, COMMON, lambda: None)
    channel.answer()
    declarations.forget(one for one in COMMON if isinstance(one, Binding))
    declarations.declare(channel, COMMON, lambda: done.append(channel))
    assert not done
    channel.answer()
    assert done
    assert not channel.aside


def test_what_belongs_together_is_waited_for_once(declarations: Declarations) -> None:
    """A broker half a second away would need seconds for a queue otherwise."""
    channel, done = Channel(), list[Channel]()
    declarations.declare(channel, COMMON, lambda: done.append(channel))
    assert len(channel.asked) == len(COMMON)
    assert channel.answer() == 1
    assert done == [channel]
    assert declarations.holds(COMMON)


def test_after_a_refusal_all_is_declared_one_by_one(
    declarations: Declarations, caplog: pytest.LogCaptureFixture
) -> None:
    """So that it is known what was refused: that alone is used as it is."""
    first, second, third, done = Channel(), Channel(), Channel(), list[str]()
    declarations.declare(first, COMMON, lambda: done.append("first"))
    assert declarations.refused(Refusal())
    assert not caplog.records
    declarations.declare(second, COMMON, lambda: done.append("second"))
    assert second.answer() == len(COMMON)
    assert done == ["second"]
    declarations.forget(COMMON[2:])
    declarations.declare(third, COMMON, lambda: done.append("third"))
    assert declarations.refused(Refusal())
    [told] = caplog.messages
    assert f"refuses the queue {COMMON[2].name}" in told


class Refusal:
    """Why the broker closed a channel."""

    reply_code = 406
    reply_text = "PRECONDITION_FAILED - inequivalent arg"


def test_answers_by_a_channel_that_was_given_up_count_no_more(declarations: Declarations) -> None:
    """They come while its connection closes: what the next one asked for is not answered by them."""
    slow, done = Channel(), list[str]()
    declarations.declare(slow, COMMON, lambda: done.append("slow"))
    slow.is_open = False
    slow.answer()
    assert not done
    declarations.reset()
    late, fresh = Channel(), Channel()
    declarations.declare(late, COMMON, lambda: done.append("late"))
    declarations.declare(fresh, COMMON, lambda: done.append("fresh"))
    late.answer()
    assert not done
    assert not declarations.holds(COMMON)
    fresh.answer()
    assert done == ["fresh"]
