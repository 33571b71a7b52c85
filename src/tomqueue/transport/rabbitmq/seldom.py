"""For what happens often and is worth a line only now and then."""

from tomqueue.service import boot_time

__all__ = ["Seldom"]


class Seldom:
    """Counts, and says when ``seconds`` have passed since it last said so."""

    def __init__(self, seconds: float = 60.0) -> None:
        self.count = 0
        self._seconds = seconds
        self._said_at = -seconds

    def again(self, times: int = 1) -> bool:
        """Count; say whether to tell."""
        self.count += times
        if boot_time() - self._said_at < self._seconds:
            return False
        self._said_at = boot_time()
        return True
