"""The short selection: every fault once, on one of its setups; ``make faults`` runs them all, again and again.

TOMQUEUE_FAULTS_SEED chooses other setups and other moments; each failure names its seed.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.faults.running import run_once
from tests.faults.scenario import Scenario, all_scenarios
from tests.faults.world import SHORT_TIMES, Setup

SEED = int(os.environ.get("TOMQUEUE_FAULTS_SEED", "1"))


def selected() -> Iterator[tuple[Scenario, Setup]]:
    """Return each scenario with the setups it is to run on."""
    random = Random(SEED)
    for scenario in all_scenarios():
        for setup in scenario.selected or [random.choice(scenario.setups)]:
            yield scenario, setup


@pytest.mark.parametrize(
    ("scenario", "setup"), [pytest.param(*pair, id=f"{pair[0].name}-{pair[1]}") for pair in selected()]
)
def test_the_promises_hold(scenario: Scenario, setup: Setup, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Nothing is lost or phantom, early or finished by a non-owner, and runs again only as often as it may."""
    result = run_once(scenario, setup, request.getfixturevalue, tmp_path, seed=SEED, times=SHORT_TIMES)
    print(result)
    assert result.wrong == {}, result
    assert result.counts.jobs
