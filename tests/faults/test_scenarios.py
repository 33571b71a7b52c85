"""The list of scenarios is whole."""

from tests.faults.scenario import all_scenarios
from tomqueue.crash_points import POINTS


def test_there_is_a_kill_at_every_crash_point() -> None:
    """And no two scenarios share a name, which is how a person asks for one."""
    names = [scenario.name for scenario in all_scenarios()]
    assert {f"kill at {point}" for point in POINTS} - set(names) == set()
    assert len(names) == len(set(names))
