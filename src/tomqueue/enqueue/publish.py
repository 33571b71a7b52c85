"""Layer: send the news, after the outermost commit and never before."""

from collections.abc import Callable, Sequence

from tomqueue.enqueue.request import Request
from tomqueue.events import Events
from tomqueue.job import Job
from tomqueue.store.commit import after_commit
from tomqueue.transport.base import Notification, Publisher

__all__ = ["Publish"]


class Publish:
    """Publishes what is ready at once; what is due later is announced when its time has come.

    What is to be published belongs to the caller's transaction: a rollback, also to a savepoint, drops it.
    """

    def __init__(self, publisher: Callable[[], Publisher], events: Events) -> None:
        self._publisher = publisher
        self._events = events

    def __call__(self, request: Request, proceed: Callable[[Request], None]) -> None:
        """Publish now if the rows are committed already, else when they are."""
        jobs = request.jobs
        if request.connection is None:
            self._publish(jobs)
        else:
            after_commit(request.connection, lambda: self._publish(jobs))
        proceed(request)

    def _publish(self, jobs: Sequence[Job]) -> None:
        self._publisher().publish([
            Notification(job.id, job.queue, job.priority.rank, job.announced_at)
            for job in jobs
            if job.announced_at is not None
        ])  # fmt: skip
        for job in jobs:
            self._events.emit("job.enqueued", job=job)
