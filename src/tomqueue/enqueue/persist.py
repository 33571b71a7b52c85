"""Layer: write the rows, in the caller's transaction or in one of their own."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tomqueue.enqueue.request import Draft, Request
from tomqueue.errors import PayloadTooLarge
from tomqueue.job import Job, NewJob, State
from tomqueue.payload import Keyring
from tomqueue.redaction import marked
from tomqueue.store.base import Inserted, Store

__all__ = ["Persist"]


class Persist:
    """Turns drafts into rows; a draft larger than ``max_payload_bytes`` stops the call before anything is written.

    What is to be encrypted is from here on. What is to be redacted is written into ``meta``.
    """

    def __init__(self, store: Callable[[], Store], keyring: Keyring, max_payload_bytes: int) -> None:
        self._store = store
        self._keyring = keyring
        self._most = max_payload_bytes

    def __call__(self, request: Request, proceed: Callable[[Request], None]) -> None:
        """Insert the rows, then proceed; messages become none."""
        if request.drafts:
            self._insert(request)
        proceed(request)

    def _insert(self, request: Request) -> None:
        rows = [self._row(draft) for draft in request.drafts]
        inserted = self._store().insert(rows, request.connection)
        for draft, row, known in zip(request.drafts, rows, inserted, strict=True):
            draft.job = job_of(draft, row, known)

    def _row(self, draft: Draft) -> NewJob:
        size = len(draft.payload.encode())
        if size > self._most:
            raise PayloadTooLarge(
                f"{draft.definition.name}: the arguments are {size:,} bytes of JSON and the setting "
                f"max_payload_bytes allows {self._most:,}: store them elsewhere and pass their key"
            )
        name, options = draft.definition.name, draft.definition.options
        return NewJob(
            name=name,
            queue=draft.queue,
            priority=draft.priority.rank,
            payload=self._keyring.seal(name, draft.payload) if options.encrypt else draft.payload,
            max_attempts=draft.max_attempts,
            run_at=draft.run_at,
            delay=draft.delay,
            expires_at=expiry(draft),
            meta=draft.meta if draft.tick is None and not options.redact else meta_of(draft),
        )


def meta_of(draft: Draft) -> str | None:
    """Return what a layer wrote about the job, with its tick and what is to be redacted. Raises EnqueueError."""
    meta = draft.meta if draft.tick is None else draft.tick.within(draft.meta)
    definition = draft.definition
    return marked(meta, definition.redacted, definition.name) if definition.options.redact else meta


def expiry(draft: Draft) -> datetime | None:
    """Return when it is too late to start; by this machine's clock when the job is due now or after a delay."""
    if draft.expires is None:
        return None
    due = draft.run_at or datetime.now(UTC) + timedelta(seconds=draft.delay or 0)
    return due + timedelta(seconds=draft.expires)


def job_of(draft: Draft, row: NewJob, known: Inserted) -> Job:
    """Return the job as its caller sees it."""
    return Job(
        id=known.id,
        queue=row.queue,
        priority=draft.priority,
        name=row.name,
        payload=row.payload,
        state=State.SCHEDULED if known.announced_at is None else State.READY,
        max_attempts=row.max_attempts,
        run_at=known.run_at,
        expires_at=row.expires_at,
        announced_at=known.announced_at,
        created_at=known.created_at,
        updated_at=known.created_at,
        meta=row.meta,
    )
