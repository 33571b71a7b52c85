"""``tq.jobs``: edits from Python, with a worker beside them."""

from collections.abc import Callable
from datetime import datetime

import pytest

from tests.harness import happens, work, working
from tomqueue import JobContext, Priority, State, TomQueue
from tomqueue.errors import JobStateError, SettingsError
from tomqueue.jobs import Jobs


@pytest.fixture
def job(tq: TomQueue) -> int:
    """Give a job that waits in a queue of its own."""

    @tq.job(name="note", queue="unserved")
    def note() -> None: ...

    return note.enqueue().id


def test_a_priority_goes_through_the_map(tq: TomQueue, job: int) -> None:
    """As where a job is enqueued: by name, or by the application's own numbers."""
    tq.priority_map[1] = Priority.BULK
    assert tq.jobs.reprioritise(job, 1).priority is Priority.BULK
    assert tq.jobs.reprioritise(job, "low").priority is Priority.LOW
    assert tq.jobs.reprioritise(job, Priority.HIGH).priority is Priority.HIGH


def test_edits_count_while_a_worker_runs(tq: TomQueue, job: int) -> None:
    """A job that nobody serves is put off, moved to where a worker is, and runs when its time is brought forward."""
    with working(tq.tools(), queues=("served",)):
        tq.jobs.reschedule(job, delay=3600)
        assert tq.jobs.move(job, "served").state is State.SCHEDULED
        tq.jobs.reschedule(job, delay=0)
        assert happens(lambda: tq.jobs.count() == 0)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda jobs, job: jobs.reprioritise(job, "urgent"), "priority='urgent' is unknown: use one of high, normal"),
        (lambda jobs, job: jobs.move(job, "no/slash"), "queue='no/slash' must match"),
        (lambda jobs, job: jobs.move(job, 7), "queue=7 must be a str"),
        (lambda jobs, job: jobs.reschedule(job), "by run_at or by delay: give one of them"),
        (lambda jobs, job: jobs.reschedule(job, run_at=datetime(2999, 1, 1)), "has no time zone"),  # noqa: DTZ001
        (lambda jobs, job: jobs.reschedule(job, delay="soon"), "must be a number"),
    ],
)
def test_what_cannot_be_changes_nothing(
    tq: TomQueue, job: int, edit: Callable[[Jobs, int], object], message: str
) -> None:
    """One error that names it."""
    before = tq.jobs.get(job)
    with pytest.raises(SettingsError, match=message):
        edit(tq.jobs, job)
    assert tq.jobs.get(job) == before


@pytest.mark.parametrize(
    "edit",
    [
        lambda jobs, job: jobs.move(job, "other"),
        lambda jobs, job: jobs.reprioritise(job, "low"),
        lambda jobs, job: jobs.reschedule(job, delay=1),
    ],
)
def test_a_running_job_cannot_be_edited(tq: TomQueue, edit: Callable[[Jobs, int], object]) -> None:
    """The error says what to do instead."""
    heard: list[str] = []

    @tq.job(name="editing")
    def edits_itself(ctx: JobContext) -> None:
        try:
            edit(tq.jobs, ctx.id)
        except JobStateError as error:
            heard.append(str(error))

    edits_itself.enqueue()
    work(tq)
    assert [text.partition(": ")[2] for text in heard] == ["wait until it has ended, or cancel it first"]
