"""Sends calls through the enqueue stack: one or many, from synchronous or asynchronous code."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from tomqueue.definition import Chain, Group, Plan, Prepared, cure_of
from tomqueue.enqueue.drafts import Drafts
from tomqueue.enqueue.request import Request
from tomqueue.errors import EnqueueError
from tomqueue.job import Job, Results
from tomqueue.message import Outgoing
from tomqueue.store.atomic import current_transaction
from tomqueue.store.callers import run_in_callers, synchronous_connection
from tomqueue.store.sql import SqlStore
from tomqueue.store.workflows import Workflow, WorkflowState

__all__ = ["Enqueuing", "one_caller"]


class Enqueuing:
    """What ``enqueue`` and ``aenqueue`` of every job, and those of TomQueue, come down to."""

    def __init__(
        self,
        drafts: Drafts,
        stack: Callable[[], Callable[[Request], None]],
        store: Callable[[], SqlStore],
        results: Callable[[], Results],
    ) -> None:
        self._drafts = drafts
        self._stack = stack
        self._store = store
        self._results = results

    def enqueue(self, prepared: Prepared) -> Job:
        """Enqueue one call, in the caller's transaction if it names one, else in that of the running atomic job."""
        return self._send([prepared], caller_of(prepared))[0]

    async def aenqueue(self, prepared: Prepared) -> Job:
        """Enqueue one call from asynchronous code."""
        return (await self._asend([prepared], caller_of(prepared)))[0]

    def enqueue_many(self, prepared: Iterable[Prepared], caller: Any = None) -> list[Job]:
        """Enqueue calls in one transaction; return their jobs in the same order."""
        return self._send(checked_calls(prepared), caller)

    async def aenqueue_many(self, prepared: Iterable[Prepared], caller: Any = None) -> list[Job]:
        """Enqueue calls from asynchronous code in one transaction; return their jobs in the same order."""
        return await self._asend(checked_calls(prepared), caller)

    def enqueue_workflow(self, plan: Plan, caller: Any = None) -> Workflow:
        """Enqueue a workflow in one transaction."""
        return self._send_workflow(plan, caller)

    async def aenqueue_workflow(self, plan: Plan, caller: Any = None) -> Workflow:
        """Enqueue a workflow from asynchronous code, in one transaction."""
        if caller is None:
            return await asyncio.to_thread(self._send_workflow, plan, None)
        return await run_in_callers(caller, lambda synchronous: self._send_workflow(plan, synchronous))

    def publish(self, message: Outgoing, caller: Any) -> None:
        """Send a producer's message through the same stack."""
        self._stack()(Request(drafts=[], messages=[message], connection=self._connection(caller)))

    async def apublish(self, message: Outgoing, caller: Any) -> None:
        """Send a producer's message from asynchronous code."""
        if caller is None:
            await asyncio.to_thread(self.publish, message, None)
        else:
            await run_in_callers(caller, lambda synchronous: self.publish(message, synchronous))

    async def _asend(self, prepared: list[Prepared], caller: Any) -> list[Job]:
        if caller is None:  # a transaction of our own: the synchronous core, in a thread
            return await asyncio.to_thread(self._send, prepared, None)
        return await run_in_callers(caller, lambda synchronous: self._send(prepared, synchronous))

    def _send(self, prepared: list[Prepared], caller: Any) -> list[Job]:
        if not prepared:
            return []
        request = Request(drafts=[self._drafts.of(one) for one in prepared], connection=self._connection(caller))
        self._pass(request)
        return request.jobs

    def _send_workflow(self, plan: Plan, caller: Any) -> Workflow:
        drafts = [self._drafts.of(call) for call in plan.calls]
        for draft, post in zip(drafts, plan.posts, strict=True):
            draft.post = post
        request = Request(drafts=drafts, connection=self._connection(caller), plan=plan)
        self._pass(request)
        return enqueued(request)

    def _pass(self, request: Request) -> None:
        """Let a request go through the stack, and its jobs know where their results will be."""
        self._stack()(request)
        results = self._results()
        for draft in request.drafts:
            if draft.job is not None and draft.job.id:
                draft.job.with_results(results)  # of one that ran inline it is known already

    def _connection(self, caller: Any) -> Any:
        if caller is not None:
            return synchronous_connection(caller, self._store())
        transaction = current_transaction.get()
        return None if transaction is None else transaction.connection


def caller_of(prepared: Prepared) -> Any:
    """Return the session or connection that a call names."""
    return one_caller(prepared.overrides.session, prepared.overrides.connection)


def one_caller(session: Any, connection: Any) -> Any:
    """Return the one that is given; raise EnqueueError if both are."""
    if session is not None and connection is not None:
        raise EnqueueError("session and connection are both given: give one of them")
    return connection if session is None else session


def enqueued(request: Request) -> Workflow:
    """Return the workflow as its caller sees it; one that ran inline has the id 0."""
    jobs, is_inline = request.jobs, request.workflow is None
    return Workflow(
        id=request.workflow or 0, state=WorkflowState.SUCCEEDED if is_inline else WorkflowState.RUNNING,
        total=len(jobs), pending=0 if is_inline else len(jobs), failed=0, done=len(jobs) if is_inline else 0,
        deleted=0, created_at=jobs[0].created_at, finished_at=jobs[-1].updated_at if is_inline else None, jobs=jobs,
    )  # fmt: skip


def checked_calls(prepared: Iterable[object]) -> list[Prepared]:
    """Return calls that one transaction is to enqueue; raise EnqueueError, with the cure, for what cannot be one."""
    if isinstance(prepared, Prepared):
        raise EnqueueError("enqueue_many takes several prepared calls: put them into a list, or use tq.enqueue(…)")
    calls: list[Prepared] = []
    for place, one in enumerate(prepared, 1):
        if isinstance(one, Chain | Group):
            raise EnqueueError("enqueue_many takes prepared calls: enqueue a chain or group by tq.enqueue(…)")
        if not isinstance(one, Prepared):
            raise EnqueueError(f"enqueue_many: item {place} is no prepared call: {cure_of(one)}")
        if caller_of(one) is not None:
            raise EnqueueError("enqueue_many writes one transaction: give the session to enqueue_many, not to a call")
        calls.append(one)
    return calls
