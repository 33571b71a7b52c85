"""Layer: run at once what is not to be delayed (``delay_jobs=False``, Delayed::Job's way in tests and consoles).

The ``enqueue`` hook of a class job comes first, whichever way its job goes, and may still change the draft.
"""

from collections.abc import Callable

from tomqueue.enqueue.request import Draft, Request
from tomqueue.job import Job

__all__ = ["Inline"]


class Inline:
    """Runs drafts that ``is_delayed`` refuses by ``run``, in the caller's thread; the others go on."""

    def __init__(self, is_delayed: Callable[[Draft], bool], run: Callable[[Draft], Job]) -> None:
        self._is_delayed = is_delayed
        self._run = run

    def __call__(self, request: Request, proceed: Callable[[Request], None]) -> None:
        """Run what is not delayed; what it raises reaches the caller."""
        drafts, delayed = request.drafts, []
        if request.plan is not None:
            delayed = self._delayed_together(drafts)
        for draft in drafts if request.plan is None else ():
            call_enqueue_hook(draft)
            if self._is_delayed(draft):
                delayed.append(draft)
            else:
                draft.job = self._run(draft)
        if delayed or request.messages:
            request.drafts = delayed
            proceed(request)
            request.drafts = drafts

    def _delayed_together(self, drafts: list[Draft]) -> list[Draft]:
        """Return all jobs of a workflow; or none, when none is to be delayed: then they have run, one after another."""
        for draft in drafts:
            call_enqueue_hook(draft)
        if any(self._is_delayed(draft) for draft in drafts):
            return drafts
        for draft in drafts:
            draft.job = self._run(draft)
        return []


def call_enqueue_hook(draft: Draft) -> None:
    """Let a class job change its draft."""
    hook = getattr(draft.instance, "enqueue", None)
    if hook is not None:
        hook(draft)
