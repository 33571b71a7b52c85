"""Functions that handle messages of other programs: ``@tq.consumer`` above a ``def``."""

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Required, TypedDict

from tomqueue.definition.exchange import checked_exchange, checked_keys
from tomqueue.definition.inspection import colour_of, name_of, place_of
from tomqueue.definition.options import (
    MILLISECOND,
    Options,
    checked_name,
    exceptions_problem,
    number_problem,
    seconds_of,
)
from tomqueue.errors import DefinitionError
from tomqueue.message import Message
from tomqueue.priority import Priority

__all__ = ["ConsumerDefinition", "ConsumerOptions", "ConsumerTerms", "Consumers"]

Errors = tuple[type[BaseException], ...]
USUAL_RUN_TIME = 300.0
MOST_RUN_TIME = 1500.0
"""A message stays unacked while its handler runs, and RabbitMQ closes the channel of one that does for 30 minutes."""


class ConsumerOptions(TypedDict, total=False):
    """The keyword arguments of ``@tq.consumer``; see ConsumerTerms."""

    exchange: Required[str]
    type: str
    routing_key: str | Sequence[str] | None
    queue: str | None
    priority: Priority | str | None
    max_run_time: float | timedelta | None
    discard_on: Errors


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerTerms:
    """What is said about a consumer. None means: as the settings say. Durations are in seconds."""

    exchange: str
    """Name of the exchange as it is at the broker; it is declared durable, by whoever comes first."""
    type: str = "topic"
    """``topic``, ``direct`` or ``fanout``."""
    routing_key: str | Sequence[str] | None = None
    """Which messages, one key or a list; None is all of them (a direct exchange needs one)."""
    queue: str | None = None
    """The named queue that it belongs to: its workers consume, and pausing it pauses the consumer."""
    priority: Priority | str | None = None
    """Its rank among all work."""
    max_run_time: float | timedelta | None = None
    """Longest run of the handler; None is 300, or less where the setting of the same name is."""
    discard_on: Errors = ()
    """Errors after which a message is not tried again."""

    def check(self, name: str) -> None:
        """Raise DefinitionError that names the consumer and the first option that cannot work."""
        checked_exchange(name, self.exchange, self.type)
        limits = {
            "max_run_time": number_problem(self.max_run_time, least=MILLISECOND, most=MOST_RUN_TIME),
            "discard_on": exceptions_problem(self.discard_on),
            "priority": "" if self.priority in (None, *Priority) else f"is unknown: use one of {', '.join(Priority)}",
        }
        for option, problem in limits.items():
            if problem:
                raise DefinitionError(f"{name}: {option}={getattr(self, option)!r} {problem}")
        if self.queue is not None:
            checked_name(f"{name}: queue", self.queue, DefinitionError)


class ConsumerDefinition:
    """A function that handles messages: call it to run it here, with a Message of your own.

    Raises DefinitionError for what cannot work.
    """

    __name__: str

    def __init__(
        self, function: Callable[[Message], Any], *, name: str | None, terms: ConsumerTerms, queue: str, priority: str
    ) -> None:
        if isinstance(function, type) or not callable(function):
            raise DefinitionError(f"@tq.consumer stands above a function that takes a Message, not {function!r}")
        functools.update_wrapper(self, function)
        self.name = name_of(function, name)
        self.place = place_of(function)
        terms.check(self.name)
        check_parameter(self.name, function)
        self.is_async = colour_of(self.name, function, Options())
        self.exchange = terms.exchange
        self.type = terms.type
        self.routing_keys = checked_keys(self.name, terms.type, terms.routing_key)
        self.queue = terms.queue or queue
        self.priority = Priority(terms.priority or priority)
        self.max_run_time = seconds_of(terms.max_run_time or USUAL_RUN_TIME)
        self.discard_on = terms.discard_on
        self._function = function

    def __repr__(self) -> str:
        return f"<consumer {self.name}>"

    def __call__(self, message: Message) -> Any:
        """Handle a message here and now."""
        return self._function(message)


class Consumers:
    """The consumers of one TomQueue, by name."""

    def __init__(self) -> None:
        self._by_name: dict[str, ConsumerDefinition] = {}

    def __iter__(self) -> Iterator[ConsumerDefinition]:
        return iter(list(self._by_name.values()))

    def __len__(self) -> int:
        return len(self._by_name)

    def __getitem__(self, name: str) -> ConsumerDefinition:
        return self._by_name[name]

    def add(self, consumer: ConsumerDefinition) -> None:
        """Declare a consumer; the same place again (a reloaded module) replaces it.

        Raises DefinitionError if another function has the name already: they would share one queue of the broker.
        """
        known = self._by_name.get(consumer.name)
        if known is not None and known.place != consumer.place:
            raise DefinitionError(
                f"two consumers are called {consumer.name!r}: {known.place} and {consumer.place}; "
                "give one of them another name"
            )
        self._by_name[consumer.name] = consumer


def check_parameter(name: str, function: Callable[..., Any]) -> None:
    """Raise DefinitionError unless ``function`` can be called with one argument."""
    try:
        inspect.signature(function).bind(None)
    except TypeError as error:
        raise DefinitionError(f"{name}: a consumer takes one argument, the message: {error}") from error
