"""The lower bound of the database's clock, with every clock in the test's hand."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomqueue.daemon import due_clock
from tomqueue.daemon.due_clock import DRIFT, DueClock
from tomqueue.store.columns import EPOCH


class Clocks:
    """This machine's clock and the database's; a reading takes its way there and its way back."""

    def __init__(self) -> None:
        self.here = 1000.0
        self.ahead = 1.7e9
        self.there, self.back = 0.001, 0.001

    def read(self) -> object:
        self.here += self.there
        shown = EPOCH + timedelta(seconds=self.here + self.ahead)
        self.here += self.back
        return shown

    def behind(self, clock: DueClock) -> float:
        """Return how many seconds the bound is behind the database's clock."""
        return self.here + self.ahead - (clock.now() - EPOCH).total_seconds()


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """Give clocks that stand still by themselves."""
    clocks = Clocks()
    monkeypatch.setattr(due_clock, "boot_time", lambda: clocks.here)
    return clocks


ways = st.floats(0, 2)


@given(st.lists(st.tuples(ways, ways, st.floats(0, 60), st.floats(-DRIFT, DRIFT)), min_size=1, max_size=8))
def test_the_bound_is_never_ahead(readings: list[tuple[float, float, float, float]]) -> None:
    """However slow the answers and whichever way the two clocks drift."""
    clocks = Clocks()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(due_clock, "boot_time", lambda: clocks.here)
        clock = DueClock(clocks.read)  # type: ignore[arg-type]
        for clocks.there, clocks.back, later, drift in readings:
            clock.refresh()
            assert clocks.behind(clock) >= 0
            clocks.here += later
            clocks.ahead += later * drift
            assert clocks.behind(clock) >= 0


def test_only_the_way_back_counts(clocks: Clocks) -> None:
    """A reading that was slow to arrive at the database costs nothing."""
    clocks.there, clocks.back = 5.0, 0.001
    clock = DueClock(clocks.read)  # type: ignore[arg-type]
    clock.refresh()
    assert 0.001 <= clocks.behind(clock) < 0.0011


def test_a_faster_answer_of_late_is_kept(clocks: Clocks) -> None:
    """A reading that came late says less than the one before it."""
    clock = DueClock(clocks.read)  # type: ignore[arg-type]
    clock.refresh()
    clocks.there = clocks.back = 1.0
    clock.refresh()
    assert clocks.behind(clock) < 0.002


def test_a_clock_that_was_set_back_is_followed(clocks: Clocks) -> None:
    """The older reading is wrong then, however fast it came."""
    clock = DueClock(clocks.read)  # type: ignore[arg-type]
    clock.refresh()
    clocks.ahead -= 3600
    clock.refresh()
    assert 0 <= clocks.behind(clock) < 0.002
