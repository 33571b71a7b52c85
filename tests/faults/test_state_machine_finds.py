"""The state machine can fail: with one rule of the system broken it finds a history that shows it.

Three of the mutations in `make test`; all with TOMQUEUE_FAULTS_FULL=1. Only the first failing history is wanted, so
nothing is spent on making it short.
"""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.faults.mutations import MUTATIONS, QUICK
from tests.faults.profile import FULL
from tests.faults.test_state_machine import Jobs

SEARCH = settings(
    phases=[Phase.generate], max_examples=1000, stateful_step_count=60, deadline=None, derandomize=True, database=None,
    report_multiple_bugs=False, print_blob=False, suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", MUTATIONS if FULL else QUICK)
def test_a_broken_rule_is_found(name: str) -> None:
    """What the machine checks is not true by itself."""
    with MUTATIONS[name].made(), pytest.raises(AssertionError):
        run_state_machine_as_test(Jobs, settings=SEARCH)
