"""The tables of `make bench`, and what it knows of every contender."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compare.__main__ import CONTENDERS
from benchmarks.compare.contender import Contender
from benchmarks.compare.draining import Moment, figures_of
from benchmarks.compare.ours import BASELINE
from benchmarks.compare.page import BEGIN, END, PAGE, insert
from benchmarks.compare.results import append, read
from benchmarks.compare.scenario import Case, Figure, LeftOut, Measured, Scenario
from benchmarks.compare.scenarios import SCENARIOS
from benchmarks.compare.sizes import Sizes
from benchmarks.compare.table import table
from benchmarks.measuring import figure, percentile

NAMES = {contender.name: contender for contender in CONTENDERS}
ADDRESSES = {
    "postgres": {"POSTGRES_URL", "POSTGRES_SQLALCHEMY_URL"},
    "mariadb": {"MYSQL_URL", "MARIADB_SQLALCHEMY_URL"},
    "rabbitmq": {"BROKER_URL"},
    "redis": {"REDIS_URL"},
    "sqlite": {"SQLITE_FILE", "SQLITE_SQLALCHEMY_URL"},
}
SCENARIO = Scenario(
    name="drain",
    title="Drain",
    about="How.",
    figures=(Figure("rate", "jobs/s"), Figure("memory", "MB")),
    cases=lambda _contender, _sizes: [Case(label="1 process")],
    measure=lambda _trial, _case, _sizes: Measured(0, {}),
)


def record(
    contender: str, *, case: str = "1 process", against: str = "", place: int = 0, **found: Any
) -> dict[str, Any]:
    """Make up a result of one round."""
    about = {"scenario": "drain", "contender": contender, "case": case, "against": against or case, "place": place}
    return about | ({"jobs": 1000} | found)


def rate(value: float, memory: float = 10.0) -> Mapping[str, Any]:
    """Make up figures."""
    return {"rate": value, "memory": memory}


def lines_of(*records: dict[str, Any]) -> list[list[str]]:
    """Return the cells of a table's lines."""
    contenders = [NAMES[name] for name in (BASELINE, "celery", "limit-rabbitmq")]
    lines = table(SCENARIO, records, contenders, BASELINE).splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[6:]]


def test_a_line_shows_median_spread_ratio_and_share_of_the_limit() -> None:
    """The ratio is to the baseline's median of the same case, the share to that of the contender's own limit."""
    lines = lines_of(
        record("celery", figures=rate(100)), record("celery", figures=rate(300)), record("celery", figures=rate(200)),
        record(BASELINE, figures=rate(400)), record("limit-rabbitmq", figures=rate(2000)),
    )  # fmt: skip
    assert lines[0][3:6] == ["400 (400 to 400)", "1.00", "-"]
    assert lines[1] == [NAMES["celery"].label, "1 process", "1,000", "200 (100 to 300)", "0.50", "10%", "10"]


def test_a_case_may_be_compared_with_another_one() -> None:
    """Jobs that were enqueued one by one are drained beside those that were enqueued in bulk."""
    lines = lines_of(
        record(BASELINE, case="1 process, singly", against="1 process", place=1, figures=rate(100)),
        record(BASELINE, figures=rate(200)),
    )
    assert [line[1] for line in lines] == ["1 process", "1 process, singly"]
    assert lines[1][4] == "0.50"


def test_what_is_not_offered_is_said_and_never_a_zero() -> None:
    """A contender without such a case keeps its line, without a figure."""
    lines = lines_of(record("celery", refused="not offered: a | b"))
    assert lines[0][1:] == ["1 process", "-", "not offered: a / b", "-", "-", "-"]


def test_nothing_is_compared_with_what_was_not_measured() -> None:
    """Without the baseline and without the limit there are no ratios."""
    assert lines_of(record("celery", figures=rate(100)))[0][4:6] == ["-", "-"]


def test_the_page_has_a_place_for_the_tables() -> None:
    """What stood between the markers goes, everything else stays."""
    assert insert(f"a\n{BEGIN}\nold\n{END}\nb", "new") == f"a\n{BEGIN}\nnew\n{END}\nb"
    assert "as it was" in insert(PAGE.read_text(), "as it was")
    with pytest.raises(ValueError, match="no place"):
        insert("a", "new")


def test_a_drain_is_timed_between_its_first_and_its_last_job() -> None:
    """What was done before the first look is in no figure; processor time is for each job of those between."""
    first, middle = Moment(10.0, 100, 1.0, 5.0), Moment(11.0, 600, 1.2, 5.1)
    last = Moment(12.0, 1100, 1.4, 5.3)
    assert {name: round(value) for name, value in figures_of(first, middle, last).items()} == {
        "rate": 500, "second_half": 500, "cpu_workers": 400, "cpu_all": 700,
    }  # fmt: skip


def test_a_drain_that_was_over_at_once_has_no_rate() -> None:
    """All jobs were done when the first was seen: neither a zero nor an endless rate."""
    over = Moment(10.0, 100, 1.0, 5.0)
    with pytest.raises(LeftOut, match="too few jobs"):
        figures_of(over, over, over)


def test_results_are_kept_line_by_line(tmp_path: Path) -> None:
    """A run that ends early has its results, and runs can be added."""
    append(tmp_path / "results", record("celery", figures=rate(1)))
    append(tmp_path / "results", record("celery", figures=rate(2)))
    assert [one["figures"]["rate"] for one in read([tmp_path / "results"])] == [1, 2]


def test_figures_are_short_and_percentiles_are_values() -> None:
    """Three digits are enough for a table."""
    assert [figure(value) for value in (12345.6, 99.99, 0.12345)] == ["12,346", "100", "0.123"]
    assert [percentile([3, 1, 2, 4], percent) for percent in (0, 50, 99, 100)] == [1, 3, 4, 4]


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.name)
def test_every_contender_is_described_whole(contender: Contender) -> None:
    """Program, pinned versions, servers, workers, limit and what it does not offer are there and fit together."""
    ast.parse((contender.folder / "app.py").read_text())
    assert contender.about
    assert contender.servers
    assert {contender.limit, contender.name} <= {None, *NAMES}
    addresses = set[str]().union(*(ADDRESSES[server] for server in contender.servers))
    assert {name for value in contender.environment.values() for name in re.findall(r"{(\w+)}", value)} <= addresses
    assert all(command and all(command) for command in contender.workers(2))
    assert bool(contender.queues) == ("rabbitmq" in contender.servers)
    assert contender.ours or pinned(contender.folder / "requirements.txt")


def pinned(requirements: Path) -> bool:
    """Say whether a file names a version of every package."""
    lines = [line for line in requirements.read_text().splitlines() if not line.startswith("#")]
    return bool(lines) and all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.name)
def test_what_a_contender_does_not_offer_is_a_scenario_or_a_case(contender: Contender) -> None:
    """A reason under a name that does not exist would never be shown."""
    known = {scenario.name for scenario in SCENARIOS} | {
        f"{scenario.name}: {case.label}" for scenario in SCENARIOS for case in scenario.cases(contender, Sizes())
    }
    assert set(contender.missing) <= known


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_case_is_compared_with_one_that_exists(scenario: Scenario) -> None:
    """The baseline has every case that others are compared with, and labels are different."""
    baseline = [case.label for case in scenario.cases(NAMES[BASELINE], Sizes())]
    assert len(baseline) == len(set(baseline))
    for contender in CONTENDERS:
        assert {case.against or case.label for case in scenario.cases(contender, Sizes())} <= set(baseline)
