"""Claims in doubt are undone until nothing of them can appear any more."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from tomqueue.errors import StoreUnavailable
from tomqueue.worker import doubts as module
from tomqueue.worker.doubts import DOUBT, Doubts


class Undoing:
    """A store that undoes slowly, and fails when told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.takes = 0.0
        self.undone: list[int] = []
        self.fails = False

    def undo(self, ids: Sequence[int], token: int) -> int:
        if self.fails:
            raise StoreUnavailable("away")
        self.now += self.takes
        self.undone.append(token)
        return 0


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Undoing:
    """Give a store with a clock of its own."""
    made = Undoing()
    monkeypatch.setattr(module, "boot_time", lambda: made.now)
    return made


def test_the_last_look_begins_after_the_doubt(store: Undoing) -> None:
    """What appears while a slow look goes on is found by the next one."""
    forgotten: list[int] = []
    doubts = Doubts(cast("Any", store), forgotten.extend)
    doubts.add([1, 2], token=7)
    store.takes = DOUBT
    doubts.resolve()
    assert (store.undone, forgotten) == ([7], [])
    doubts.resolve()
    assert (store.undone, forgotten) == ([7, 7], [1, 2])
    doubts.resolve()
    assert store.undone == [7, 7]


def test_no_doubt_is_lost_while_the_database_is_away(store: Undoing) -> None:
    """They are resolved when it is back."""
    forgotten: list[int] = []
    doubts = Doubts(cast("Any", store), forgotten.extend)
    doubts.add([1], token=7)
    doubts.add([2], token=8)
    store.fails, store.now = True, DOUBT
    with pytest.raises(StoreUnavailable):
        doubts.resolve()
    store.fails = False
    doubts.resolve()
    assert (store.undone, forgotten) == ([7, 8], [1, 2])
