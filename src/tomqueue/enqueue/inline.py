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
        for draft in drafts:
            hook = getattr(draft.instance, "enqueue", None)
            if hook is not None:
                hook(draft)
            if self._is_delayed(draft):
                delayed.append(draft)
            else:
                draft.job = self._run(draft)
        if delayed or request.messages:
            request.drafts = delayed
            proceed(request)
            request.drafts = drafts
