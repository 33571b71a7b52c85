"""What becomes of the rows of a child that died: a pure table."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from tomqueue.store.leases import Fate, Freed
from tomqueue.worker.board import SlotState
from tomqueue.worker.finish import default_backoff

__all__ = ["Cause", "Death", "fates", "reason_of"]


class Cause(Enum):
    """Why a child ended."""

    CRASHED = "crashed"
    """By itself, and not cleanly: whatever ran may have killed it."""
    OVERRAN = "overran"
    """Killed by its supervisor, because a job ignored its time-out."""
    TOLD = "told"
    """It ended as it was told to, or was killed because it did not in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A child's end, and what its board says it had: what ran, and what was only claimed."""

    cause: Cause
    reason: str
    running: Sequence[SlotState]
    claims: Sequence[int]
    overran: frozenset[int] = frozenset()
    """Ids that ran too long."""
    stacks: str = ""
    """Where they hung, as the watchdog saw it."""


def reason_of(status: int) -> str:
    """Return how a process ended, for people: by a signal's name or an exit status."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def fates(death: Death, now: datetime, backoff_cap: float) -> list[Freed]:
    """Return what becomes of each row: the job that killed the process is charged, its neighbours are not.

    A message that was handled has no row, and comes again; a job beside it may be as guilty.
    """
    running = {slot.job for slot in death.running}
    claimed = [Freed(id=job, fate=Fate.REFUND) for job in death.claims if job not in running]
    return [*(fate_of(slot, death, now, backoff_cap) for slot in death.running if slot.is_job), *claimed]


def fate_of(slot: SlotState, death: Death, now: datetime, backoff_cap: float) -> Freed:
    """Return what becomes of a job that ran when its process died."""
    if death.cause is Cause.OVERRAN and slot.job in death.overran:
        return overrun(slot, death, now, backoff_cap)
    if death.cause is not Cause.CRASHED:
        return Freed(id=slot.job, fate=Fate.REFUND)
    if len(death.running) > 1:  # nobody knows which of them it was: each runs alone the next time
        return Freed(id=slot.job, fate=Fate.SUSPECT)
    error = f"WorkerDied: the process that ran this job {death.reason}"
    return Freed(id=slot.job, fate=Fate.CRASHED, used_up=slot.used_up, error=error)


def overrun(slot: SlotState, death: Death, now: datetime, backoff_cap: float) -> Freed:
    """Return what becomes of a job that did not end after its time-out; the default back-off counts here, capped."""
    ran = slot.deadline - slot.since
    error = f"JobTimeout: ran longer than its max_run_time of {ran:.3g} s and ignored it; the process was killed"
    if death.stacks:
        error = f"{error}\n{death.stacks}"
    again = now + timedelta(seconds=min(default_backoff(slot.attempts), backoff_cap))
    return Freed(id=slot.job, fate=Fate.OVERRAN, used_up=slot.used_up, error=error, run_at=again)
