"""Which acks to send: as few as say exactly what was settled."""

from collections import deque
from collections.abc import Iterable

__all__ = ["Ledger"]


class Ledger:
    """The delivery tags of one channel that the broker still counts as ours, oldest first."""

    def __init__(self) -> None:
        self._outstanding: deque[int] = deque()
        self._gone: set[int] = set()

    def delivered(self, tag: int) -> None:
        """Take note of a delivery. The broker counts its tags upwards."""
        self._outstanding.append(tag)

    def acks(self, tags: Iterable[int]) -> list[tuple[int, bool]]:
        """Return acks, each with whether it stands for every earlier tag too, that settle just ``tags``."""
        left = set(tags)
        last = count = 0
        while self._outstanding and (self._outstanding[0] in left or self._outstanding[0] in self._gone):
            tag = self._outstanding.popleft()
            if tag in left:
                left.remove(tag)
                last, count = tag, count + 1
            else:
                self._gone.remove(tag)
        self._gone |= left
        return ([(last, count > 1)] if count else []) + [(tag, False) for tag in sorted(left)]

    def settled(self, tags: Iterable[int]) -> None:
        """Take note of what was settled in another way."""
        self._gone.update(tags)
