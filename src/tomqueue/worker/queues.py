"""Which queues a worker takes jobs from: all that are known, or the named ones, less those that are paused."""

from collections.abc import Callable, Mapping, Sequence

from tomqueue.service import boot_time

__all__ = ["Queues"]

REFRESH = 1.0
SOONEST = 0.1


class Queues:
    """Looks at the known queues every second; ``names`` empty means all of them.

    ``read`` returns every known queue and whether it is paused. ``paused`` is called with a queue that was
    taken from and now is paused.
    """

    def __init__(
        self, names: Sequence[str], read: Callable[[], Mapping[str, bool]], paused: Callable[[str], None]
    ) -> None:
        self._wanted = frozenset(names)
        self._read = read
        self._paused = paused
        self._active: list[str] = []
        self._read_at = -REFRESH
        self._turn = 0

    def active(self) -> list[str]:
        """Return the queues to take from now."""
        return self._active

    def in_turn(self) -> list[str]:
        """Return the queues to take from, beginning with the one whose turn it is."""
        if len(self._active) < 2:  # noqa: PLR2004 - one queue has no turns
            return self._active
        turn = self._turn % len(self._active)
        return self._active[turn:] + self._active[:turn]

    def served(self) -> None:
        """Take note that the queue whose turn it was was taken from."""
        self._turn += 1

    def refresh(self, *, soon: bool = False, now: bool = False) -> None:
        """Look again, if the last look was a second ago; with ``soon``, a tenth; with ``now``, in any case."""
        if not now and boot_time() - self._read_at < (SOONEST if soon else REFRESH):
            return
        self._read_at = boot_time()
        known = self._read()
        active = sorted(name for name, paused in known.items() if not paused and self._serves(name))
        gone = [name for name in self._active if name not in active]
        self._active = active
        for name in gone:
            self._paused(name)

    def _serves(self, name: str) -> bool:
        return not self._wanted or name in self._wanted
