"""Run a job here and now, without a row: hooks and transaction as in a worker, errors to the caller."""

from datetime import UTC, datetime

from tomqueue.job import Claimed, Job, State
from tomqueue.priority import Priority
from tomqueue.worker.attempt import Attempt
from tomqueue.worker.invoke import Invoke
from tomqueue.worker.loading import Loading
from tomqueue.worker.loop import LoopThread
from tomqueue.worker.policies import Policies
from tomqueue.worker.tools import Tools

__all__ = ["run_inline"]


def run_inline(tools: Tools, name: str, queue: str, priority: Priority, payload: str) -> Job:
    """Run the job called ``name`` and return it, with the id 0; raises what it raises."""
    now = datetime.now(UTC)
    attempt = Attempt()
    attempt.job = Claimed(
        id=0, queue=queue, rank=priority.rank, name=name, payload=payload, attempts=1, max_attempts=None,
        run_at=now, created_at=now, expires_at=None, parks=0, suspect=False, meta=None, tied=False, token=0,
    )  # fmt: skip
    policies = Policies(tools.settings, keep_place=True)
    Loading(tools.registry, tools.keyring, policies, tools.store, tools.logger)(attempt)
    loop = LoopThread()
    try:
        Invoke(tools.events, loop, tools.reporting.report)(attempt)
    finally:
        loop.close()
    return Job(
        id=0, queue=queue, priority=priority, name=name, payload=payload, state=State.READY, attempts=1, run_at=now,
        created_at=now, updated_at=now,
    )  # fmt: skip
