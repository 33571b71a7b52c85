"""``tq.jobs.where(…)``: many jobs changed from Python, as the command does it."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.harness import change
from tomqueue import Job, Priority, State, TomQueue
from tomqueue.errors import JobStateError, SettingsError
from tomqueue.jobs import Selection

OLD = timedelta(hours=1)


@pytest.fixture
def ids(tq: TomQueue) -> list[int]:
    """Give six jobs: two ready, one scheduled, one failed, one running, and one old in another queue."""

    @tq.job(name="note", queue="mailers")
    def note() -> None: ...

    made = [note.enqueue().id for _ in range(5)] + [note.using(queue="other").enqueue().id]
    now = tq.tools().store.now()
    change(tq, made[2], run_at=now + OLD, announced_at=None)
    change(tq, made[3], failed_at=now, announced_at=None)
    change(tq, made[4], locked_by=1, claim_token=1, locked_at=now)
    change(tq, made[5], created_at=now - 2 * OLD)
    return made


def states(tq: TomQueue, ids: list[int]) -> str:
    """Return the first letters of their states; a dot is a job that is gone."""
    found = {job.id: job.state for job in tq.jobs.list(limit=None)}
    return "".join(str(found[job_id])[:2] if job_id in found else "." for job_id in ids)


def test_conditions_are_joined(tq: TomQueue, ids: list[int]) -> None:
    """As those of the command; nothing is read before it is asked for."""
    waiting = tq.jobs.where(queue="mailers", state="ready")
    assert waiting.count() == 2
    tq.jobs.cancel(ids[0])
    assert waiting.count() == 1
    assert tq.jobs.where(older_than=OLD).count() == 1
    assert tq.jobs.where(name="other").count() == 0
    assert tq.jobs.where().count() == 6


@pytest.mark.parametrize(
    ("act", "number"),
    [
        (lambda jobs: jobs.where().retry(), 1),
        (lambda jobs: jobs.where(queue="mailers").cancel(), 3),
        (lambda jobs: jobs.where(older_than=OLD).delete(), 1),
        (lambda jobs: jobs.where().delete(), 5),
        (lambda jobs: jobs.where(state="running").cancel(), 1),
        (lambda jobs: jobs.where(state=State.SCHEDULED).retry(), 1),
    ],
)
def test_what_is_meant_without_a_state(tq: TomQueue, ids: list[int], act: Callable[[object], int], number: int) -> None:
    """Retry: the failed ones. Cancel: those that wait. Delete: all that do not run."""
    assert act(tq.jobs) == number
    assert tq.jobs.get(ids[4]).state is State.RUNNING


def test_edits(tq: TomQueue, ids: list[int]) -> None:
    """Of what waits, unless a state is named; each says how many."""
    tq.priority_map[7] = Priority.BULK
    assert tq.jobs.where(queue="mailers").reprioritise(7) == 3
    assert tq.jobs.where(state="failed").reprioritise("high") == 1
    assert [str(tq.jobs.get(job_id).priority) for job_id in ids] == ["bulk"] * 3 + ["high", "normal", "normal"]
    assert tq.jobs.where(name="note").reschedule(delay=OLD) == 4
    assert states(tq, ids) == "scscscfarusc"
    sizes: list[int] = []
    assert tq.jobs.where(state="scheduled", queue="mailers").move("slow", progress=sizes.append) == 3
    assert sizes == [3]
    assert tq.jobs.where(queue="slow").count() == 3


def test_no_job_is_changed_twice(tq: TomQueue, ids: list[int]) -> None:
    """What a new time brings into the state of the next part is not put off again."""
    assert tq.jobs.where().reschedule(delay=0) == 4
    assert states(tq, ids) == "rererefarure"


def test_cancelled_jobs_are_told_of(tq: TomQueue, ids: list[int]) -> None:
    """Those that waited; of one that runs its worker tells."""
    told: list[int] = []

    def hear(job: Job) -> None:
        told.append(job.id)

    tq.on("job.cancelled", hear)
    tq.jobs.where().cancel()
    tq.jobs.where(state="running").cancel()
    assert sorted(told) == [ids[0], ids[1], ids[2], ids[5]]
    assert tq.jobs.get(ids[4]).cancelled_at is not None


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda jobs: jobs.delete(), JobStateError, "a running job cannot be deleted"),
        (lambda jobs: jobs.retry(), JobStateError, "a running job cannot be retried"),
        (lambda jobs: jobs.move("slow"), JobStateError, "a running job cannot be moved"),
        (lambda jobs: jobs.reprioritise("urgent"), SettingsError, "priority='urgent' is unknown"),
        (lambda jobs: jobs.move("no/slash"), SettingsError, "queue='no/slash' must match"),
        (lambda jobs: jobs.reschedule(), SettingsError, "by run_at or by delay"),
    ],
)
def test_what_cannot_be_changes_nothing(
    tq: TomQueue, ids: list[int], act: Callable[[Selection], int], error: type[Exception], message: str
) -> None:
    """One error that names it."""
    before = states(tq, ids)
    with pytest.raises(error, match=message):
        act(tq.jobs.where(state="running"))
    assert states(tq, ids) == before


def test_a_state_that_there_is_not(tq: TomQueue) -> None:
    """As in ``list``."""
    with pytest.raises(SettingsError, match="state='urgent' is unknown: use one of failed, running"):
        tq.jobs.where(state="urgent")
