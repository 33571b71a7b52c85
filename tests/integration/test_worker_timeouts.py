"""``max_run_time``: a job that hangs is interrupted, wherever it hangs, and the worker goes on."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.harness import record_events, row, work
from tomqueue import JobTimeout, TomQueue

SHORT = 0.05
HOPELESS = 60.0
"""Longer than any test: who waits for so long was not interrupted."""


def in_sleep() -> None:
    """Hang in the kernel."""
    time.sleep(HOPELESS)  # it hangs here


def in_socket() -> None:
    """Hang in a blocking read."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.recv(1)  # it hangs here


def in_python() -> None:
    """Hang in a loop."""
    until = time.monotonic() + HOPELESS
    while time.monotonic() < until:  # it hangs here
        pass  # it hangs here


def in_lock() -> None:
    """Hang in a lock."""
    threading.Event().wait(HOPELESS)  # it hangs here


@pytest.mark.parametrize("hang", [in_sleep, in_socket, in_python, in_lock])
def test_a_job_that_hangs_is_interrupted(tq: TomQueue, hang: Callable[[], None]) -> None:
    """The attempt is charged, the text names the line, and the next job runs."""
    ran = []

    @tq.job(max_run_time=SHORT)
    def hanging() -> None:
        hang()

    @tq.job
    def next_one() -> None:
        ran.append(1)

    job = hanging.enqueue()
    next_one.enqueue()
    seen = record_events(tq)
    work(tq)
    found = row(tq, job.id)
    assert (found.attempts, found.locked_by, ran) == (1, None, [1])
    assert "JobTimeout: ran longer than its max_run_time of 0.05 s" in found.last_error
    assert f"in {hang.__name__}" in found.last_error
    assert "it hangs here" in found.last_error
    assert seen.count("job.retried") == 1


def test_a_job_in_a_thread_is_interrupted(tq: TomQueue) -> None:
    """With several slots, Python code is interrupted in its thread; the neighbours are not."""
    ran = []

    @tq.job(max_run_time=SHORT)
    def hanging() -> None:
        in_python()

    @tq.job
    def next_one() -> None:
        ran.append(1)

    jobs = [hanging.enqueue() for _ in range(2)]
    for _ in range(5):
        next_one.enqueue()
    work(tq, threads=2)
    assert len(ran) == 5
    for job in jobs:
        assert "it hangs here" in row(tq, job.id).last_error


def test_a_coroutine_is_cancelled(tq: TomQueue) -> None:
    """It can clean up, and the text names the await where it hung."""
    cleaned = []

    @tq.job(max_run_time=SHORT)
    async def hanging() -> None:
        try:
            await asyncio.sleep(HOPELESS)  # it hangs here
        finally:
            await asyncio.sleep(0)
            cleaned.append(1)

    job = hanging.enqueue()
    work(tq)
    assert cleaned == [1]
    text = row(tq, job.id).last_error
    assert "JobTimeout" in text
    assert "it hangs here" in text


def test_a_job_may_only_lower_the_limit(tq: TomQueue) -> None:
    """An instance's ``max_run_time`` counts when it is lower, as in Delayed::Job."""

    @tq.job(name="slow", max_run_time=HOPELESS)
    class Slow:
        def process(self) -> None:
            in_sleep()

        def max_run_time(self) -> float:
            return SHORT

    job = tq.enqueue(Slow())
    work(tq)
    assert "max_run_time of 0.05 s" in row(tq, job.id).last_error


def test_a_job_that_catches_everything_cannot_swallow_it(tq: TomQueue) -> None:
    """``except Exception`` does not hold a time-out back."""

    @tq.job(max_run_time=SHORT)
    def greedy() -> None:
        while True:
            with suppress(Exception):
                in_sleep()

    job = greedy.enqueue()
    work(tq)
    assert "JobTimeout" in row(tq, job.id).last_error


def test_the_reporter_hears_of_a_time_out(tq: TomQueue) -> None:
    """A time-out is an error of the job like any other."""
    heard: list[BaseException] = []
    tq.exception_reporter = type("Reporter", (), {"notify": staticmethod(heard.append)})()

    @tq.job(max_run_time=SHORT)
    def hanging() -> None:
        in_sleep()

    hanging.enqueue()
    work(tq)
    assert [type(error) for error in heard] == [JobTimeout]


@pytest.mark.usefixtures("hasty_threads")
@pytest.mark.parametrize("threads", [1, 3])
def test_a_time_out_as_the_job_ends_does_no_harm(tq: TomQueue, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of jobs that run about as long as they may, each finishes once or is retried, and none is lost."""
    monkeypatch.setattr("tomqueue.worker.housekeeper.TICK", 0.0005)
    limit = 0.003
    ended: list[int] = []
    innocent: list[int] = []

    @tq.job(max_run_time=limit, max_attempts=1)
    def close_call(number: int, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pass
        ended.append(number)

    @tq.job
    def quick(number: int) -> None:
        innocent.append(number)

    finished: list[int] = []
    failed: list[int] = []
    tq.on("job.finished", lambda job: finished.append(job.id))
    tq.on("job.failed", lambda job, error: failed.append(job.id))
    near = [limit * (0.8 + 0.4 * number / 200) for number in range(200)]
    calls = [close_call.prepare(number, seconds) for number, seconds in enumerate(near)]
    calls += [quick.prepare(number) for number in range(200)]
    calls[::2], calls[1::2] = calls[:200], calls[200:]
    jobs = tq.enqueue_many(calls)
    work(tq, threads=threads)
    assert sorted(innocent) == list(range(200))
    assert sorted(finished + failed) == [job.id for job in jobs]
    assert len(set(ended)) == len(ended)
    left = {job.id for job in tq.jobs.list(limit=None)}
    assert left == set(failed)
    assert all(job.locked_by is None and "JobTimeout" in str(job.last_error) for job in tq.jobs.list(limit=None))
