"""The heap of what is due or soon will be: most urgent first, the soonest first, nothing before its time."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tomqueue.transport.due import DueHeap

START = datetime(2026, 1, 1, tzinfo=UTC)
Entry = tuple[int, datetime, int]
moments = st.integers(0, 50).map(lambda seconds: START + timedelta(seconds=seconds))
entries = st.lists(st.tuples(st.integers(1, 10**6), moments, st.integers(0, 3)), unique_by=lambda entry: entry[0])


@given(entries, moments, st.integers(1, 20))
def test_what_is_due_is_taken_in_order(given_entries: list[Entry], now: datetime, limit: int) -> None:
    """Piece by piece: by urgency, then by time; each once, and nothing that is not due."""
    heap = DueHeap()
    heap.load(given_entries)
    taken: list[int] = []
    while piece := heap.take(now, limit):
        assert len(piece) <= limit
        taken += piece
    due = sorted((priority, at, job) for job, at, priority in given_entries if at <= now)
    assert taken == [job for _, _, job in due]
    assert len(heap) == len(given_entries) - len(taken)


@given(entries, moments)
def test_the_next_one_is_the_soonest_that_is_left(given_entries: list[Entry], now: datetime) -> None:
    """Whatever was taken before, and of whichever priority."""
    heap = DueHeap()
    heap.load(given_entries)
    heap.take(now, len(given_entries))
    left = [(at, priority) for _, at, priority in given_entries if at > now]
    assert heap.next() == min((at for at, _ in left), default=None)
    assert [heap.left(rank) for rank in range(4)] == [sum(rank == found for _, found in left) for rank in range(4)]


@given(entries, entries)
def test_a_load_replaces_what_was_there(before: list[Entry], after: list[Entry]) -> None:
    """What was held and is not read again has been changed, announced or deleted meanwhile."""
    heap = DueHeap()
    heap.load(before)
    heap.load(after)
    assert len(heap) == len(after)
    assert sorted(heap.take(START + timedelta(days=1), 10**6)) == sorted(job for job, _, _ in after)
