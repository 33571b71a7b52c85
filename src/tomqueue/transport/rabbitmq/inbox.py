"""The messages of other programs that have arrived in this process and wait for a slot."""

import threading
from collections import deque
from collections.abc import Callable

from tomqueue.priority import PRIORITIES
from tomqueue.transport.base import Letter

__all__ = ["Inbox"]


class Inbox:
    """A line for each priority. For every thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: list[deque[Letter]] = [deque() for _ in PRIORITIES]

    def put(self, letter: Letter) -> None:
        """Put a message at the end of its line."""
        with self._lock:
            self._lines[letter.consumer.priority.rank].append(letter)

    def most_urgent(self) -> int | None:
        """Return the first priority that has something."""
        return next((rank for rank, line in enumerate(self._lines) if line), None)

    def take(self) -> Letter | None:
        """Take the most urgent message."""
        with self._lock:
            return next((line.popleft() for line in self._lines if line), None)

    def take_out(self, unwanted: Callable[[Letter], bool]) -> list[Letter]:
        """Take out all that are unwanted."""
        with self._lock:
            taken = [letter for line in self._lines for letter in line if unwanted(letter)]
            self._lines = [deque(letter for letter in line if letter not in taken) for line in self._lines]
            return taken
