"""Run a job here and now, without a row: hooks and transaction as in a worker, errors to the caller."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tomqueue.errors import ResultNotKept
from tomqueue.job import Claimed, Job, State
from tomqueue.payload import ReturnCodec
from tomqueue.priority import Priority
from tomqueue.worker.attempt import Attempt, Result
from tomqueue.worker.checkpoints import InMemory
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
    checkpoints = InMemory(tools.settings.max_checkpoint_bytes)
    Loading(tools.registry, policies, tools.store, tools.logger, checkpoints, keyring=tools.keyring)(attempt)
    loop = LoopThread()
    try:
        Invoke(tools.events, loop, tools.reporting.report, most_bytes=tools.settings.max_payload_bytes)(attempt)
    finally:
        loop.close()
    job = Job(
        id=0, queue=queue, priority=priority, name=name, payload=payload, state=State.READY, attempts=1, run_at=now,
        created_at=now, updated_at=now,
    )  # fmt: skip
    codec = attempt.definition.result
    return job if codec is None or attempt.result is None else job.with_results(Known(name, codec, attempt.result))


class Known:
    """The result of a job that has run already, as it came back from JSON."""

    def __init__(self, name: str, codec: ReturnCodec, result: Result) -> None:
        self._name = name
        self._codec = codec
        self._result = result

    def get(self, job_id: int, timeout: float | timedelta | None = None) -> Any:  # noqa: ARG002 - it is there
        """Return it. Raises ResultNotKept."""
        value, problem = self._result
        if value is None:
            raise ResultNotKept(f"{self._name} succeeded, but {problem}")
        return self._codec.decode(value)

    async def aget(self, job_id: int, timeout: float | timedelta | None = None) -> Any:  # noqa: ASYNC109 - as get
        """Return it."""
        return self.get(job_id, timeout)
