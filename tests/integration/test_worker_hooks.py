"""Hooks of class jobs and lifecycle events, in Delayed::Job's order."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.harness import Reporter, record_events, row, work
from tomqueue import JobContext, State, TomQueue

calls: list[str] = []
"""The hooks that were called; ``broken`` raise."""
broken: dict[str, BaseException] = {}


@pytest.fixture(autouse=True)
def _fresh() -> None:
    calls.clear()
    broken.clear()


def called(name: str) -> None:
    """Take note of a call."""
    calls.append(name)
    if name in broken:
        raise broken[name]


class Chatty:
    """Has every hook."""

    succeeds: bool = True

    def enqueue(self, draft: Any) -> None:
        called("enqueue")

    def before(self, job: JobContext) -> None:
        called("before")

    def process(self) -> None:
        called("process")
        if not self.succeeds:
            raise OSError("its own error")

    def success(self, job: JobContext) -> None:
        called("success")

    def error(self, job: JobContext, error: BaseException) -> None:
        called(f"error {type(error).__name__}")

    def after(self, job: JobContext) -> None:
        called("after")

    def failure(self, job: JobContext) -> None:
        called("failure")


def run(tq: TomQueue, *, succeeds: bool = True, max_attempts: int = 25) -> int:
    """Enqueue one and run it."""
    kind: Any = tq.job(type("Chatty", (Chatty,), {"__annotations__": {"succeeds": bool}, "succeeds": True}))
    job = tq.enqueue(kind(succeeds), max_attempts=max_attempts)
    work(tq)
    return int(job.id)


def test_hooks_of_a_success(tq: TomQueue) -> None:
    """Enqueue, before, process, success, after."""
    run(tq)
    assert calls == ["enqueue", "before", "process", "success", "after"]


def test_hooks_of_an_error(tq: TomQueue) -> None:
    """While attempts are left, ``failure`` is not called."""
    run(tq, succeeds=False)
    assert calls == ["enqueue", "before", "process", "error OSError", "after"]


def test_hooks_of_a_failure(tq: TomQueue) -> None:
    """At the last attempt ``failure`` comes after all others."""
    run(tq, succeeds=False, max_attempts=1)
    assert calls == ["enqueue", "before", "process", "error OSError", "after", "failure"]


def test_a_before_hook_that_raises_is_the_jobs_error(tq: TomQueue) -> None:
    """The work is not done; error and after are called."""
    broken["before"] = ValueError("not now")
    job = run(tq)
    assert calls == ["enqueue", "before", "error ValueError", "after"]
    assert "ValueError: not now" in row(tq, job).last_error


def test_an_enqueue_hook_that_raises_stops_the_enqueue(tq: TomQueue) -> None:
    """The caller gets the error, and there is no row."""
    broken["enqueue"] = ValueError("full")
    with pytest.raises(ValueError, match="full"):
        run(tq)
    assert tq.jobs.list() == []


@pytest.mark.parametrize("raised", [ValueError("in a hook"), SystemExit(1)])
@pytest.mark.parametrize("name", ["success", "after"])
def test_a_hook_that_raises_after_success_does_not_fail_the_job(
    tq: TomQueue, reporter: Reporter, name: str, raised: BaseException
) -> None:
    """It is reported, and the row is gone."""
    broken[name] = raised
    job = run(tq)
    assert row(tq, job) is None
    assert reporter.errors == [raised]
    assert calls == ["enqueue", "before", "process", "success", "after"]


@pytest.mark.parametrize("raised", [ValueError("in a hook"), SystemExit(1)])
@pytest.mark.parametrize("name", ["error OSError", "after", "failure"])
def test_a_hook_that_raises_after_an_error_hides_nothing(
    tq: TomQueue, reporter: Reporter, name: str, raised: BaseException
) -> None:
    """The job keeps its own error and fails; both errors are reported."""
    broken[name] = raised
    job = run(tq, succeeds=False, max_attempts=1)
    assert tq.jobs.get(job).state is State.FAILED
    assert "its own error" in row(tq, job).last_error
    assert [type(error) for error in reporter.errors] in ([type(raised), OSError], [OSError, type(raised)])
    assert calls == ["enqueue", "before", "process", "error OSError", "after", "failure"]


@contextmanager
def told(tq: TomQueue) -> Iterator[list[str]]:
    """Give the events that are told meanwhile."""
    seen = record_events(tq)
    yield seen


@pytest.mark.parametrize(
    ("succeeds", "max_attempts", "last"),
    [(True, 25, "job.finished"), (False, 25, "job.retried"), (False, 1, "job.failed")],
)
def test_events_in_their_order(tq: TomQueue, succeeds: bool, max_attempts: int, last: str) -> None:
    """Enqueued, then the worker starts, runs and stops."""
    with told(tq) as seen:
        run(tq, succeeds=succeeds, max_attempts=max_attempts)
    assert seen == ["job.enqueued", "worker.started", "job.started", last, "worker.stopped"]


@pytest.mark.parametrize("raised", [ValueError("observer"), SystemExit(1)])
def test_an_observer_that_raises_is_reported(tq: TomQueue, reporter: Reporter, raised: BaseException) -> None:
    """It changes nothing about the job or the worker."""

    def observe(**_details: object) -> None:
        raise raised

    for event in ("job.started", "job.finished", "worker.started"):
        tq.on(event, observe)
    assert row(tq, run(tq)) is None
    assert raised in reporter.errors
