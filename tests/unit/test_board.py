"""The board: what a worker process and its supervisor share."""

import os
from collections.abc import Iterator

import pytest

from tomqueue.service import boot_time
from tomqueue.worker.board import MAX_CLAIMS, MAX_HANDED, MAX_SLOTS, Board


@pytest.fixture
def board() -> Iterator[Board]:
    """Give the worker's side."""
    made = Board.create()
    yield made
    made.close()


@pytest.fixture
def supervisor(board: Board) -> Iterator[Board]:
    """Give the supervisor's side of the same memory."""
    seen = Board(os.dup(board.descriptor))
    yield seen
    seen.close()


def test_claims_are_seen_by_the_other_side(board: Board, supervisor: Board) -> None:
    """An id that was recorded twice is one entry, and stays until it was forgotten twice."""
    board.record([1, 2, 3, 2])
    assert sorted(supervisor.claims()) == [1, 2, 3]
    assert not board.empty
    board.forget(2)
    board.forget(2)
    assert sorted(supervisor.claims()) == [1, 3]
    board.forget(1)
    board.forget(3)
    assert (supervisor.claims(), board.empty) == ([], True)


def test_there_is_room_for_many_claims(board: Board, supervisor: Board) -> None:
    """And each place is used again."""
    ids = range(1, MAX_CLAIMS + 1)
    for _ in range(2):
        board.record(ids)
        assert board.room == 0
        assert sorted(supervisor.claims()) == list(ids)
        for job in ids:
            board.forget(job)
        assert board.room == MAX_CLAIMS


def test_slots_show_what_runs(board: Board, supervisor: Board) -> None:
    """Job, times, attempts and suspicion; starts are counted."""
    before = boot_time()
    last = MAX_SLOTS - 1
    board.start(0, 7, before + 60, 2, 1, suspect=False)
    board.start(last, 2**62, float("1e30"), 25, 0, suspect=True)
    first, second = supervisor.running()
    assert (first.job, first.attempts, first.used_up, first.suspect) == (7, 2, False, False)
    assert (second.job, second.attempts, second.used_up, second.suspect) == (2**62, 25, True, True)
    assert before - 0.001 <= first.since <= boot_time()
    assert first.deadline == pytest.approx(before + 60, abs=0.001)
    board.stop(0)
    board.stop(last)
    assert (supervisor.running(), supervisor.started) == ([], 2)


def test_the_lease_is_the_supervisors_to_write(board: Board, supervisor: Board) -> None:
    """A new board's lease never ends; past its end the worker has none."""
    assert board.has_lease()
    supervisor.lease_until = boot_time() - 0.001
    assert not board.has_lease()
    supervisor.lease_until = boot_time() + 60
    assert board.has_lease()
    supervisor.lease_until = float("1e30")
    assert board.has_lease()


def test_states_are_shared(board: Board, supervisor: Board) -> None:
    """Ready, and by when to end."""
    assert (supervisor.ready, board.drain_by) == (False, 0)
    board.ready = True
    supervisor.drain_by = 12.5
    assert (supervisor.ready, board.drain_by) == (True, 12.5)


def test_handed_ids_are_taken_once(board: Board, supervisor: Board) -> None:
    """They stay on the board until the worker has tried to claim them."""
    assert board.take_handed() == []
    assert supervisor.hand(7)
    assert supervisor.hand(8)
    assert sorted(board.take_handed()) == [7, 8]
    assert board.take_handed() == []
    assert sorted(supervisor.handed()) == [7, 8]
    board.handed_done([7])
    assert supervisor.handed() == [8]


def test_what_does_not_fit_is_not_handed(board: Board, supervisor: Board) -> None:
    """The supervisor learns of it, and frees the row another way."""
    assert all(supervisor.hand(job) for job in range(1, MAX_HANDED + 1))
    assert not supervisor.hand(999)
    board.handed_done([5])
    assert supervisor.hand(999)


def test_a_row_that_is_claimed_again_stays_when_its_first_claim_is_forgotten() -> None:
    """Given back and taken anew before the giving back is settled: the second claim is still on the board."""
    board = Board.create()
    board.record([7])
    board.record([7])
    board.forget(7)
    assert board.claims() == [7]
    board.forget(7)
    assert board.claims() == []
    board.close()
