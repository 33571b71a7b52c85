"""The table of what the runs showed, and its place in docs/explanation/guarantees.md."""

import re
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from statistics import median

from tests.faults.running import Result

__all__ = ["PAGE", "current", "insert", "merged", "rows", "table"]

PAGE = Path(__file__).parents[2] / "docs/explanation/guarantees.md"
BEGIN, END = "<!-- faults: written by make faults -->", "<!-- faults: end -->"
DAY = len("2026-01-31")
HEAD = (
    "| Fault | Database | Broker | Runs | Jobs | Lost | Duplicated | Recovery p50 | max | Bound | CPU meanwhile | On |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|",
)
SHOWN = {"sqlite": "SQLite", "postgres": "PostgreSQL", "mariadb": "MariaDB"}


def table(results: Sequence[Result], day: date, about: str) -> str:
    """Return the table with a line about how it was made."""
    return "\n".join([about, "", *HEAD, *rows(results, day)])


def merged(old: str, new: str) -> str:
    """Return the old table with the rows that are also in the new one as they are there.

    The lines about how they were made are kept as long as a row is of that day.
    """
    later = {key(row): row for row in rows_of(new)}
    kept = [later.pop(key(row), row) for row in rows_of(old)] + list(later.values())
    days = {cells(row)[-1] for row in kept}
    abouts = [about for text in (old, new) for about in abouts_of(text) if about[:DAY] in days]
    return "\n".join(["\n\n".join(dict.fromkeys(abouts)), "", *HEAD, *kept])


def key(row: str) -> tuple[str, str]:
    """Return what a row is of: the fault, and whether with a broker."""
    fault, _, broker, *_ = cells(row)
    return fault, broker


def cells(row: str) -> list[str]:
    """Return the cells of a row."""
    return [cell.strip() for cell in row.strip("|").split("|")]


def rows_of(text: str) -> list[str]:
    """Return the rows of a table, without its head."""
    return [line for line in text.splitlines() if line.startswith("|")][len(HEAD) :]


def abouts_of(text: str) -> list[str]:
    """Return the paragraphs above a table."""
    return text[: text.index("\n|")].strip().split("\n\n")


def rows(results: Iterable[Result], day: date) -> list[str]:
    """Return a row for each fault with and without a broker."""
    groups: dict[tuple[str, bool], list[Result]] = {}
    for result in results:
        groups.setdefault((result.scenario.name, result.setup.broker), []).append(result)
    return [row(group, day) for group in groups.values()]


def row(group: Sequence[Result], day: date) -> str:
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
        "" if cpu is None else f"{cpu:.0%}", day.isoformat(),
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def shown(seconds: float, bound: float) -> str:
    """Return a recovery, bold when it took longer than it may."""
    return f"**{seconds:.2f} s**" if seconds > bound else f"{seconds:.2f} s"


def insert(page: str, what: str) -> str:
    """Return a page with ``what`` between the markers, in place of what was there."""
    return page.replace(current(page), what)


def current(page: str) -> str:
    """Return what is between the markers of a page."""
    found = re.search(f"{re.escape(BEGIN)}\n(.*?)\n{re.escape(END)}", page, re.DOTALL)
    if found is None:
        raise ValueError(f"the page has no place for the table: {BEGIN} … {END}")
    return found[1]
