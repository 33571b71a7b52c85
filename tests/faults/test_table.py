"""The table of the guarantees: a row for each fault, in its place on the page."""

from datetime import date

import pytest

from tests.faults.checker import Counts
from tests.faults.running import Result
from tests.faults.scenario import Scenario
from tests.faults.table import BEGIN, END, HEAD, PAGE, insert, merged, rows, table
from tests.faults.world import Setup

DAY = date(2026, 11, 30)
SCENARIO = Scenario(name="kill", promise="1", expected="it goes on", bound=1.5, run=lambda world: None)


def result(database: str, *, recoveries: list[float], broker: bool = False, lost: int = 0, twice: int = 0) -> Result:
    """Make up a result."""
    counts = Counts(
        jobs=100, recovered=1, lost=lost, phantom=0, restarted=twice, duplicated=twice, overlapping=0, early=0,
        not_owned=0, effects_off=0,
    )  # fmt: skip
    setup = Setup(database=database, broker=broker)
    return Result(scenario=SCENARIO, setup=setup, seed=1, counts=counts, recoveries=recoveries)


def test_runs_of_a_fault_are_one_row_with_and_one_without_a_broker() -> None:
    """Counts are added, the recovery is the median and the longest; what took too long is bold."""
    results = [
        result("sqlite", recoveries=[0.5], twice=2), result("mariadb", recoveries=[0.25, 1.75], lost=1),
        result("sqlite", recoveries=[], broker=True),
    ]  # fmt: skip
    assert rows(results, DAY) == [
        "| kill | SQLite, MariaDB | none | 2 | 202 | 1 | 2 | 0.50 s | **1.75 s** | 1.5 s |  | 2026-11-30 |",
        "| kill | SQLite | RabbitMQ | 1 | 101 | 0 | 0 | none | none | 1.5 s |  | 2026-11-30 |",
    ]


def test_a_part_that_is_run_again_replaces_its_rows() -> None:
    """The others stay; so does the line that says how they were made, as long as one is of that day."""
    without, with_broker = result("sqlite", recoveries=[9]), result("sqlite", recoveries=[9], broker=True)
    old = table([without, with_broker], date(2026, 11, 1), "2026-11-01, all")
    part = table([with_broker], DAY, "2026-11-30, a part")
    both = merged(old, part)
    assert both.splitlines() == [
        "2026-11-01, all", "", "2026-11-30, a part", "", *HEAD, *rows([without], date(2026, 11, 1)),
        *rows([with_broker], DAY),
    ]  # fmt: skip
    rest = table([without], DAY, "2026-11-30, the rest")
    assert merged(both, rest).splitlines() == [
        "2026-11-30, a part", "", "2026-11-30, the rest", "", *HEAD, *rows([without, with_broker], DAY),
    ]  # fmt: skip


def test_what_is_wrong_with_a_run_is_said() -> None:
    """A lost job; more duplicates than a batch."""
    assert result("sqlite", recoveries=[]).wrong == {}
    assert result("sqlite", recoveries=[], lost=1).wrong == {"lost": 1}
    assert result("sqlite", recoveries=[], twice=257).wrong == {"duplicated": 257}


def test_the_table_replaces_the_one_that_was_there() -> None:
    """Between the markers of the page, and nothing else of it changes."""
    page = PAGE.read_text()
    changed = insert(page, "new \\1")
    assert changed == page[: page.index(BEGIN)] + f"{BEGIN}\nnew \\1\n{END}" + page[page.index(END) + len(END) :]
    with pytest.raises(ValueError, match="no place for the table"):
        insert("# No table here\n", "new")
