"""How many jobs to claim at once: as many as fit a short time at the run time that was measured."""

__all__ = ["BatchSize"]

WEIGHT = 0.2
"""Share of the newest measurement in the running mean."""


class BatchSize:
    """Begins with one, doubles while there is proof that jobs are quick, and falls at once when they are not.

    ``seconds`` is the work that may be claimed ahead, ``most`` the largest batch. The mean is of whatever ran
    last, because a take from the database does not know the names of the jobs that it will get.
    """

    def __init__(self, seconds: float, most: int) -> None:
        self._seconds = seconds
        self._most = most
        self._mean: float | None = None
        self._allowed = 1

    def measured(self, jobs: int, seconds: float) -> None:
        """Take note that ``jobs`` took ``seconds`` together."""
        if jobs <= 0:
            return
        each = seconds / jobs
        self._mean = each if self._mean is None else self._mean + WEIGHT * (each - self._mean)
        self._mean = max(self._mean, each * WEIGHT)
        self._allowed = min(self._allowed * 2, self._most)

    def size(self) -> int:
        """Return how many to claim now, at least 1."""
        if self._mean is None:
            return 1
        fitting = self._seconds / self._mean if self._mean > 0 else self._most
        return max(1, min(self._allowed, int(min(fitting, self._most))))

    def slow(self) -> None:
        """Begin again with one: a job turned out slow."""
        self._allowed = 1
        self._mean = None
