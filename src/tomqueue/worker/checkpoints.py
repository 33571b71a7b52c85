"""How far jobs have come: checkpoints are written at once, progress about once a second by the housekeeper."""

import math
import threading
from typing import Any, Protocol

import msgspec

from tomqueue.errors import CheckpointError, ClaimLost
from tomqueue.job import Claimed
from tomqueue.payload import NotJson, faithful_json
from tomqueue.service import boot_time
from tomqueue.store.checkpoints import CheckpointTable, Note

__all__ = ["Checkpoints", "InMemory", "OwnCheckpoints", "checked_progress", "checkpoint_text"]

WRITE_EVERY = 1.0
"""Seconds between two writes of the progress of all jobs of this process."""
DECODER: "msgspec.json.Decoder[Any]" = msgspec.json.Decoder()


class Checkpoints(Protocol):
    """Where a job's checkpoint and progress are kept."""

    most_bytes: int

    def save(self, job: Claimed, text: str) -> None:
        """Write a checkpoint, as JSON. Raises ClaimLost when the row is not ours any more, and StoreError."""

    def value(self, job: Claimed) -> str | None:
        """Read the checkpoint of the last attempt, or of this one. Raises StoreError."""

    def progress(self, job: Claimed, done: float, total: float | None) -> None:
        """Take note of how far a job has come; does not wait for the database."""


class OwnCheckpoints:
    """The checkpoints of the jobs of one worker, in its database."""

    def __init__(self, table: CheckpointTable, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._table = table
        self._lock = threading.Lock()
        self._notes: dict[int, Note] = {}
        self._written_at = -math.inf

    def save(self, job: Claimed, text: str) -> None:
        """Write a checkpoint in a transaction of its own. From here on the row is tied to it, also in doubt."""
        job.tied = True
        if not self._table.save(job.id, job.token, text):
            raise ClaimLost(f"job {job.id} belongs to another claim: its checkpoint is not written")

    def value(self, job: Claimed) -> str | None:
        """Read the checkpoint."""
        return self._table.value(job.id)

    def progress(self, job: Claimed, done: float, total: float | None) -> None:
        """Take note; the housekeeper writes it."""
        job.tied = True
        with self._lock:
            self._notes[job.id] = Note(job.id, job.token, done, total)

    def write_progress(self) -> None:
        """Write what jobs have said since the last time, if that is a second ago. Raises StoreError; none is lost."""
        if not self._notes or boot_time() - self._written_at < WRITE_EVERY:
            return
        self._written_at = boot_time()
        with self._lock:
            notes, self._notes = self._notes, {}
        try:
            self._table.note(notes.values())
        except BaseException:
            with self._lock:
                self._notes = {**notes, **self._notes}
            raise


class InMemory:
    """The checkpoint of one job that runs without a row, or in another's transaction: gone with the attempt."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._value: str | None = None

    def save(self, job: Claimed, text: str) -> None:  # noqa: ARG002 - there is one
        """Keep the checkpoint."""
        self._value = text

    def value(self, job: Claimed) -> str | None:  # noqa: ARG002 - there is one
        """Return the checkpoint."""
        return self._value

    def progress(self, job: Claimed, done: float, total: float | None) -> None:
        """Do nothing: nobody can look."""


def checkpoint_text(job: Claimed, value: Any, most_bytes: int) -> str:
    """Return a checkpoint as JSON. Raises CheckpointError for one that would come back as another or is too large."""
    try:
        return faithful_json(value, DECODER, "max_checkpoint_bytes", most_bytes)
    except NotJson as error:
        raise CheckpointError(f"job {job.id} {job.name}: this cannot be a checkpoint: {error}") from error


def checked_progress(done: object, total: object) -> None:
    """Raise TypeError or ValueError for what is no progress."""
    for name, number in (("done", done), ("total", total)):
        if number is None and name == "total":
            continue
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise TypeError(f"ctx.progress: {name}={number!r} must be a number")
        if not (math.isfinite(number) and number >= 0):
            raise ValueError(f"ctx.progress: {name}={number!r} must be a number that is not negative")
