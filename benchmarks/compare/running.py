"""Runs the trials: round by round, the contenders of a round in random order."""

import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from benchmarks.compare.contender import Contender
from benchmarks.compare.environments import programs_of
from benchmarks.compare.scenario import Case, LeftOut, Measured, Scenario
from benchmarks.compare.servers import Servers
from benchmarks.compare.sizes import Sizes
from benchmarks.compare.trial import Trial
from benchmarks.measuring import figure

__all__ = ["chosen", "run"]


def run(
    scenarios: Sequence[Scenario], contenders: Sequence[Contender], servers: Servers, sizes: Sizes, rounds: int | None
) -> Iterator[dict[str, Any]]:
    """Return a record for every case of every contender in every round."""
    chance = Random()
    for scenario in scenarios:
        planned = [
            (one, place, case)
            for one in contenders
            for place, case in enumerate(scenario.cases(one, sizes))
            if chosen(case.label, sizes.cases)
        ]
        for number in range(1, (rounds or scenario.rounds) + 1):
            for contender, place, case in chance.sample(planned, len(planned)):
                about = {"scenario": scenario.name, "contender": contender.name, "case": case.label}
                began = time.monotonic()
                found = result(scenario, contender, case, servers, sizes) | {"took": round(time.monotonic() - began, 1)}
                tell(about, found)
                yield about | {"against": case.against or case.label, "place": place, "round": number} | found


def chosen(name: str, words: str) -> bool:
    """Say whether a name was asked for, by one of some words with commas between; all are, if there are none."""
    return not words or any(word in name for word in words.split(","))


def result(scenario: Scenario, contender: Contender, case: Case, servers: Servers, sizes: Sizes) -> dict[str, Any]:
    """Measure one case in a fresh place; return its figures, or why there are none."""
    if refusal := scenario.refusal(contender, case):
        return {"refused": f"not offered: {refusal}"}
    try:
        measured = measure(scenario, contender, case, servers, sizes)
    except LeftOut as too_long:
        return {"refused": f"left out: {too_long}"}
    except Exception as failure:  # noqa: BLE001 - hours of other results are worth more than a clean end
        traceback.print_exception(failure)
        return {"refused": f"failed: {failure}"}
    return {"jobs": measured.jobs, "figures": dict(measured.figures), "samples": list(measured.samples)}


def measure(scenario: Scenario, contender: Contender, case: Case, servers: Servers, sizes: Sizes) -> Measured:
    """Measure one case in a fresh place."""
    programs = programs_of(contender)
    with servers.place(contender) as place:
        trial = Trial(contender, programs, place)
        trial.ask("set-up")
        return scenario.measure(trial, case, sizes)


def tell(about: dict[str, Any], found: dict[str, Any]) -> None:
    """Say on standard error what came out."""
    shown = [f"{key} {figure(value)}" for key, value in found.get("figures", {}).items()]
    print(*about.values(), *(shown or [found.get("refused", "")[:200]]), sep=" · ", file=sys.stderr, flush=True)
