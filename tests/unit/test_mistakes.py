"""What one is likely to write wrong at first is refused with what to write instead."""

from collections.abc import Callable
from typing import Any

import pytest

from tomqueue import TomQueue
from tomqueue.errors import DefinitionError, SettingsError, TomQueueError

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


ACTS = ("get", "arguments", "errors", "progress", "retry", "cancel", "reschedule", "delete", "publish")


@pytest.mark.parametrize(
    "ask",
    [
        *(getattr(tq.jobs, act) for act in ACTS),
        lambda wrong: tq.jobs.move(wrong, "mailers"),
        lambda wrong: tq.jobs.reprioritise(wrong, "high"),
        *(getattr(tq.history, act) for act in ("get", "errors", "arguments")),
        *(getattr(tq.workflows, act) for act in ("get", "jobs", "cancel")),
        tq.results.get,
    ],
)
@pytest.mark.parametrize("wrong", ["3abc", "3", True, None, 2**63])
def test_an_id_is_a_number(ask: Callable[[object], object], wrong: object) -> None:
    """MySQL would take "3abc" for job 3, and delete that."""
    with pytest.raises(SettingsError, match=r"(job|workflow)_id=.* must be (a whole number|at most)"):
        ask(wrong)


def test_a_result_is_waited_for_in_seconds() -> None:
    """Or as long as it takes."""
    with pytest.raises(SettingsError, match="timeout='x' must be a number"):
        tq.results.get(1, timeout="x")
    with pytest.raises(SettingsError, match="timeout=-1 must be between 0 and"):
        tq.results.get(1, timeout=-1)


def test_a_target_names_its_own_function() -> None:
    """Of which an option is wrong."""
    with pytest.raises(TypeError, match="target"):
        tq.target(sessio=1)
    with pytest.raises(DefinitionError, match=r"is not declared as a job: put @tq\.job above"):
        tq.enqueue(object())
