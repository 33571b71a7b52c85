"""When a worker prunes: once a minute, and piece after piece while there is more."""

from datetime import UTC, datetime
from typing import cast

import pytest

from tomqueue.errors import StoreError
from tomqueue.store.pruning import PIECE, Pruning
from tomqueue.worker import pruner
from tomqueue.worker.pruner import EVERY, ORPHANS_EVERY, Pruner

NOW = datetime(2030, 1, 1, tzinfo=UTC)


class Kept:
    """So many results and jobs of the history that have expired, and pieces of a walk."""

    def __init__(self, results: int = 0, history: int = 0, walk: int = 0) -> None:
        self.left = {"results": results, "history": history}
        self.walk = walk
        self.calls: list[str] = []

    def _take(self, name: str, limit: int) -> int:
        self.calls.append(name)
        taken = min(limit, self.left[name])
        self.left[name] -= taken
        return taken

    def results(self, now: datetime, limit: int) -> int:
        return self._take("results", limit)

    def history(self, now: datetime, limit: int) -> int:
        return self._take("history", limit)

    def orphans(self, after: int, limit: int) -> int | None:
        self.calls.append(f"orphans after {after}")
        return after + limit if after < self.walk * limit else None


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the clock of the pruner."""
    made = Clock()
    monkeypatch.setattr(pruner, "boot_time", made)
    return made


def made(kept: Kept) -> Pruner:
    """Return a pruner of what is kept."""
    return Pruner(cast("Pruning", kept), lambda: NOW)


def test_a_worker_that_starts_prunes_nothing_yet(clock: Clock) -> None:
    """It has other things to do first."""
    kept = Kept(results=5)
    one = made(kept)
    one.step()
    clock.now += EVERY - 1
    one.step()
    assert kept.calls == []


def test_one_step_is_one_piece_and_the_next_follows_at_once(clock: Clock) -> None:
    """Until a piece was not full; then a minute passes."""
    kept = Kept(results=3, history=2 * PIECE + 1)
    one = made(kept)
    clock.now += EVERY
    lefts = []
    for _ in range(4):
        one.step()
        lefts.append(kept.left["history"])
    assert lefts == [PIECE + 1, 1, 0, 0]
    assert kept.left["results"] == 0
    assert kept.calls.count("history") == 3
    clock.now += EVERY
    one.step()
    assert kept.calls.count("history") == 4


def test_one_that_is_refused_is_tried_again_a_minute_later(clock: Clock) -> None:
    """An audit trail that nobody may delete keeps the housekeeper from nothing else."""

    class Refused(Kept):
        def history(self, now: datetime, limit: int) -> int:
            super().history(now, limit)
            raise StoreError("permission denied")

    kept = Refused()
    one = made(kept)
    clock.now += EVERY
    with pytest.raises(StoreError):
        one.step()
    for _ in range(3):
        one.step()
    assert kept.calls.count("history") == 1
    clock.now += EVERY
    with pytest.raises(StoreError):
        one.step()


def test_the_walk_goes_on_where_it_was_and_rests_at_its_end(clock: Clock) -> None:
    """A piece a step; an hour later it begins anew."""
    kept = Kept(walk=2)
    one = made(kept)
    clock.now += EVERY
    for _ in range(5):
        one.step()
    walk = [call for call in kept.calls if call.startswith("orphans")]
    assert walk == ["orphans after 0", f"orphans after {PIECE}", f"orphans after {2 * PIECE}"]
    clock.now += ORPHANS_EVERY
    one.step()
    assert kept.calls[-1] == "orphans after 0"
