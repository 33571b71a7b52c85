"""When a supervisor fills a place again, on a clock of the test's."""

import pytest

from tomqueue.daemon.restarts import GIVE_UP_AFTER, Restarts


class Place:
    """A place, and the time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.answers = False
        self.restarts = Restarts()

    def pause(self) -> float:
        """Return how long it is until the next start, in tenths of a second, and go there."""
        began = self.now
        while not self.restarts.may_start(self.now, database_answers=self.answers):
            self.now = round(self.now + 0.1, 1)
        return round(self.now - began, 1)

    def live(self, seconds: float, *, worked: bool = False, told: bool = False, missed: bool = False) -> None:
        """Start a child, and let it end after so long."""
        self.restarts.started(self.now)
        self.now += seconds
        self.restarts.ended(self.now, worked=worked, told=told, missed_database=missed)


@pytest.fixture
def place() -> Place:
    """Give a place that was never filled."""
    return Place()


def test_a_place_is_filled_at_once(place: Place) -> None:
    """At first, after a crash, and after an end that was asked for: as often as that happens (I6)."""
    assert place.pause() == 0
    for _ in range(50):
        place.live(0.5, worked=True)
        assert place.pause() == 0
        place.live(0.5, told=True)
        assert place.pause() == 0


def test_starts_that_fail_come_later_and_later(place: Place) -> None:
    """Up to a minute; one that took jobs begins anew."""
    pauses = []
    for _ in range(10):
        place.live(0.3)
        pauses.append(place.pause())
    assert pauses == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert place.restarts.failures >= GIVE_UP_AFTER
    place.live(0.3, worked=True)
    assert place.restarts.failures == 0
    assert place.pause() == 0


def test_a_database_that_stays_away_is_asked_less_and_less(place: Place) -> None:
    """It is no fault of the application's: nobody gives up."""
    pauses = []
    for _ in range(9):
        place.live(0.3, told=True, missed=True)
        pauses.append(place.pause())
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert place.restarts.failures == 0


def test_a_database_that_is_back_ends_the_pause(place: Place) -> None:
    """A child that misses it all the same, because it looked a moment too early, is not the last for a minute."""
    for _ in range(9):
        place.live(0.3, told=True, missed=True)
        place.pause()
    place.live(0.3, told=True, missed=True)
    place.now += 20
    place.answers = True
    assert place.pause() == 0
    place.live(0.3, told=True, missed=True)
    assert place.pause() == 5
    place.live(0.3, worked=True)
    assert place.pause() == 0
    place.live(0.3, told=True, missed=True)
    assert place.pause() == 1


def test_an_answer_does_not_shorten_the_pause_of_an_application_that_fails(place: Place) -> None:
    """The database is not what it waits for."""
    place.answers = True
    for _ in range(6):
        place.live(0.3)
        pause = place.pause()
    assert pause == 16


def test_a_database_that_comes_and_goes(place: Place) -> None:
    """Children that take jobs for a moment only do not begin anew; one that settled does."""
    pauses = []
    for _ in range(4):
        place.live(2.0, worked=True, told=True, missed=True)
        pauses.append(place.pause())
    assert pauses == [1, 2, 4, 8]
    place.live(40.0, worked=True, told=True, missed=True)
    assert place.pause() == 1


def test_a_process_that_cannot_be_made_is_tried_every_second(place: Place) -> None:
    """The machine is out of processes or memory: that passes."""
    place.restarts.started(place.now)
    assert place.pause() == 1
    place.answers = True
    place.live(1, missed=True)
    place.now += 60
    place.restarts.started(place.now)
    assert place.pause() == 1
