"""Tasks in Celery's way: declared and called as there, run as jobs. Celery is not installed here."""

import importlib.util
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.harness import pause_of, row, work
from tomqueue import JobContext, Priority, TomQueue
from tomqueue.contrib.celery import CeleryTasks
from tomqueue.errors import ArgumentsError, DefinitionError, EnqueueError

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
calls: list[tuple[Any, ...]] = []


@pytest.fixture
def tasks(tq: TomQueue) -> CeleryTasks:
    """Give what declares tasks."""
    calls.clear()
    return CeleryTasks(tq)


def test_celery_is_not_needed() -> None:
    """It is not even there."""
    assert importlib.util.find_spec("celery") is None


def test_a_task_is_called_as_in_celery(tq: TomQueue, tasks: CeleryTasks) -> None:
    """At once, by ``delay``, and by ``apply_async`` with its terms; the context is TomQueue's."""

    @tasks.shared_task
    def add(left: int, right: int = 0) -> int:
        """Add up."""
        calls.append((left, right))
        return left + right

    @tasks.shared_task(name="report", queue="slow", priority=9)
    def report(ctx: JobContext, month: str) -> None:
        calls.append((ctx.name, ctx.queue, ctx.priority, month))

    assert add(1, 2) == 3
    assert (add.__name__, add.__doc__, report.name) == ("add", "Add up.", "report")
    calls.clear()
    add.delay(3, right=4)
    add.apply_async((5,), {"right": 6}, queue="mailers", priority=8)
    report.delay("may")
    later = add.apply_async(args=[7], countdown=timedelta(minutes=1))
    at = add.apply_async([8], eta=NOON)
    work(tq)
    assert sorted(calls, key=str) == [("report", "slow", "high", "may"), (3, 4), (5, 6)]
    assert pause_of(tq, later.id) == pytest.approx(60, abs=1)
    assert tq.jobs.get(at.id).run_at == NOON


def test_only_named_errors_are_tried_again(tq: TomQueue, tasks: CeleryTasks) -> None:
    """Three times, after three minutes, unless the task says otherwise: Celery's defaults."""

    @tasks.shared_task(autoretry_for=(OSError,))
    def flaky(error: str) -> None:
        raise OSError if error == "os" else ValueError

    again, final = flaky.delay("os"), flaky.delay("value")
    work(tq)
    assert row(tq, again.id).attempts == 1
    assert pause_of(tq, again.id) == pytest.approx(180, abs=1)
    assert row(tq, final.id).failed_at is not None
    assert flaky.job.options.max_attempts == 4


@pytest.mark.parametrize(
    ("most_urgent", "expected"),
    [
        (9, ["bulk", "bulk", "bulk", "low", "low", "normal", "normal", "high", "high", "high"]),
        (0, ["high", "high", "high", "normal", "normal", "low", "low", "bulk", "bulk", "bulk"]),
    ],
)
def test_numbers_become_priorities(tq: TomQueue, most_urgent: int, expected: list[str]) -> None:
    """In one direction with RabbitMQ, in the other with Redis; without a number it is the queue's or the usual one."""
    tasks = CeleryTasks(tq, most_urgent=most_urgent)

    @tasks.shared_task
    def task() -> None: ...

    assert [task.apply_async(priority=number).priority for number in range(10)] == expected
    assert task.delay().priority is Priority.NORMAL


def test_time_limits_and_retries(tasks: CeleryTasks) -> None:
    """The soft limit is what is raised in the task; without one it is the hard one."""

    def task() -> None: ...

    soft = tasks.shared_task(name="soft", soft_time_limit=5, time_limit=9, max_retries=0, ignore_result=True)(task)
    hard = tasks.shared_task(name="hard", time_limit=9, default_retry_delay=1)(task)
    assert (soft.job.options.max_run_time, soft.job.options.max_attempts) == (5, 1)
    assert (hard.job.options.max_run_time, hard.job.options.backoff) == (9, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bind": True}, "bind=True gives Celery's task: take a JobContext"),
        ({"rate_limit": "10/m"}, r"shared_task\(rate_limit=…\) means nothing here"),
        ({"max_retries": None}, "max_retries=None: say a number"),
        ({"priority": 10}, "priority=10: Celery's priorities are the numbers 0 to 9"),
        ({"priority": "high"}, "priority='high': Celery's priorities"),
        ({"time_limit": -1}, "max_run_time=-1 must be between"),
    ],
)
def test_what_cannot_be_taken_over_is_refused(tasks: CeleryTasks, options: dict[str, Any], message: str) -> None:
    """At the declaration."""

    def task() -> None: ...

    with pytest.raises(DefinitionError, match=message):
        tasks.shared_task(name="task", **options)(task)


def test_arguments_and_errors_are_sequences(tasks: CeleryTasks) -> None:
    """As in Celery."""
    task: Any = tasks.shared_task(name="echo")(lambda number: number)
    with pytest.raises(EnqueueError, match=r"apply_async\(args=7\): give a list or a tuple"):
        task.apply_async(7)
    wrong: Any = OSError
    with pytest.raises(DefinitionError, match=r"autoretry_for=.*OSError.*: give a tuple of exception classes"):
        tasks.shared_task(autoretry_for=wrong)(lambda: None)


def test_what_tasks_do_not_have_is_told_with_what_to_write(tasks: CeleryTasks) -> None:
    """Celery's canvas above all: a workflow is of prepared calls."""

    @tasks.shared_task
    def add(left: int) -> None: ...

    task: Any = add
    with pytest.raises(AttributeError, match=r"Task has no 's': .* write tq.enqueue\(chain\(one.job.prepare"):
        task.s(1)
    with pytest.raises(AttributeError, match="see the page on coming from Celery"):
        task.subtask(1)


def test_wrong_calls_are_refused(tq: TomQueue, tasks: CeleryTasks) -> None:
    """With TomQueue's own checks of arguments and terms."""

    @tasks.shared_task(name="add")
    def add(left: int) -> None: ...

    with pytest.raises(ArgumentsError, match="add: argument 'left'"):
        add.delay("x")  # type: ignore[arg-type]
    with pytest.raises(EnqueueError, match=r"add: apply_async\(link=…\) means nothing here"):
        add.apply_async((1,), link=add)  # type: ignore[call-arg]
    with pytest.raises(EnqueueError, match="run_at and delay are both given"):
        add.apply_async((1,), countdown=5, eta=NOON)
    with pytest.raises(EnqueueError, match="has no time zone"):
        add.apply_async((1,), eta=NOON.replace(tzinfo=None))
    with pytest.raises(EnqueueError, match="priority=11"):
        add.apply_async((1,), priority=11)
    with pytest.raises(DefinitionError, match="most_urgent=5"):
        CeleryTasks(tq, most_urgent=5)
    assert tq.jobs.count() == 0
