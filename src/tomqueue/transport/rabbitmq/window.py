"""Messages that were sent on a channel and that the broker has not confirmed yet."""

from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Any, Generic, TypeVar

from pika.spec import Basic

__all__ = ["Window"]

Item = TypeVar("Item")


class Window(Generic[Item]):
    """What is under way on one channel, by the number that the broker gives it there: 1 for the first."""

    def __init__(self) -> None:
        self._items: dict[int, Item] = {}
        self._sent = 0

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items.values())

    def add(self, item: Item) -> int:
        """Take note of what is about to be sent; return its number."""
        self._sent += 1
        self._items[self._sent] = item
        return self._sent

    def get(self, number: int) -> Item | None:
        """Return what is under way by a number."""
        return self._items.get(number)

    def answered(self, method: Any) -> Iterator[tuple[Item, bool]]:
        """Take out what a confirm is about; return each with whether the broker has it."""
        numbers = [method.delivery_tag]
        if method.multiple:
            numbers = list(takewhile(lambda number: number <= method.delivery_tag, self._items))
        found = [self._items.pop(number) for number in numbers if number in self._items]
        return ((item, isinstance(method, Basic.Ack)) for item in found)

    def take_out(self, unwanted: Callable[[Item], bool]) -> list[Item]:
        """Take out what nobody waits for any more."""
        numbers = [number for number, item in self._items.items() if unwanted(item)]
        return [self._items.pop(number) for number in numbers]

    def end(self) -> list[Item]:
        """Take out everything, with its channel: the next one numbers anew."""
        left = list(self._items.values())
        self._items.clear()
        self._sent = 0
        return left
