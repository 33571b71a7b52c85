"""The short selection: some faults of each family, each on one setup; ``make faults`` runs them all, on all of them.

TOMQUEUE_FAULTS_SEED chooses other faults, setups and moments.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.faults.running import run_once
from tests.faults.scenario import Scenario, families
from tests.faults.world import SHORT_TIMES, Setup

SEED = int(os.environ.get("TOMQUEUE_FAULTS_SEED", "1"))
OF_EACH_FAMILY = 14
"""So that all of it takes about a minute a family on two cores."""


def selected() -> Iterator[tuple[Scenario, Setup]]:
    """Return some of each family, in its order, each with a setup; and what is always selected."""
    random = Random(SEED)
    for family in families().values():
        scenarios = [one for one in family if one.is_short]
        chosen = set(random.sample(range(len(scenarios)), min(OF_EACH_FAMILY, len(scenarios))))
        for place, scenario in enumerate(scenarios):
            some = [random.choice(scenario.setups)] if place in chosen else []
            for setup in scenario.selected or some:
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
