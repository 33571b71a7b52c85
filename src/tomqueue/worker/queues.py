"""Which queues a worker takes jobs from: all that are known, or the named ones, less those that are paused."""

from collections.abc import Callable, Iterable, Mapping, Sequence

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
        self._line: list[str] = []
        self._read_at = -REFRESH

    def active(self) -> list[str]:
        """Return the queues to take from now."""
        return self._active

    def in_turn(self) -> list[str]:
        """Return the queues to take from, first the one that was served longest ago."""
        return self._line

    def served(self, names: Iterable[str]) -> None:
        """Take note of the queues, in order, that something was taken from: they go to the end of the line."""
        line = self._line
        if len(line) < 2:  # noqa: PLR2004 - one queue has no turns
            return
        served = [name for name in reversed(dict.fromkeys(reversed(list(names)))) if name in line]
        self._line = [name for name in line if name not in served] + served

    def refresh(self, *, soon: bool = False, now: bool = False) -> None:
        """Look again, if the last look was a second ago; with ``soon``, a tenth; with ``now``, in any case.

        What ``paused`` raises is raised once every queue was told of.
        """
        if not now and boot_time() - self._read_at < (SOONEST if soon else REFRESH):
            return
        self._read_at = boot_time()
        known = self._read()
        active = sorted(name for name, paused in known.items() if not paused and self._serves(name))
        gone = [name for name in self._active if name not in active]
        new = [name for name in active if name not in self._line]
        self._line = new + [name for name in self._line if name in active]
        self._active = active
        self._tell(gone)

    def _tell(self, gone: Sequence[str]) -> None:
        trouble: Exception | None = None
        for name in gone:
            try:
                self._paused(name)
            except Exception as error:  # noqa: BLE001 - raised below
                trouble = trouble or error
        if trouble is not None:
            raise trouble

    def _serves(self, name: str) -> bool:
        return not self._wanted or name in self._wanted
