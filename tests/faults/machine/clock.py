"""Time that passes only when a test says so: the database's clock and every process's, all one."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

__all__ = ["SimulatedTime"]

BEGIN = 1_900_000_000_000_000
"""Microseconds since 1970 at the beginning."""
UP_FOR = 1000.0
"""Seconds since boot at the beginning."""


class SimulatedTime:
    """Each reading is a microsecond later than the one before, so that no two stamps are the same."""

    def __init__(self) -> None:
        self._micros = BEGIN

    def micros(self) -> int:
        """Return what the database's clock shows."""
        self._micros += 1
        return self._micros

    def seconds(self) -> float:
        """Return what the clock shows that counts since boot."""
        return UP_FOR + (self.micros() - BEGIN) / 1e6

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._micros += int(seconds * 1e6)

    @contextmanager
    def ruling(self) -> Iterator[None]:
        """Let every module that asks for the time ask here."""
        asking = [module for name, module in sys.modules.items() if name.startswith("tomqueue.")]
        with ExitStack() as stack:
            stack.enter_context(patch("tomqueue.store.sqlite.now_micros", self.micros))
            for module in asking:
                if "boot_time" in vars(module):
                    stack.enter_context(patch.object(module, "boot_time", self.seconds))
            yield
