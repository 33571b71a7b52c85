"""What one is likely to write wrong at first is refused with what to write instead."""

from collections.abc import Callable
from typing import Any

import pytest

from tomqueue import TomQueue
from tomqueue.errors import DefinitionError, TomQueueError

tq: Any = TomQueue("sqlite:///never-opened.db")


def work(number: int = 1) -> None:
    """Stand for the application's."""


send = tq.job(name="send")(work)


@tq.job(name="Letter")
class Letter:
    """A job that is a class."""

    def process(self) -> None:
        """Do it."""


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda: tq.job(priorty="high"), "@tq.job: no option is called 'priorty': did you mean 'priority'?"),
        (lambda: tq.job(delay=3), "no option is called 'delay': say it at the enqueue: using(delay=…)"),
        (lambda: send.using(priorty=1), "an enqueue: no option is called 'priorty': did you mean 'priority'?"),
        (lambda: send.using(delay=1).using(dealy=1), "no option is called 'dealy': did you mean 'delay'?"),
        (lambda: send.using(rate="1/s"), "'rate': say it at the declaration: @tq.job(rate=…)"),
        (lambda: tq.enqueue(Letter(), nonsense=1), "no option is called 'nonsense': there are run_at, delay, priority"),
        (lambda: tq.delay(Letter(), prio=1), "no option is called 'prio': did you mean 'priority'?"),
        (
            lambda: tq.handle_asynchronously(rate="1/s")(work),
            "work: no option is called 'rate': rate is for jobs",
        ),
        (lambda: tq.enqueue(send), "<job send> is enqueued by its own method, with its arguments: .enqueue(…)"),
        (lambda: tq.enqueue(Letter), "Letter is a class: enqueue an instance, tq.enqueue(Letter(…))"),
        (lambda: tq.enqueue([send.prepare(1)]), "give several prepared calls to tq.enqueue_many(…)"),
        (lambda: tq.enqueue_many([send.prepare(1), send]), "item 2 is no prepared call: write work.prepare(…)"),
        (lambda: tq.enqueue_many(send.prepare(1)), "put them into a list, or use tq.enqueue(…)"),
    ],
)
def test_the_error_says_what_to_write(write: Callable[[], object], says: str) -> None:
    """And is one of TomQueue's own."""
    with pytest.raises(TomQueueError) as told:
        write()
    assert says in str(told.value)


def test_a_target_names_its_own_function() -> None:
    """Of which an option is wrong."""
    with pytest.raises(TypeError, match="target"):
        tq.target(sessio=1)
    with pytest.raises(DefinitionError, match=r"is not declared as a job: put @tq\.job above"):
        tq.enqueue(object())
