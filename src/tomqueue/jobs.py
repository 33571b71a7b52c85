"""``tq.jobs``: look at jobs, retry, cancel, delete and publish them. What the CLI can, Python can."""

from collections.abc import Callable, Sequence
from datetime import timedelta

from tomqueue.job import Job, State
from tomqueue.store.catalog import Catalog, Filter
from tomqueue.transport.republisher import DEFAULT_RATE, Republisher

__all__ = ["Jobs"]


class Jobs:
    """The jobs of one TomQueue. Each call is a short transaction of its own."""

    def __init__(self, catalog: Callable[[], Catalog], republisher: Callable[[], Republisher]) -> None:
        self._catalog = catalog
        self._republisher = republisher

    def get(self, job_id: int) -> Job:
        """Return a job; raises JobNotFound."""
        return self._catalog().get(job_id).bound(self.publish)

    def list(
        self,
        *,
        state: State | str | None = None,
        queue: str | None = None,
        name: str | None = None,
        older_than: timedelta | None = None,
        limit: int | None = 100,
        after: int = 0,
    ) -> "list[Job]":
        """Return jobs in the order of their ids, at most ``limit`` (None: all), beginning after the id ``after``."""
        wanted = None if state is None else State(state)
        which = Filter(state=wanted, queue=queue, name=name, older_than=older_than)
        return [job.bound(self.publish) for job in self._catalog().find(which, limit=limit, after=after)]

    def count(self, *, state: State | str | None = None, queue: str | None = None, name: str | None = None) -> int:
        """Return how many jobs there are."""
        return self._catalog().count(Filter(state=None if state is None else State(state), queue=queue, name=name))

    def retry(self, job_id: int) -> Job:
        """Make a job that does not run ready now, with all its attempts; raises JobStateError while it runs."""
        return self._catalog().retry(job_id).bound(self.publish)

    def cancel(self, job_id: int) -> Job:
        """Take a waiting job out of its queue; it is kept as failed and can be retried."""
        return self._catalog().cancel(job_id).bound(self.publish)

    def delete(self, job_id: int) -> None:
        """Delete a job that does not run."""
        self._catalog().delete(job_id)

    def publish(self, job_id: int) -> None:
        """Send the news of one ready job again. Raises JobStateError, SettingsError without a broker, PublishError."""
        self._republisher().publish(job_id)

    def republish(
        self,
        queues: Sequence[str] = (),
        *,
        older_than: timedelta | None = None,
        rate: float = DEFAULT_RATE,
        progress: Callable[[int], object] = lambda _: None,
    ) -> int:
        """Send the news of every ready job again, most urgent first, at most ``rate`` a second; return how many.

        For a broker that is fresh or was failed over. ``queues`` empty means all; ``progress`` is called with each
        piece's size. Raises SettingsError without a broker, and PublishError.
        """
        return self._republisher().republish(queues, older_than=older_than, rate=rate, progress=progress)
