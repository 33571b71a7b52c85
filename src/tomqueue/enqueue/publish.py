"""Layer: send the news, after the outermost commit and never before."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from tomqueue.crash_points import reached
from tomqueue.enqueue.request import Request
from tomqueue.events import Events
from tomqueue.job import Job, checksum_of
from tomqueue.reporting import Reporting
from tomqueue.store.commit import after_commit
from tomqueue.transport.base import MessagePublisher, Notification, Publisher

__all__ = ["Publish", "news_of"]


class Publish:
    """Publishes what is ready at once; what is due later is announced when its time has come.

    What is to be published belongs to the caller's transaction: a rollback, also to a savepoint, drops it.
    """

    def __init__(
        self,
        publisher: Callable[[], Publisher],
        message_publisher: Callable[[], MessagePublisher],
        events: Events,
        reporting: Reporting,
    ) -> None:
        self._publisher = publisher
        self._message_publisher = message_publisher
        self._events = events
        self._reporting = reporting

    def __call__(self, request: Request, proceed: Callable[[Request], None]) -> None:
        """Publish now if the rows are committed already, else when they are."""
        if request.messages:
            self._send(request)
        jobs = request.jobs
        if jobs and request.connection is None:
            self._publish(jobs)
        elif jobs:
            after_commit(request.connection, lambda: self._publish(jobs))
        proceed(request)

    def _send(self, request: Request) -> None:
        """Send the messages of producers: now, until the broker has them, or in the background after the commit."""
        publisher, messages = self._message_publisher(), request.messages
        for message in messages:
            publisher.check(message)
        if request.connection is None:
            for message in messages:
                publisher.send(message)
        else:
            for message in messages:
                after_commit(request.connection, partial(publisher.post, message))

    def _publish(self, jobs: Sequence[Job]) -> None:
        reached("enqueue.after_commit")
        new = [job for job in jobs if not job.is_existing]
        self._publisher().publish([
            news_of(job, job.announced_at) for job in new if job.announced_at is not None
        ])  # fmt: skip
        for job in new:
            self._events.emit("job.enqueued", job=job)
        if len(new) < len(jobs):
            self._tell_of([job for job in jobs if job.is_existing])

    def _tell_of(self, existing: Sequence[Job]) -> None:
        """Tell of jobs that stand for an enqueue each, because they held its key."""
        for job in existing:
            self._reporting.logger.debug(
                "job %d %s holds the unique key already: nothing was enqueued", job.id, job.name,
                extra={"job_id": job.id, "job_name": job.name},
            )  # fmt: skip
            self._events.emit("job.deduplicated", job=job)


def news_of(job: Job, stamp: datetime) -> Notification:
    """Return the notification of a job that was announced by ``stamp``."""
    rank = job.priority.rank
    checksum = checksum_of(job.id, job.queue, rank, job.name, job.payload)
    return Notification(job.id, job.queue, rank, stamp, checksum)
