"""What becomes of the rows of a process that died."""

from datetime import UTC, datetime, timedelta

import pytest

from tomqueue.daemon.deaths import Cause, Death, fates, reason_of
from tomqueue.store.leases import Fate
from tomqueue.worker.board import MESSAGE, Board, SlotState

NOW = datetime(2030, 1, 1, tzinfo=UTC)
CAP = 3600.0


def running(*jobs: int, suspect: bool = False, attempts: int = 1, left: int = 1) -> list[SlotState]:
    """Return what a board says of jobs that run."""
    board = Board.create()
    for slot, job in enumerate(jobs):
        board.start(slot, job, 1e9, attempts, left, suspect=suspect)
    found = board.running()
    board.close()
    return found


def fate_of(cause: Cause, slots: list[SlotState], claims: tuple[int, ...] = (), overran: int = 0) -> dict[int, Fate]:
    """Return the fate of each row."""
    death = Death(cause=cause, reason="was killed", running=slots, claims=claims, overran=frozenset({overran}))
    return {row.id: row.fate for row in fates(death, NOW, CAP)}


def test_the_one_that_ran_is_charged() -> None:
    """What was only claimed is given back."""
    assert fate_of(Cause.CRASHED, running(7), (7, 8)) == {7: Fate.CRASHED, 8: Fate.REFUND}


@pytest.mark.parametrize("suspect", [False, True])
def test_nobody_is_charged_when_several_ran(suspect: bool) -> None:
    """Each runs alone the next time; only then is it known who it was."""
    assert fate_of(Cause.CRASHED, running(7, 8, suspect=suspect)) == {7: Fate.SUSPECT, 8: Fate.SUSPECT}


def test_a_message_has_no_row_and_is_as_suspect_as_a_job() -> None:
    """It comes again by itself; a job that ran beside it runs alone the next time."""
    assert fate_of(Cause.CRASHED, running(MESSAGE), (7,)) == {7: Fate.REFUND}
    assert fate_of(Cause.CRASHED, running(MESSAGE, 8)) == {8: Fate.SUSPECT}
    assert fate_of(Cause.OVERRAN, running(MESSAGE, 8), overran=MESSAGE) == {8: Fate.REFUND}


def test_an_end_on_purpose_charges_nobody() -> None:
    """A drain, a lost lease."""
    assert fate_of(Cause.TOLD, running(7, 8), (9,)) == {7: Fate.REFUND, 8: Fate.REFUND, 9: Fate.REFUND}


def test_the_one_that_ran_too_long_waits_for_its_back_off() -> None:
    """Its neighbours do not; after thousands of attempts the pause is still the cap."""
    slots = running(7, 8, attempts=5000)
    assert fate_of(Cause.OVERRAN, slots, overran=7) == {7: Fate.OVERRAN, 8: Fate.REFUND}
    death = Death(cause=Cause.OVERRAN, reason="", running=slots, claims=(), overran=frozenset({7}), stacks="here")
    (row, _) = fates(death, NOW, CAP)
    assert row.run_at == NOW + timedelta(seconds=CAP)
    assert row.error is not None
    assert "here" in row.error


def test_an_end_has_a_reason() -> None:
    """A signal's name, its number, or a status."""
    assert reason_of(-11) == "was killed by SIGSEGV"
    assert reason_of(-99) == "was killed by signal 99"
    assert reason_of(0) == "exited with status 0"
