"""Two layers of one's own: a request id that travels with the jobs of a request, and a clock around both stacks."""

import json
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeVar

from tomqueue import TomQueue
from tomqueue.enqueue.request import Request
from tomqueue.worker.attempt import Attempt

Context = TypeVar("Context", Request, Attempt)
Result = TypeVar("Result")

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""Of the web request that is served, or that caused the job which runs."""


def write_request_id(request: Request, proceed: Callable[[Request], None]) -> None:
    """Enqueue stack: write the request id beside the arguments of every job of this call."""
    for draft in request.drafts:
        draft.meta = json.dumps(json.loads(draft.meta or "{}") | {"request_id": request_id.get()})
    proceed(request)


def read_request_id(attempt: Attempt, proceed: Callable[[Attempt], bool]) -> bool:
    """Worker's stack: have it set while the job runs, so that what the job enqueues carries it on."""
    token = request_id.set(json.loads(attempt.job.meta or "{}").get("request_id", "-"))
    try:
        return proceed(attempt)
    finally:
        request_id.reset(token)


class Timing:
    """Either stack: tell how long everything inside took, also when it raised. ``tell`` is called with both."""

    def __init__(self, tell: Callable[[str, float], None]) -> None:
        self._tell = tell

    def __call__(self, context: Context, proceed: Callable[[Context], Result]) -> Result:
        began = time.perf_counter()
        try:
            return proceed(context)
        finally:
            self._tell(name_of(context), time.perf_counter() - began)


def name_of(context: Request | Attempt) -> str:
    """Return what is timed."""
    if isinstance(context, Request):
        return f"enqueue {context.drafts[0].definition.name}"
    return f"run {context.job.name}"


def install(tq: TomQueue, tell: Callable[[str, float], None]) -> None:
    """Insert the layers; before the first enqueue, and before a worker starts."""
    timing = Timing(tell)
    tq.enqueue_layers.insert(write_request_id, before="Persist")
    tq.enqueue_layers.insert(timing, before="Persist")
    tq.worker_layers.insert(timing, after="Claim")  # inside Claim the job is known
    tq.worker_layers.insert(read_request_id, after="Claim")  # last in, next to Claim: outside of the clock
