"""Every error of TomQueue, grouped by what happens next.

TomQueueError
├── SettingsError            a setting or URL is wrong: nothing was started
├── DefinitionError          a declaration is wrong: raised where the job is declared
├── EnqueueError             nothing was enqueued: raised where the job is enqueued
│   ├── ArgumentsError       the arguments do not fit the job's signature, or cannot be JSON
│   ├── PayloadTooLarge      the arguments are larger than the setting allows
│   ├── UnknownMethod        the class has no such public method to call later
│   └── WrongColour          ``enqueue`` with an AsyncSession, or ``aenqueue`` with a Session
├── StoreError               the database said no
│   ├── StoreUnavailable     locked, full, read-only, gone: try again later
│   ├── OutcomeUnknown       the connection broke during COMMIT: read the rows again
│   └── SchemaError          tables missing, older or newer than this version
├── BrokerUnavailable        RabbitMQ cannot be asked; jobs go on without it
├── PublishError             the broker did not take what had to be published
├── JobNotFound              no row has this id
├── JobStateError            the row's state does not allow what was asked
├── ResultError              there is no result to return
│   ├── ResultTimeout        the job has not ended in time
│   ├── JobFailed            it ended, and not by success; the message has the reason
│   └── ResultNotKept        nobody said that its result is to be kept, or what it returned cannot be
├── CheckpointError          what was to be a checkpoint cannot be one: raised where it was written
├── Parked                   this worker cannot read the job; it waits for one that can
│   ├── UnknownJob           no definition of this name is registered here
│   ├── UnknownKey           the arguments are encrypted with a key that is not here
│   └── UnreadableArguments  the stored arguments do not fit the definition
├── JobTargetGone            the object that the job was to call is not in the database any more
├── ClaimLost                the row belongs to another claim now: nothing may be changed
└── LeaseLost                the lease of an in-process worker is over: its rows may belong to others by now

Verdict (Exception)          raised by a job to say how it wants to end
├── Retry                    run again later; counts as an attempt
├── Snooze                   run again later; does not count
└── Discard                  failed, final, kept with its reason

Interruption (BaseException) raised *into* a running job, so that ``except Exception`` does not swallow it
├── JobTimeout               it ran longer than its ``max_run_time``
├── JobCancelled             a person cancelled it while it ran
└── JobInterrupted           the worker is shutting down and the grace time is over
"""

from datetime import timedelta

__all__ = [
    "ArgumentsError",
    "BrokerUnavailable",
    "CheckpointError",
    "ClaimLost",
    "DefinitionError",
    "Discard",
    "EnqueueError",
    "Interruption",
    "JobCancelled",
    "JobFailed",
    "JobInterrupted",
    "JobNotFound",
    "JobStateError",
    "JobTargetGone",
    "JobTimeout",
    "LeaseLost",
    "OutcomeUnknown",
    "Parked",
    "PayloadTooLarge",
    "PublishError",
    "ResultError",
    "ResultNotKept",
    "ResultTimeout",
    "Retry",
    "SchemaError",
    "SettingsError",
    "Snooze",
    "StoreError",
    "StoreUnavailable",
    "TomQueueError",
    "UnknownJob",
    "UnknownKey",
    "UnknownMethod",
    "UnreadableArguments",
    "Verdict",
    "WrongColour",
]


class TomQueueError(Exception):
    """Base of every error that TomQueue raises to its caller."""


class SettingsError(TomQueueError):
    """A setting, URL or option is wrong; the message names it and the cure."""


class BrokerUnavailable(TomQueueError):
    """RabbitMQ cannot be asked: it is away, or refuses us. Jobs are enqueued and run without it."""


class PublishError(TomQueueError):
    """The broker did not take what had to be published: it is away, blocked, or refused it."""


class DefinitionError(TomQueueError):
    """A job is declared in a way that cannot work; raised by the declaration."""


class EnqueueError(TomQueueError):
    """Nothing was enqueued; the message says which job and why."""


class ArgumentsError(EnqueueError, TypeError):
    """The arguments do not fit the job's signature, or cannot travel as JSON."""


class PayloadTooLarge(EnqueueError, ValueError):
    """The arguments are larger than the setting ``max_payload_bytes``."""


class UnknownMethod(EnqueueError, AttributeError):
    """The class has no such method that could be called later: it is private, misspelled, or no method."""


class WrongColour(EnqueueError, TypeError):
    """A synchronous call was given an asynchronous session, or the reverse."""


class StoreError(TomQueueError):
    """The database refused or could not be asked."""


class StoreUnavailable(StoreError):
    """The database cannot do it now (locked, full, read-only, unreachable); nothing was changed."""


class OutcomeUnknown(StoreError):
    """The connection broke while committing: the change may or may not have happened."""


class SchemaError(StoreError):
    """The tables are missing, older or newer than this version of TomQueue."""


class JobNotFound(TomQueueError, LookupError):
    """No job has this id (it finished, was deleted, or never existed)."""


class JobStateError(TomQueueError):
    """The job's state does not allow what was asked; the message names the state."""


class ResultError(TomQueueError):
    """There is no result to return; base of the reasons."""


class ResultTimeout(ResultError, TimeoutError):
    """The job has not ended in the time that its result was waited for; it goes on."""


class JobFailed(ResultError):
    """The job ended without success: it failed for good, was cancelled or deleted.

    ``state`` is which: ``failed``, ``cancelled``, ``deleted``; ``error`` the whole text of its last error, if any.
    """

    def __init__(self, message: str, *, state: str, error: str | None) -> None:
        super().__init__(message)
        self.state = state
        self.error = error


class ResultNotKept(ResultError):
    """The job has no ``result_ttl``; or it succeeded, and what it returned could not be kept."""


class CheckpointError(TomQueueError, ValueError):
    """What a job wanted to checkpoint is too large, or would not come back from JSON as it was."""


class Parked(TomQueueError):
    """This worker cannot read the job: it is parked until one comes that can."""


class UnknownJob(Parked):
    """No definition of this name is registered in this application."""


class UnknownKey(Parked):
    """The arguments are encrypted with a key that is not among this application's ``encryption_keys``."""


class UnreadableArguments(Parked):
    """The stored arguments do not fit the definition that is registered here."""


class JobTargetGone(TomQueueError, LookupError):
    """The object that a job was to call is not in the database any more; final, unless ``retry_on`` names it."""


class ClaimLost(TomQueueError):
    """The row is owned by another claim, or gone: this worker must not change it."""


class LeaseLost(TomQueueError):
    """The lease of this in-process worker is over: it touches no row any more, and another one begins."""


class Verdict(Exception):
    """Base of what a job raises to decide how it ends."""


class Retry(Verdict):
    """Run the job again; counts as an attempt, and fails the job when the attempts are used up.

    ``delay`` is in seconds (or a timedelta); without it the job's back-off decides.
    """

    def __init__(self, message: str = "", *, delay: float | timedelta | None = None) -> None:
        super().__init__(message or "the job asked to be retried")
        self.delay = delay


class Snooze(Verdict):
    """Run the job again after ``delay`` (seconds or timedelta); does not count as an attempt."""

    def __init__(self, delay: float | timedelta) -> None:
        super().__init__(f"snoozed for {delay}")
        self.delay = delay


class Discard(Verdict):
    """Fail the job for good; the row is kept with ``reason`` and can be retried by a person."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Interruption(BaseException):
    """Base of what is raised into a running job from outside."""


class JobTimeout(Interruption):
    """The job ran longer than its ``max_run_time``; counts as an attempt."""


class JobCancelled(Interruption):
    """Somebody cancelled the job while it ran; it has the grace time to clean up, and will not run again."""


class JobInterrupted(Interruption):
    """The worker must stop now; the job is given back and not charged."""
