"""How many jobs are claimed at once."""

from hypothesis import given
from hypothesis import strategies as st

from tomqueue.worker.batch import BatchSize


def grown(*, each: float, measurements: int = 20, seconds: float = 0.1, most: int = 256) -> BatchSize:
    """Return a batch size that has seen jobs of one kind."""
    batch = BatchSize(seconds, most)
    for _ in range(measurements):
        batch.measured(10, each * 10)
    return batch


def test_the_unknown_is_claimed_singly() -> None:
    """Before any measurement, and after a measurement of nothing."""
    batch = BatchSize(0.1, 256)
    assert batch.size() == 1
    batch.measured(0, 5.0)
    assert batch.size() == 1


def test_it_doubles_while_jobs_are_quick() -> None:
    """Up to what fits the time, and never more than the most."""
    assert [grown(each=1e-6, measurements=n).size() for n in range(6)] == [1, 2, 4, 8, 16, 32]
    assert grown(each=1e-6).size() == 256
    assert grown(each=0.01).size() == 10
    assert grown(each=0.0).size() == 256
    assert grown(each=1.0).size() == 1


def test_it_falls_at_once_when_jobs_are_slow() -> None:
    """One measurement of slow jobs is enough; ``slow`` begins anew."""
    batch = grown(each=1e-6)
    batch.measured(1, 1.0)
    assert batch.size() == 1
    batch = grown(each=1e-6)
    batch.slow()
    assert batch.size() == 1


@given(st.lists(st.tuples(st.integers(0, 300), st.floats(0, 1e4)), max_size=50), st.integers(1, 256))
def test_it_is_always_between_one_and_the_most(measurements: list[tuple[int, float]], most: int) -> None:
    """Whatever was measured."""
    batch = BatchSize(0.075, most)
    for jobs, seconds in measurements:
        batch.measured(jobs, seconds)
        assert 1 <= batch.size() <= most
