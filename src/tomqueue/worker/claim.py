"""Layer: hold the row, pass its job down, and record on the way back how it ended."""

import logging
from collections.abc import Callable
from datetime import datetime

from tomqueue.errors import ClaimLost, Discard, Interruption, Parked, Verdict
from tomqueue.events import Events
from tomqueue.reporting import Reporting
from tomqueue.store.base import Delete, Release
from tomqueue.worker.attempt import Attempt
from tomqueue.worker.claims import Claims
from tomqueue.worker.error_text import error_text, storable, without_our_frames
from tomqueue.worker.finish import Policy, Settled, settle
from tomqueue.worker.hooks import call_hook

__all__ = ["Claim"]


class Claim:
    """Finds the definition, reads the arguments, and turns the outcome into the row's next state.

    A job whose name or arguments cannot be read here is parked. ``load`` fills the attempt from the row;
    ``now`` is the database's clock.
    """

    def __init__(
        self,
        claims: Claims,
        load: Callable[[Attempt], None],
        events: Events,
        logger: logging.Logger,
        reporting: Reporting,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._claims = claims
        self._load = load
        self._events = events
        self._logger = logger
        self._reporting = reporting
        self._now = now

    def __call__(self, attempt: Attempt, proceed: Callable[[Attempt], bool]) -> bool:
        """Proceed with the job of the claimed row; record how it ended."""
        job = attempt.job = attempt.work.claimed
        error: BaseException | None = None
        try:
            self._load(attempt)
            self._refuse_expired(attempt)
            proceed(attempt)
        except ClaimLost:
            self._claims.done(job)
            self._events.emit("job.claim_lost", job=job)
            raise
        except BaseException as caught:  # noqa: BLE001 - whatever a job raises, SystemExit too, is how it ended
            without_our_frames(caught)
            error = caught
        if error is None:
            self._succeeded(attempt)
        else:
            self._ended(attempt, error)
        return True

    def _refuse_expired(self, attempt: Attempt) -> None:
        expires_at = attempt.job.expires_at
        if expires_at is not None and self._now() > expires_at:
            raise Discard(f"expired: it was to start by {expires_at.isoformat()}")

    def _succeeded(self, attempt: Attempt) -> None:
        job = attempt.job
        if attempt.committed:
            self._claims.done(job)
        else:
            self._claims.ended(Delete(job.id, job.token))
        self._claims.count(job.queue, "job.finished")
        self._events.emit("job.finished", job=job)
        self._logger.debug("job %d %s done", job.id, job.name)

    def _ended(self, attempt: Attempt, error: BaseException) -> None:
        job = attempt.job
        settled = self._settled(attempt, error)
        if settled.event == "job.failed":
            self._call_failure_hook(attempt)
        self._claims.ended(settled.ending)
        self._claims.count(job.queue, settled.event)
        self._events.emit(settled.event, job=job, error=error)
        self._tell(attempt, error, settled)

    def _settled(self, attempt: Attempt, error: BaseException) -> Settled:
        text = storable(str(error)) if isinstance(error, Verdict | Parked) else error_text(error)
        try:
            return settle(attempt.job, error, attempt.policy, self._now(), text)
        except Exception as broken:  # noqa: BLE001 - a back-off of the application's that raises
            self._reporting.report(broken)
            return settle(attempt.job, error, Policy(), self._now(), text)

    def _call_failure_hook(self, attempt: Attempt) -> None:
        if attempt.hooks is None:
            return
        try:
            call_hook(attempt.hooks, "failure", attempt.context)
        except Exception as error:  # noqa: BLE001 - a hook that fails does not change how the job ended
            self._reporting.report(error)

    def _tell(self, attempt: Attempt, error: BaseException, settled: Settled) -> None:
        job, ending = attempt.job, settled.ending
        what = f"job {job.id} {job.name} (attempt {job.attempts})"
        if isinstance(error, Parked):  # its text may quote an argument, and arguments stay out of the log
            self._logger.warning("%s is parked: %s; see `tomqueue explain %d`", what, type(error).__name__, job.id)
            return
        if isinstance(error, Verdict) or settled.event == "job.interrupted":
            self._logger.info("%s: %s: %s", what, settled.event.removeprefix("job."), storable(str(error)))
            return
        again = f"again at {ending.run_at}" if isinstance(ending, Release) and ending.run_at else "failed for good"
        level = logging.ERROR if settled.event == "job.failed" else logging.WARNING
        self._logger.log(level, "%s raised %s: %s", what, type(error).__name__, again, exc_info=error)
        if not isinstance(error, Interruption):
            self._reporting.notify(error)
