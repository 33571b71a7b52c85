"""A slot's interruption hits the job that it is meant for, once, and never the next one."""

import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tomqueue.errors import Interruption, JobCancelled, JobInterrupted, JobTimeout
from tomqueue.job import Claimed
from tomqueue.worker.attempt import Attempt
from tomqueue.worker.board import Board
from tomqueue.worker.slot import Slot, interrupt_main_thread, interrupt_thread
from tomqueue.worker.slots import raise_pending
from tomqueue.worker.timeout import Timeout

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def claimed(number: int) -> Claimed:
    """Return a claimed row."""
    return Claimed(
        number, "default", 1, "job", "{}", 1, None, NOW, NOW, None, 0, suspect=False, meta=None, tied=False, token=1
    )


@pytest.fixture
def board() -> Iterator[Board]:
    """Give a board."""
    made = Board.create()
    yield made
    made.close()


class Record:
    """An interrupter that only takes note."""

    def __init__(self) -> None:
        self.raised: list[type[Interruption] | None] = []

    def __call__(self, slot: Slot, interruption: type[Interruption] | None) -> None:
        self.raised.append(interruption)


def begin(slot: Slot, job: Claimed, attempts_left: int) -> None:
    """Let a slot deal with a job, and the job run."""
    slot.occupy(job, 3600, attempts_left)
    slot.arm(10, attempts_left)


def test_a_cancelled_job_has_no_time_left(board: Board) -> None:
    """So the supervisor kills it after the grace time; a time-out, whose time is over, and a drain change nothing."""
    job = claimed(1)
    for interruption in (JobTimeout, JobInterrupted, JobCancelled):
        slot = Slot(0, board, Record())
        begin(slot, job, 1)
        before = board.running()[0].deadline
        slot.interrupt(interruption, job)
        after = board.running()[0].deadline
        assert (after < before - 5) == (interruption is JobCancelled)
        assert after == pytest.approx(slot.deadline, abs=1e-5)
        slot.disarm()


def test_a_job_is_interrupted_once(board: Board) -> None:
    """The second interruption of the same job is refused; the end of the job takes the first one back."""
    record, job = Record(), claimed(1)
    slot = Slot(0, board, record)
    assert slot.interrupt(JobTimeout, job) is False
    begin(slot, job, 1)
    assert slot.interrupt(JobTimeout, job) is True
    assert slot.interrupt(JobInterrupted, job) is False
    slot.disarm()
    assert slot.interrupt(JobTimeout, job) is False
    assert record.raised == [JobTimeout, None]


def test_an_interruption_does_not_hit_the_next_job(board: Board) -> None:
    """What was decided about one job is refused when another runs by now."""
    record, first, second = Record(), claimed(1), claimed(2)
    slot = Slot(0, board, record)
    begin(slot, first, 1)
    slot.disarm()
    begin(slot, second, 1)
    assert slot.interrupt(JobTimeout, first) is False
    assert record.raised == []


def test_the_board_shows_what_runs(board: Board) -> None:
    """The supervisor sees the job from when it is dealt with until the turn is over."""
    slot = Slot(3, board, Record())
    begin(slot, claimed(7), 0)
    (running,) = board.running()
    assert (running.job, running.attempts, running.used_up, running.suspect) == (7, 1, True, False)
    assert running.deadline == pytest.approx(running.since + 10, abs=1)
    slot.disarm()
    assert [one.job for one in board.running()] == [7]  # its hooks may still run
    slot.vacate()
    assert board.running() == []


def test_a_sleep_in_the_main_thread_is_ended(board: Board) -> None:
    """The signal raises what is pending, and raises nothing once the job has ended."""
    slot = Slot(0, board, interrupt_main_thread)
    job = claimed(1)
    before = signal.signal(signal.SIGALRM, lambda _number, _frame: raise_pending(slot))
    try:
        begin(slot, job, 1)
        threading.Timer(0.01, slot.interrupt, (JobTimeout, job)).start()
        with pytest.raises(JobTimeout):
            time.sleep(60)
        slot.disarm()
        signal.raise_signal(signal.SIGALRM)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_python_code_in_a_thread_is_ended(board: Board) -> None:
    """A loop in a thread gets the interruption between two steps."""
    ended = threading.Event()
    slots: list[Slot] = []
    job = claimed(1)

    def run() -> None:
        slot = Slot(0, board, interrupt_thread)
        begin(slot, job, 1)
        slots.append(slot)
        try:
            while True:
                pass
        except JobTimeout:
            slot.disarm()
            ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    while not slots:
        time.sleep(0.001)
    slots[0].interrupt(JobTimeout, job)
    assert ended.wait(10)
    thread.join()


class Unlucky(Slot):
    """A slot that is interrupted at the worst moments: as it has just been armed, or is about to be disarmed."""

    at = ""

    def arm(self, limit: float, attempts_left: int) -> None:
        super().arm(limit, attempts_left)
        self._strike("armed")

    def disarm(self) -> None:
        self._strike("disarming")
        super().disarm()

    def _strike(self, moment: str) -> None:
        if self.at == moment:
            self.at = ""
            raise JobTimeout


def attempt_at(slot: Slot) -> Attempt:
    """Return an attempt whose job is loaded."""
    attempt = Attempt(slot)
    attempt.job = claimed(1)
    return attempt


def test_a_time_out_at_the_very_start_leaves_no_slot_armed(board: Board) -> None:
    """It is the job's time-out, and the slot is free afterwards."""
    slot = Unlucky(0, board, Record())
    slot.at = "armed"
    with pytest.raises(JobTimeout, match="max_run_time"):
        Timeout()(attempt_at(slot), lambda _: True)
    assert slot.job is None
    assert board.running() == []


def test_a_time_out_at_the_very_end_is_swallowed(board: Board) -> None:
    """A job that has ended has ended, and the slot is free."""
    slot = Unlucky(0, board, Record())
    slot.at = "disarming"
    assert Timeout()(attempt_at(slot), lambda _: True) is True
    assert slot.job is None
    assert board.running() == []


def test_a_time_out_as_an_error_ends_the_job_keeps_the_error(board: Board) -> None:
    """The job's own error is not replaced, and the slot is free."""
    slot = Unlucky(0, board, Record())
    slot.at = "disarming"

    def fail(_attempt: Attempt) -> bool:
        raise OSError("its own")

    with pytest.raises(OSError, match="its own"):
        Timeout()(attempt_at(slot), fail)
    assert slot.job is None
