"""Declares the topology, and goes on with what somebody declared otherwise.

What belongs together is declared in one go: a broker that is far away is waited for once. Only where something is
refused all is declared again one by one, to learn what.

A binding that was made by an earlier connection is made again aside: nobody waits for it. While a node of a cluster
stands still RabbitMQ (3.10) answers no binding, and everything else, until its ``net_ticktime`` of 60 s has passed.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tomqueue.transport.rabbitmq.absent import Absences
from tomqueue.transport.rabbitmq.cures import cure_of_other
from tomqueue.transport.rabbitmq.pulse import Pulse
from tomqueue.transport.topology import Binding, Declaration, Exchange, Queue

__all__ = ["Declarations"]

ACCESS_REFUSED = 403
NOT_FOUND = 404
PRECONDITION_FAILED = 406


class Declarations:
    """What one connection has declared. What was refused is used as it is: never deleted, never tried in a loop.

    What is asked for belongs to one channel: answers that come by one that was given up count no more.
    """

    def __init__(self, logger: logging.Logger, pulse: Pulse) -> None:
        self._logger = logger
        self._pulse = pulse
        self._done: set[Declaration] = set()
        self._bound: set[Declaration] = set()
        """Bindings that were made, by earlier connections too."""
        self._channel: Any = None
        self._asked: deque[Declaration] = deque()
        self._one_by_one = False
        self._refused: set[Declaration] = set()
        self._told: set[Declaration] = set()
        self._absent = Absences(logger)

    def reset(self) -> None:
        """Forget everything with the connection: somebody may have cured it since."""
        self._channel = None
        self._done.clear()
        self._asked.clear()
        self._one_by_one = False
        self._refused.clear()

    def forget(self, declarations: Iterable[Declaration]) -> None:
        """Declare these again at the next occasion: they are gone."""
        gone = set(declarations)
        self._done -= gone
        self._bound -= gone

    def holds(self, declarations: Iterable[Declaration]) -> bool:
        """Say whether all of these are declared, as far as they can be."""
        if not self._absent:
            return self._done.issuperset(declarations)
        return all(one in self._done or self._is_absent(one) for one in declarations)

    def lacks(self, queue: str) -> bool:
        """Say whether a queue is on a node that is down."""
        return self._absent.includes(queue)

    def declare(self, channel: Any, declarations: Iterable[Declaration], then: Callable[[], None]) -> None:
        """Declare what is not declared yet, then call ``then``; not at all, when the channel is closed meanwhile."""
        if channel is not self._channel:
            self._channel = channel
            self._asked.clear()
        missing = [
            one for one in declarations if one not in self._done and one not in self._asked and not self._is_absent(one)
        ]
        known = [one for one in missing if one in self._bound]
        awaited = [one for one in missing if one not in self._bound]

        def answered() -> None:
            self._bind_aside(channel, known)
            then()

        self._asked.extend(awaited)
        groups = [[one] for one in awaited] if self._one_by_one or not awaited else [awaited]
        for group in groups:
            self._send(channel, group, answered if group is groups[-1] else None)
        if not groups:
            answered()

    def refused(self, reason: Any) -> bool:
        """Take note of why a channel was closed; say whether another channel can go on."""
        code = getattr(reason, "reply_code", None)
        if not self._asked or code not in {ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED}:
            return False
        one = self._asked[0]
        self._asked.clear()
        if not self._one_by_one:
            self._one_by_one = True
            return True
        if code == NOT_FOUND:
            return self._is_down(one, reason.reply_text)
        if one in self._refused:
            return False
        self._refused.add(one)
        if one not in self._told:
            self._told.add(one)
            self._tell(one, reason)
        return True

    def _is_down(self, one: Declaration, text: str) -> bool:
        """Go on without a queue that is on a node that is down; who declares is told "not found" of no other.

        Who may not declare is told so of a queue that was never made, too, and only the text tells them apart.
        """
        if isinstance(one, Queue) and (one not in self._refused or "home node" in text):
            self._absent.began(one.name)
            return True
        return False

    def _is_absent(self, one: Declaration) -> bool:
        match one:
            case Queue(name, _) | Binding(_, name, _):
                return self._absent.covers(name)
        return False

    def _tell(self, one: Declaration, reason: Any) -> None:
        cure = "give the user of broker_url the right to configure it, or let it be made by one who has"
        if reason.reply_code == PRECONDITION_FAILED:
            cure = f"it exists with other properties: {cure_of_other(one)}"
        kind = type(one).__name__.lower()
        self._logger.error(
            "RabbitMQ refuses the %s %s and it is used as it is; cure: %s. The broker says: %s",
            kind, one.name, cure, reason.reply_text,
        )  # fmt: skip

    def _send(self, channel: Any, group: Sequence[Declaration], then: Callable[[], None] | None) -> None:
        """Ask for all of a group; the broker works in order, so its answer to the last is one to each of them."""

        def answered(_frame: Any) -> None:
            if channel is self._channel and channel.is_open:
                self._pulse.heard()
                for one in group:
                    self._answered(one)
                if then is not None:
                    then()

        *others, last = group
        for one in others:
            self._ask(channel, one, None)
        self._ask(channel, last, answered)

    def _ask(self, channel: Any, one: Declaration, callback: Callable[[Any], None] | None) -> None:
        passive = one in self._refused
        match one:
            case Exchange(name, kind, _):
                channel.exchange_declare(name, kind, passive=passive, durable=True, callback=callback)
            case Queue(name, arguments, _):
                channel.queue_declare(name, passive=passive, durable=True, arguments=dict(arguments), callback=callback)
            case Binding(exchange, queue, key):
                if passive:  # there is no such thing: trust that somebody bound it
                    channel.queue_declare(queue, passive=True, callback=callback)
                else:
                    channel.queue_bind(queue, exchange, key, callback=callback)

    def _answered(self, one: Declaration) -> None:
        self._asked.popleft()
        self._done.add(one)
        if isinstance(one, Queue):
            self._absent.ended(one.name)
        if isinstance(one, Binding) and one not in self._refused:
            self._bound.add(one)

    def _bind_aside(self, channel: Any, known: Iterable[Declaration]) -> None:
        """Make bindings again that were made before, by a channel of their own that waits for them alone."""
        bindings = [one for one in known if isinstance(one, Binding)]
        self._done.update(bindings)

        def bind(aside: Any) -> None:
            for one in bindings:
                aside.queue_bind(one.queue, one.exchange, one.routing_key)
            aside.close()

        if bindings:
            channel.connection.channel(on_open_callback=bind)
