"""Layer: write the rows, in the caller's transaction or in one of their own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tomqueue.enqueue.request import Draft, Request
from tomqueue.errors import PayloadTooLarge
from tomqueue.job import Job, NewJob, State
from tomqueue.payload import Keyring
from tomqueue.redaction import marked
from tomqueue.store.base import Inserted
from tomqueue.store.sql import SqlStore
from tomqueue.store.workflows import WorkflowTable

__all__ = ["Persist"]


class Persist:
    """Turns drafts into rows; a draft larger than ``max_payload_bytes`` stops the call before anything is written.

    What is to be encrypted is from here on. What is to be redacted is written into ``meta``. ``shown`` says what may be
    seen of the arguments of jobs that were there already.
    """

    def __init__(
        self,
        store: Callable[[], SqlStore],
        keyring: Keyring,
        max_payload_bytes: int,
        *,
        shown: Callable[[Job], Any],
    ) -> None:
        self._shown = shown
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
        if limits := {one.counted.limit for one in request.drafts if one.counted and one.counted.limit}:
            self._store().know_limits(limits, request.connection)
        inserted = self._write(request, rows)
        made: dict[int, Job] = {}
        for draft, row, known in zip(request.drafts, rows, inserted, strict=True):
            if known.id in made:  # another one of this call has the same key
                draft.job = replace(made[known.id]).as_existing().shown_by(self._shown)
            elif known.existing is not None:
                draft.job = made[known.id] = known.existing.shown_by(self._shown)
            else:
                draft.job = job_of(draft, row, known)
                if row.unique is not None:
                    made[known.id] = draft.job

    def _write(self, request: Request, rows: Sequence[NewJob]) -> list[Inserted]:
        if request.plan is None:
            return self._store().insert(rows, request.connection)
        posts = [draft.post for draft in request.drafts if draft.post is not None]
        workflows = WorkflowTable(self._store())
        request.workflow, inserted = workflows.insert(request.plan, posts, rows, request.connection)
        return inserted

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
            unique=draft.unique,
            ties=ties_of(draft),
            held=draft.counted is not None,
        )


def meta_of(draft: Draft) -> str | None:
    """Return what a layer wrote about the job, with its tick and what is to be redacted. Raises EnqueueError."""
    meta = draft.meta if draft.tick is None else draft.tick.within(draft.meta)
    definition = draft.definition
    return marked(meta, definition.redacted, definition.name) if definition.options.redact else meta


def ties_of(draft: Draft) -> Mapping[str, Any]:
    """Return what ties a job to other rows."""
    if draft.counted is None:
        return draft.ties
    return {**draft.ties, "limit_key": draft.counted.limit_key(draft.queue)}


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
        state=state_of(draft, row, known),
        max_attempts=row.max_attempts,
        run_at=known.run_at,
        expires_at=row.expires_at,
        announced_at=known.announced_at,
        created_at=known.created_at,
        updated_at=known.created_at,
        meta=row.meta,
        held=is_held(draft, row, known),
        limit_key=row.ties.get("limit_key"),
        **key_of(row, known),
    )


def key_of(row: NewJob, known: Inserted) -> Mapping[str, Any]:
    """Return what a new job tells of the unique key that it holds."""
    if row.unique is None:
        return NO_KEY
    seconds = row.unique.seconds
    return {
        "unique_key": row.unique.key,
        "unique_until": row.unique.until,
        "unique_expires_at": None if seconds is None else known.created_at + timedelta(seconds=seconds),
        "unique_held": True,
    }


NO_KEY: Mapping[str, Any] = {}


def is_held(draft: Draft, row: NewJob, known: Inserted) -> bool:
    """Say whether a new job waits for its limit, or for its turn in a workflow."""
    waits_for_others = draft.post is not None and draft.post.waits_for is not None
    return known.announced_at is None and (row.held or waits_for_others)


def state_of(draft: Draft, row: NewJob, known: Inserted) -> State:
    """Return what a new job is doing."""
    if is_held(draft, row, known):
        return State.HELD
    return State.SCHEDULED if known.announced_at is None else State.READY
