"""Which queues a worker takes from, and in which turn."""

import pytest

from tomqueue.worker import queues as module
from tomqueue.worker.queues import Queues


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at every call."""
    monkeypatch.setattr(module, "REFRESH", 0.0)


class Known:
    """What the database says about queues, and what a worker was told."""

    def __init__(self, *names: str) -> None:
        self.paused = dict.fromkeys(names, False)
        self.told: list[str] = []
        self.reads = 0

    def read(self) -> dict[str, bool]:
        self.reads += 1
        return dict(self.paused)


def test_all_known_queues_are_served() -> None:
    """Also those that come later; the paused ones are not, and that is told once."""
    known = Known("b", "a")
    queues = Queues((), known.read, known.told.append)
    assert queues.active() == []
    queues.refresh()
    assert queues.active() == ["a", "b"]
    known.paused.update(a=True, c=False)
    queues.refresh()
    queues.refresh()
    assert (queues.active(), known.told) == (["b", "c"], ["a"])
    known.paused["a"] = False
    queues.refresh()
    assert queues.active() == ["a", "b", "c"]


def test_named_queues_are_served_alone() -> None:
    """Once they are known."""
    known = Known("a", "b")
    queues = Queues(("b", "later"), known.read, known.told.append)
    queues.refresh()
    assert queues.active() == ["b"]


def test_queues_take_turns() -> None:
    """Each turn begins with the queue after the one that was served."""
    queues = Queues((), Known("a", "b", "c").read, print)
    queues.refresh()
    assert ["".join(queues.in_turn()) for _ in range(2)] == ["abc", "abc"]  # a look that finds nothing takes no turn
    queues.served(["b", "b"])
    assert "".join(queues.in_turn()) == "acb"
    queues.served(["c", "b", "unknown"])
    assert "".join(queues.in_turn()) == "acb"
    queues.served(["a"])
    assert "".join(queues.in_turn()) == "cba"


def test_a_queue_that_comes_later_is_first() -> None:
    """It was never served; the others keep their turns, and one that is paused has none."""
    known = Known("a", "b")
    queues = Queues((), known.read, print)
    queues.refresh()
    queues.served(["a"])
    known.paused.update(b=True, c=False)
    queues.refresh()
    assert queues.in_turn() == ["c", "a"]


def test_a_queue_whose_rows_cannot_be_given_back_keeps_no_other_from_it() -> None:
    """Every queue that was paused is told of, and then the trouble is raised."""
    known, told = Known("a", "b", "c"), list[str]()

    def refuse(name: str) -> None:
        told.append(name)
        if name == "a":
            raise OSError(name)

    queues = Queues((), known.read, refuse)
    queues.refresh()
    known.paused.update(a=True, b=True)
    with pytest.raises(OSError, match="a"):
        queues.refresh()
    assert (told, queues.active()) == (["a", "b"], ["c"])


def test_one_queue_has_no_turns() -> None:
    """Nor has none."""
    queues = Queues(("a",), Known("a", "b").read, print)
    assert queues.in_turn() == []
    queues.refresh()
    assert [queues.in_turn(), queues.in_turn()] == [["a"], ["a"]]


def test_looks_are_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look within a second reads nothing; ``soon`` shortens that."""
    known = Known("a")
    monkeypatch.setattr(module, "REFRESH", 1000.0)
    queues = Queues((), known.read, print)
    queues._read_at = -1000.0
    queues.refresh()
    queues.refresh()
    assert known.reads == 1
    monkeypatch.setattr(module, "SOONEST", 0.0)
    queues.refresh()
    queues.refresh(soon=True)
    assert known.reads == 2
