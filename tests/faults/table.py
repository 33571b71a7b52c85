"""The table of what the runs showed, and its place in docs/explanation/guarantees.md."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from tests.faults.running import Result

__all__ = ["PAGE", "insert", "rows", "table"]

PAGE = Path(__file__).parents[2] / "docs/explanation/guarantees.md"
BEGIN, END = "<!-- faults: written by make faults -->", "<!-- faults: end -->"
HEAD = (
    "| Fault | Database | Broker | Runs | Jobs | Lost | Duplicated | Recovery p50 | max | Bound | CPU meanwhile |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
)
SHOWN = {"sqlite": "SQLite", "postgres": "PostgreSQL", "mariadb": "MariaDB"}


def table(results: Sequence[Result], about: str) -> str:
    """Return the table with a line about how it was made."""
    return "\n".join([about, "", *HEAD, *rows(results)])


def rows(results: Iterable[Result]) -> list[str]:
    """Return a row for each fault with and without a broker."""
    groups: dict[tuple[str, bool], list[Result]] = {}
    for result in results:
        groups.setdefault((result.scenario.name, result.setup.broker), []).append(result)
    return [row(group) for group in groups.values()]


def row(group: Sequence[Result]) -> str:
    """Return the row of runs that belong together."""
    scenario = group[0].scenario
    databases = ", ".join(SHOWN[name] for name in dict.fromkeys(one.setup.database for one in group))
    waits = sorted(seconds for one in group for seconds in one.recoveries)
    p50, longest = (
        (shown(median(waits), scenario.bound), shown(waits[-1], scenario.bound)) if waits else ("none", "none")
    )
    counts = [one.counts for one in group]
    cpu = max((one.cpu for one in group if one.cpu is not None), default=None)
    cells = (
        scenario.name, databases, "RabbitMQ" if group[0].setup.broker else "none", len(group),
        sum(one.jobs + one.recovered for one in counts), sum(one.lost for one in counts),
        sum(one.duplicated for one in counts), p50, longest, f"{scenario.bound:g} s",
        "" if cpu is None else f"{cpu:.0%}",
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def shown(seconds: float, bound: float) -> str:
    """Return a recovery, bold when it took longer than it may."""
    return f"**{seconds:.2f} s**" if seconds > bound else f"{seconds:.2f} s"


def insert(page: str, what: str) -> str:
    """Return a page with ``what`` between the markers, in place of what was there."""
    pattern = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"the page has no place for the table: {BEGIN} … {END}")
    return pattern.sub(lambda _found: f"{BEGIN}\n{what}\n{END}", page)
