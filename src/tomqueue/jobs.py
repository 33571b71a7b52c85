"""``tq.jobs``: look at jobs, retry, cancel, edit, delete, publish them, one or many. What the CLI can, Python can."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from tomqueue.errors import EnqueueError, JobNotFound, SettingsError
from tomqueue.events import Events
from tomqueue.ids import checked_id
from tomqueue.job import Job, Results, State
from tomqueue.priority import Priority
from tomqueue.store.attempt_errors import AttemptError
from tomqueue.store.catalog import Catalog, Filter
from tomqueue.store.checkpoints import Progress
from tomqueue.store.editing import Move, Reprioritise, Reschedule
from tomqueue.store.sealed import Reencrypted
from tomqueue.store.selection import CANCEL, DELETE, RETRY, Change, change_all, edited, parts_of
from tomqueue.transport.republisher import DEFAULT_RATE, Republisher

__all__ = ["Jobs", "Selection"]


class Jobs:
    """The jobs of one TomQueue. Each call is a short transaction of its own."""

    def __init__(
        self,
        catalog: Callable[[], Catalog],
        republisher: Callable[[], Republisher],
        *,
        events: Events,
        priority_of: Callable[[Priority | str | int], Priority],
        results: Results,
        shown: Callable[..., Any],
        reencrypt: Callable[[], Reencrypted],
    ) -> None:
        self._catalog = catalog
        self._republisher = republisher
        self._events = events
        self._priority_of = priority_of
        self._results = results
        self._shown = shown
        self._reencrypt = reencrypt

    def get(self, job_id: int) -> Job:
        """Return a job; raises JobNotFound."""
        return self._bound(self._catalog().get(checked_id(job_id)))

    def list(
        self,
        *,
        state: State | str | None = None,
        queue: str | None = None,
        name: str | None = None,
        unique_key: str | None = None,
        older_than: timedelta | None = None,
        limit: int | None = 100,
        after: int = 0,
    ) -> "list[Job]":
        """Return jobs in the order of their ids, at most ``limit`` (None: all), beginning after the id ``after``."""
        wanted = known_state(state)
        which = Filter(state=wanted, queue=queue, name=name, unique_key=unique_key, older_than=older_than)
        return [self._bound(job) for job in self._catalog().find(which, limit=limit, after=after)]

    def arguments(self, job_id: int, *, reveal: bool = False) -> Any:
        """Return a job's arguments as plain JSON values, or a text that says why they are not shown.

        ``reveal`` decrypts, and shows also those of jobs that are not declared here; redacted fields stay so.
        Raises JobNotFound.
        """
        return self._shown(self._catalog().get(checked_id(job_id)), reveal=reveal)

    def errors(self, job_id: int) -> Sequence[AttemptError]:
        """Return the errors of a job's attempts, oldest first: the latest 25."""
        return self._catalog().errors(checked_id(job_id))

    def progress(self, job_id: int) -> Progress | None:
        """Return how far a job has come by its own words (``ctx.progress``); None if it said nothing."""
        return self._catalog().progress([checked_id(job_id)]).get(job_id)

    def count(
        self,
        *,
        state: State | str | None = None,
        queue: str | None = None,
        name: str | None = None,
        unique_key: str | None = None,
    ) -> int:
        """Return how many jobs there are."""
        wanted = known_state(state)
        return self._catalog().count(Filter(state=wanted, queue=queue, name=name, unique_key=unique_key))

    def where(
        self,
        *,
        state: State | str | None = None,
        queue: str | None = None,
        name: str | None = None,
        unique_key: str | None = None,
        older_than: timedelta | None = None,
    ) -> "Selection":
        """Return all jobs that these conditions mean, to be changed together: ``where(queue="mailers").cancel()``."""
        wanted = known_state(state)
        which = Filter(state=wanted, queue=queue, name=name, unique_key=unique_key, older_than=older_than)
        return Selection(self._catalog, which, self._events, self._priority_of, self._bound)

    def retry(self, job_id: int) -> Job:
        """Make a job that does not run ready now, with all its attempts; raises JobStateError while it runs.

        So it does for a failed job whose unique key another one holds by now.
        """
        return self._bound(self._catalog().retry(checked_id(job_id)))

    def cancel(self, job_id: int) -> Job:
        """Take a waiting job out of its queue, or stop one that runs; it is kept as failed and can be retried.

        A waiting job has failed when this returns. One that runs is still ``running``, with ``cancelled_at``: within
        about a second JobCancelled is raised in it, it has the grace time to clean up, and it will not run again. If
        it ends by itself before, it has finished. Raises JobNotFound (it finished), JobStateError (it has failed).
        """
        job = self._bound(self._catalog().cancel(checked_id(job_id)))
        if job.state is State.FAILED:
            self._events.emit("job.cancelled", job=job)
        return job

    def reprioritise(self, job_id: int, priority: Priority | str | int) -> Job:
        """Give a job that does not run another priority. It counts within a second.

        Raises JobNotFound, JobStateError while the job runs, SettingsError for a priority that there is not.
        """
        edit = reprioritised(self._priority_of, priority)
        return self._bound(self._catalog().edit(checked_id(job_id), edit))

    def reschedule(self, job_id: int, *, run_at: datetime | None = None, delay: float | timedelta | None = None) -> Job:
        """Give a waiting job another time, and take away its expiry: ``run_at`` with a zone, or ``delay`` from now.

        Raises JobNotFound, JobStateError when the job runs or has failed, SettingsError for a time that cannot be.
        """
        return self._bound(self._catalog().edit(checked_id(job_id), Reschedule(run_at=run_at, delay=delay)))

    def move(self, job_id: int, queue: str) -> Job:
        """Put a job that does not run into another queue, which becomes known by it. It counts within a second.

        Raises JobNotFound, JobStateError while the job runs, SettingsError for a name that no queue can have.
        """
        return self._bound(self._catalog().edit(checked_id(job_id), Move(queue)))

    def delete(self, job_id: int) -> None:
        """Delete a job that does not run."""
        self._catalog().delete(checked_id(job_id))

    def reencrypt(self) -> Reencrypted:
        """Encrypt every job that does not run, failed ones too, with the first of ``encryption_keys``; in pieces.

        For those under another key, and for those of jobs with ``encrypt=True`` that are not encrypted yet. What was
        ready is announced anew. Workers may run meanwhile. Raises SettingsError without a key.
        """
        return self._reencrypt()

    def publish(self, job_id: int) -> None:
        """Send the news of one ready job again. Raises JobStateError, SettingsError without a broker, PublishError."""
        self._republisher().publish(checked_id(job_id))

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

    def _bound(self, job: Job) -> Job:
        return job.bound(self.publish, self._results).shown_by(self._shown)


class Selection:
    """All jobs that a filter means at the time of each call; nothing is read before.

    A change goes in pieces of some hundred jobs, each a short transaction, and returns how many jobs it changed. What
    is enqueued meanwhile is left out; what meanwhile came into another state, too. ``progress`` is called with each
    piece's size. Raises JobStateError for a state that cannot be changed so.
    """

    def __init__(
        self,
        catalog: Callable[[], Catalog],
        which: Filter,
        events: Events,
        priority_of: Callable[[Priority | str | int], Priority],
        bound: Callable[[Job], Job],
    ) -> None:
        self._bound = bound
        self._catalog = catalog
        self._which = which
        self._events = events
        self._priority_of = priority_of

    def count(self) -> int:
        """Return how many jobs there are."""
        return self._catalog().count(self._which)

    def retry(self, *, progress: Callable[[int], object] = lambda _: None) -> int:
        """Make them ready now, with all their attempts; without a state the failed ones are meant."""
        return self._change(RETRY, progress)

    def cancel(self, *, progress: Callable[[int], object] = lambda _: None) -> int:
        """Take them out of their queues; without a state those that wait are meant. ``running`` are told to stop."""
        return self._change(CANCEL, progress)

    def delete(self, *, progress: Callable[[int], object] = lambda _: None) -> int:
        """Delete them for good; without a state all that do not run are meant."""
        return self._change(DELETE, progress)

    def reprioritise(
        self, priority: Priority | str | int, *, progress: Callable[[int], object] = lambda _: None
    ) -> int:
        """Give them another priority; without a state those that wait are meant, as for the other edits.

        Raises SettingsError for a priority that there is not.
        """
        return self._change(edited(reprioritised(self._priority_of, priority)), progress)

    def reschedule(
        self,
        *,
        run_at: datetime | None = None,
        delay: float | timedelta | None = None,
        progress: Callable[[int], object] = lambda _: None,
    ) -> int:
        """Give them another time, and take away their expiry. Raises SettingsError for a time that cannot be."""
        return self._change(edited(Reschedule(run_at=run_at, delay=delay)), progress)

    def move(self, queue: str, *, progress: Callable[[int], object] = lambda _: None) -> int:
        """Put them into another queue. Raises SettingsError for a name that no queue can have."""
        return self._change(edited(Move(queue)), progress)

    def _change(self, change: Change, progress: Callable[[int], object]) -> int:
        catalog = self._catalog()

        def piece_done(ids: Sequence[int]) -> None:
            if change is CANCEL and self._events.hears("job.cancelled"):
                self._tell_cancelled(catalog, ids)
            progress(len(ids))

        return change_all(catalog, change, parts_of(change, self._which), piece_done)

    def _tell_cancelled(self, catalog: Catalog, ids: Sequence[int]) -> None:
        """Tell of those that waited: of one that runs its worker tells."""
        for job_id in ids:
            with suppress(JobNotFound):
                job = self._bound(catalog.get(job_id))
                if job.state is State.FAILED and job.cancelled_at is not None:
                    self._events.emit("job.cancelled", job=job)


def known_state(state: State | str | None) -> State | None:
    """Return the state that is meant, if any. Raises SettingsError for one that there is not."""
    try:
        return None if state is None else State(state)
    except ValueError as error:
        raise SettingsError(f"state={state!r} is unknown: use one of {', '.join(State)}") from error


def reprioritised(of: Callable[[Priority | str | int], Priority], priority: Priority | str | int) -> Reprioritise:
    """Return the edit. Raises SettingsError for a priority that there is not."""
    try:
        return Reprioritise(of(priority))
    except EnqueueError as error:
        raise SettingsError(str(error)) from error
