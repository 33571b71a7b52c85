"""When a queue of the broker was last seen to be empty. It tells by its silence: what it has, it delivers at once."""

from collections.abc import Collection, Container

__all__ = ["Silence", "Source"]

QUIET = 1.0
"""Seconds without a message after which a queue counts as empty, if we would have taken one."""
QUIET_AT_FIRST = 0.5
"""The same for a queue that gave us none yet: what it has when we begin, it delivers before anything else."""
SETTLED = 0.2
"""Seconds for which we must have been its consumer then: one that has just begun has not heard yet."""

Source = tuple[str, int]
"""A queue and a priority."""


class Silence:
    """Listens to the queues of one worker. Times are of the boot clock. ``empty_at`` is for every thread."""

    def __init__(self) -> None:
        self._counts_from: dict[Source, float] = {}
        """When a silence of each queue means that it is empty."""
        self._since: dict[Source, float] = {}
        self._empty_at: dict[Source, float] = {}

    def begins(self, source: Source, now: float) -> None:
        """Take note that we consume a queue, perhaps again: what was heard before a pause of ours still counts."""
        self._counts_from.setdefault(source, now + QUIET_AT_FIRST)
        self._since[source] = now

    def breaks(self, source: Source | None = None) -> None:
        """Take note that we hear nothing more, of one queue or of all."""
        for one in list(self._since) if source is None else [source]:
            self._since.pop(one, None)

    def keep(self, wanted: Collection[Source]) -> None:
        """Forget the queues that are not served any more."""
        for source in [one for one in self._counts_from if one not in wanted]:
            for known in (self._counts_from, self._since, self._empty_at):
                known.pop(source, None)

    def heard(self, source: Source, now: float) -> None:
        """Take note of a message."""
        self._counts_from[source] = now + QUIET
        self._empty_at.pop(source, None)

    def listen(self, now: float, full: Container[Source]) -> None:
        """See which queues are silent. ``full`` are those of which we hold so much that we get no more."""
        for source, since in self._since.items():
            if source in full:
                self.heard(source, now)
            elif now >= self._counts_from[source] and now - since >= SETTLED:
                self._empty_at[source] = now

    def empty_at(self) -> dict[Source, float]:
        """Return when each queue was last seen to be empty; not those that gave a message since."""
        return dict(self._empty_at)
