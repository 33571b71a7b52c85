"""News that nobody gets: a publisher that loses everything, and the news that waits for a commit that never comes."""

from collections.abc import Callable, Iterable, Sequence

from tomqueue.enqueue.publish import news_of
from tomqueue.job import Job
from tomqueue.transport.base import Notification

__all__ = ["LostNews", "UnsentNews"]


class LostNews:
    """Drops news, and keeps what it was about."""

    def __init__(self) -> None:
        self.notifications: list[Notification] = []

    @property
    def jobs(self) -> list[int]:
        """The ids of the jobs whose news is lost."""
        return [one.job_id for one in self.notifications]

    def publish(self, notifications: Sequence[Notification]) -> None:
        """Drop them."""
        self.notifications += notifications

    def connect(self, seconds: float) -> bool:  # noqa: ARG002 - nothing to wait for
        """Say that somebody takes news: nobody is told that it is lost."""
        return True

    def flush(self, seconds: float) -> int:  # noqa: ARG002 - nothing to wait for
        """Return nothing: there is nothing under way."""
        return 0

    def close(self) -> None:
        """Do nothing."""


class UnsentNews(LostNews):
    """The news of jobs inside a transaction that is rolled back, read from their rows; nothing ever sends it.

    ``read`` returns all jobs. What is ready when this is made had its news before.
    """

    def __init__(self, read: Callable[[], Iterable[Job]]) -> None:
        super().__init__()
        self._read: Callable[[], Iterable[Job]] | None = read
        self._known = {job.id for job in read() if job.announced_at is not None}

    @property
    def jobs(self) -> list[int]:
        """The ids of the jobs whose news is lost, also while the block runs."""
        self.look()
        return super().jobs

    def look(self) -> None:
        """Note what is ready by now: before it runs, and is gone."""
        for job in self._read() if self._read is not None else ():
            if job.announced_at is not None and job.id not in self._known:
                self._known.add(job.id)
                self.notifications.append(news_of(job, job.announced_at))

    def close(self) -> None:
        """Look once more, and then no more."""
        self.look()
        self._read = None
