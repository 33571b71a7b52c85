"""A publisher that loses everything."""

from collections.abc import Sequence

from tomqueue.transport.base import Notification

__all__ = ["LostNews"]


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
