"""When a broker that owes an answer counts as silent."""

import pytest

from tomqueue.transport.rabbitmq import pulse
from tomqueue.transport.rabbitmq.pulse import LATE, Pulse


class Clock:
    """A boot clock that stands."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the clock that the pulse reads."""
    made = Clock()
    monkeypatch.setattr(pulse, "boot_time", made)
    return made


def test_who_owes_nothing_is_not_silent(clock: Clock) -> None:
    """However long nothing comes; also after the answer."""
    felt = Pulse()
    clock.now += 1000
    assert not felt.is_late
    felt.asked()
    felt.answered()
    clock.now += 1000
    assert not felt.is_late


def test_an_answer_is_late_after_two_seconds(clock: Clock) -> None:
    """Counted from the first question."""
    felt = Pulse()
    felt.asked()
    clock.now += LATE - 0.5
    felt.asked()
    assert felt.silence == LATE - 0.5
    clock.now += 0.5
    assert felt.is_late


def test_whatever_comes_is_a_sign_of_life(clock: Clock) -> None:
    """The answer may be behind it; what comes unasked makes nobody owe an answer."""
    felt = Pulse()
    felt.heard()
    clock.now += LATE
    assert not felt.is_late
    felt.asked()
    clock.now += LATE - 0.5
    felt.heard()
    clock.now += LATE - 0.5
    assert not felt.is_late
