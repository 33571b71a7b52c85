"""Layer: hold the row, pass its job down, and record on the way back how it ended."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from tomqueue.crash_points import reached
from tomqueue.error_text import error_text, message_of, without_our_frames
from tomqueue.errors import ClaimLost, Discard, JobCancelled, Parked, Verdict
from tomqueue.events import Events
from tomqueue.job import Claimed
from tomqueue.reporting import Reporting
from tomqueue.store.base import Release
from tomqueue.worker.attempt import Attempt, success_of
from tomqueue.worker.endings import Ended
from tomqueue.worker.finish import Policy, Settled, settle
from tomqueue.worker.hooks import call_hook

__all__ = ["Claim", "Holder"]


class Holder(Protocol):
    """Who holds the rows, and takes note of how their jobs ended: the claims of this process."""

    def ended(self, ended: Ended) -> None:
        """Take note of how a job ended."""

    def committed(self, ended: Ended) -> None:
        """Take note of how a job ended that has committed this itself."""

    def done(self, job: Claimed) -> None:
        """Take note that a row is no longer ours."""


FINAL = {"job.failed", "job.cancelled"}
"""Events after which the job does not run again."""
CUT_SHORT = {"job.interrupted", "job.cancelled"}
"""Events of jobs that are not to blame for their end."""


class Claim:
    """Finds the definition, reads the arguments, and turns the outcome into the row's next state.

    A job whose name or arguments cannot be read here is parked. ``load`` fills the attempt from the row;
    ``now`` is the database's clock.
    """

    def __init__(
        self,
        claims: Holder,
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
        """Proceed with the job of the claimed row; record how it ended. A message has no row, and passes through."""
        if attempt.handling is not None:
            attempt.is_held = True
            return proceed(attempt)
        job = attempt.job = attempt.work.claimed
        attempt.is_held = True
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
        if error is not None and attempt.committed:  # raised after the commit: it cannot change how the job ended
            self._reporting.report(error)
            error = None
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
        reached("worker.after_job")
        ended = Ended(job=job, ending=success_of(attempt), event="job.finished")
        if attempt.committed:
            self._claims.committed(ended)
        else:
            self._claims.ended(ended)
        if self._logger.isEnabledFor(logging.DEBUG):
            self._logger.debug("job %d %s done", job.id, job.name, extra=fields_of(job))

    def _ended(self, attempt: Attempt, error: BaseException) -> None:
        settled = self._settled(attempt, error)
        if settled.event in FINAL:
            self._call_failure_hook(attempt)
        self._claims.ended(Ended(job=attempt.job, ending=settled.ending, event=settled.event, error=error))
        self._tell(attempt, error, settled)

    def _settled(self, attempt: Attempt, error: BaseException) -> Settled:
        told = isinstance(error, Verdict | Parked | JobCancelled)
        text = message_of(error) if told else error_text(error)
        try:
            return settle(attempt.job, error, attempt.policy, self._now(), text)
        except Exception as broken:  # noqa: BLE001 - the application's back-off raised, or a delay is no delay
            self._reporting.report(broken)
            policy = attempt.policy
            plain = Policy(cap=policy.cap, delete_failed=policy.delete_failed, keep_place=policy.keep_place)
            return settle(attempt.job, broken, plain, self._now(), f"{text}\n{error_text(broken)}")

    def _call_failure_hook(self, attempt: Attempt) -> None:
        if attempt.hooks is None:
            return
        try:
            call_hook(attempt.hooks, "failure", attempt.context)
        except BaseException as error:  # noqa: BLE001 - a hook that fails does not change how the job ended
            self._reporting.report(error)

    def _tell(self, attempt: Attempt, error: BaseException, settled: Settled) -> None:
        job, ending = attempt.job, settled.ending
        what = f"job {job.id} {job.name} (attempt {job.attempts})"
        if isinstance(error, Parked):  # its text may quote an argument, and arguments stay out of the log
            cure = f"see `tomqueue explain {job.id}`"
            self._logger.warning("%s is parked: %s; %s", what, type(error).__name__, cure, extra=fields_of(job))
            return
        if isinstance(error, Verdict) or settled.event in CUT_SHORT:
            event, why = settled.event.removeprefix("job."), message_of(error)
            self._logger.info("%s: %s", what, event if why == event else f"{event}: {why}", extra=fields_of(job))
            return
        again = f"again at {ending.run_at}" if isinstance(ending, Release) and ending.run_at else "failed for good"
        level = logging.ERROR if settled.event == "job.failed" else logging.WARNING
        name = type(error).__name__
        self._logger.log(level, "%s raised %s: %s", what, name, again, exc_info=error, extra=fields_of(job))
        self._reporting.notify(error)


def fields_of(job: Claimed) -> dict[str, object]:
    """Return what every log record about a job carries."""
    return {"job_id": job.id, "job_name": job.name, "attempt": job.attempts}
