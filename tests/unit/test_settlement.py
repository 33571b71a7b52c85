"""As few acks as settle just what was settled."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tomqueue.transport.rabbitmq.settlement import Ledger


def ledger(count: int) -> Ledger:
    """Return a ledger with deliveries 1 to ``count``."""
    made = Ledger()
    for tag in range(1, count + 1):
        made.delivered(tag)
    return made


def test_a_run_from_the_oldest_is_one_ack() -> None:
    """In whatever order they were settled."""
    assert ledger(5).acks([2, 1, 3]) == [(3, True)]


def test_one_is_one_ack() -> None:
    """Nothing earlier is meant."""
    assert ledger(5).acks([1]) == [(1, False)]


def test_behind_one_that_is_held_each_is_acked_for_itself() -> None:
    """A held delivery must not be acked along."""
    assert ledger(5).acks([1, 3, 4]) == [(1, False), (3, False), (4, False)]


def test_a_run_passes_over_what_was_settled_before() -> None:
    """One that was requeued, or acked for itself, is the broker's no more."""
    made = ledger(6)
    made.settled([1])
    assert made.acks([3]) == [(3, False)]
    assert made.acks([2, 4]) == [(4, True)]
    assert made.acks([]) == []
    assert made.acks([6]) == [(6, False)]
    assert made.acks([5]) == [(5, False)]


@given(st.permutations(range(1, 13)), st.lists(st.integers(0, 12), max_size=4), st.sets(st.integers(1, 12)))
def test_the_broker_agrees(order: list[int], cuts: list[int], requeued: set[int]) -> None:
    """After every batch it counts as settled just what was; an ack never names what is settled already."""
    made, outstanding = ledger(12), set(range(1, 13))
    bounds = [0, *sorted(cuts), 12]
    for start, end in pairwise(bounds):
        batch = order[start:end]
        for tag, earlier_too in made.acks([tag for tag in batch if tag not in requeued]):
            assert tag in outstanding
            outstanding -= {one for one in outstanding if one <= tag} if earlier_too else {tag}
        made.settled([tag for tag in batch if tag in requeued])
        outstanding -= {tag for tag in batch if tag in requeued}
        assert outstanding == set(order[end:])
