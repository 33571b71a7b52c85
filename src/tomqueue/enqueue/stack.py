"""The enqueue stack: what happens to a call, outermost first. This list is the documentation."""

from tomqueue.enqueue.inline import Inline
from tomqueue.enqueue.persist import Persist
from tomqueue.enqueue.publish import Publish
from tomqueue.enqueue.request import Request
from tomqueue.stack import Stack

__all__ = ["ENQUEUE_LAYERS", "enqueue_stack"]

ENQUEUE_LAYERS = ("Inline", "Persist", "Publish")


def enqueue_stack(inline: Inline, persist: Persist, publish: Publish) -> Stack[Request, None]:
    """Return the stack."""
    return Stack(
        inline,   # run at once what is not to be delayed
        persist,  # write the rows
        publish,  # send the news, after the commit
        core=lambda _request: None,
    )  # fmt: skip
