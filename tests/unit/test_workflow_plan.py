"""What is said about a workflow, and the steps that it becomes."""

from collections.abc import Callable
from typing import Any

import pytest

from tomqueue import TomQueue, chain, group
from tomqueue.definition import Prepared, Step, plan_of, within, workflow_of
from tomqueue.definition.workflow import Item
from tomqueue.errors import EnqueueError

tq = TomQueue("sqlite:///never-opened.db")
other = TomQueue("sqlite:///never-opened.db")


@tq.job(name="send")
def send(number: int) -> None:
    """Do nothing."""


@other.job(name="theirs")
def theirs() -> None:
    """Do nothing."""


@other.job(name="send")
def their_send() -> None:
    """Do nothing."""


@tq.job(name="Letter")
class Letter:
    """A job class."""

    text: str

    def process(self) -> None:
        """Do nothing."""


def wrong(said: object) -> Any:
    """Return something that the type checker would refuse."""
    return said


def call(number: int) -> Prepared:
    """Return a call."""
    return send.prepare(number)


def posts(said: Item) -> list[tuple[int, int | None]]:
    """Return where each call stands."""
    assert not isinstance(said, Prepared)
    return [(post.step, post.waits_for) for post in plan_of(said).posts]


def test_each_link_of_a_chain_is_a_step_that_the_next_one_follows() -> None:
    """The first has its turn from the beginning; the others wait for their own."""
    plan = plan_of(chain(call(1), call(2), call(3)))
    assert [step.next_step for step in plan.steps] == [2, 3, None]
    assert [step.begun for step in plan.steps] == [True, False, False]
    assert posts(chain(call(1), call(2), call(3))) == [(1, None), (2, 2), (3, 3)]


def test_a_group_is_one_step_and_its_callbacks_are_steps_after_it() -> None:
    """``on_success`` is one more link; ``on_complete`` begins a chain of its own."""
    plan = plan_of(group(call(1), call(2), on_success=call(3), on_complete=call(4)))
    assert plan.steps == [
        Step(number=1, members=2, parent=None, next_step=3, complete_step=2, begun=True),
        Step(number=2, members=1, parent=None, next_step=None, complete_step=None, begun=False),
        Step(number=3, members=1, parent=None, next_step=None, complete_step=None, begun=False),
    ]
    assert [(post.step, post.waits_for) for post in plan.posts] == [(1, None), (1, None), (2, 2), (3, 3)]


def test_a_chain_in_a_group_counts_as_one_member_of_it() -> None:
    """Its steps have smaller numbers than the group's; its first job waits for what the group waits for."""
    plan = plan_of(chain(call(0), group(chain(call(1), call(2)), call(3))))
    assert [(step.number, step.members, step.parent, step.next_step) for step in plan.steps] == [
        (1, 1, None, 4),
        (2, 1, 4, 3),
        (3, 1, 4, None),
        (4, 2, None, None),
    ]
    assert [(post.step, post.waits_for) for post in plan.posts] == [(1, None), (2, 4), (3, 3), (4, 4)]


def test_a_chain_in_a_chain_is_its_links() -> None:
    """Nothing is gained by a step around them."""
    assert posts(chain(call(1), chain(call(2), call(3)))) == posts(chain(call(1), call(2), call(3)))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (chain, r"chain\(\) is empty: give it at least one prepared call"),
        (group, r"group\(\) is empty"),
        (lambda: chain(call(1), wrong(send)), r"chain: item 2 is no prepared call: write send.prepare\(…\)"),
        (lambda: chain(wrong(send.using(queue="slow"))), r"is no prepared call: write .*prepare\(…\)"),
        (lambda: group(wrong([call(1)])), r"it is a list: put a star before it, as in group\(\*calls\)"),
        (lambda: group(wrong(print)), r"put @tq.job above print, and write print.prepare\(…\)"),
        (lambda: chain(wrong(Letter)), r"write tq.prepare\(Letter\(…\)\)"),
        (lambda: chain(wrong(wrong(Letter)("a"))), r"if Letter is a job, write tq.prepare\(…\)"),
        (lambda: chain(wrong(None)), "item 1 is no prepared call: it is None"),
        (lambda: group(call(1), on_success=wrong(send)), r"group: on_success is no prepared call: write send.prepare"),
        (lambda: group(call(1), on_complete=wrong("send")), "group: on_complete is no prepared call: it is 'send'"),
        (lambda: chain(send.using(session=object()).prepare(1)), "item 1, send, names a transaction of its own"),
        (lambda: tq.enqueue(chain(call(1), theirs.prepare())), "theirs .* is no job of this TomQueue: no job"),
        (lambda: tq.enqueue(group(call(1), on_success=their_send.prepare())), "is a job of another TomQueue: here"),
        (lambda: tq.enqueue_many([wrong(chain(call(1)))]), "enqueue a chain or group by tq.enqueue"),
        (lambda: tq.enqueue(chain(call(1)), session=object(), connection=object()), "are both given"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_where_it_is_written(write: Callable[[], object], message: str) -> None:
    """One error that names it and the cure; no database is opened for it."""
    with pytest.raises(EnqueueError, match=message):
        write()


def test_a_workflow_has_no_options_of_its_own() -> None:
    """They are those of its jobs."""
    with pytest.raises(TypeError, match=r"queue is no option of a workflow: give it to using\(\) of its jobs"):
        tq.enqueue(chain(call(1)), queue="slow")


def test_a_job_knows_its_workflow_beside_what_a_layer_wrote() -> None:
    """In its meta; what is no JSON object stays as it is."""
    assert workflow_of(within(None, 7)) == 7
    assert within('{"tenant":"a"}', 7) == '{"tenant":"a","workflow":7}'
    assert within("tenant a", 7) == "tenant a"
    assert workflow_of("tenant a") is workflow_of(None) is workflow_of('{"tenant":"a"}') is None
