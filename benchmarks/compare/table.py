"""One Markdown table for each scenario: medians, what they spread over, ratios, and shares of the limit."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from benchmarks.compare.contender import Contender
from benchmarks.compare.results import Record, grouped
from benchmarks.compare.scenario import Scenario
from benchmarks.measuring import figure

__all__ = ["about_contenders", "table"]

Groups = Mapping[tuple[str, str], Sequence[Record]]
NONE = "-"


def table(scenario: Scenario, records: Sequence[Record], contenders: Sequence[Contender], baseline: str) -> str:
    """Return a scenario's table with its heading, for the contenders that have results in it."""
    groups = grouped(records, scenario.name)
    first, *others = (one.heading for one in scenario.figures)
    heads = ["Contender", "Case", "Jobs", f"{first}, median (min to max)", "of the baseline", "of its limit", *others]
    lines = [f"### {scenario.title}", "", scenario.about, "", row(heads), "|---" * len(heads) + "|"]
    for contender in contenders:
        own = sorted((rounds for (name, _), rounds in groups.items() if name == contender.name), key=in_order)
        lines += [row(cells(scenario, contender, rounds, groups, baseline)) for rounds in own]
    return "\n".join(lines)


def in_order(rounds: Sequence[Record]) -> int:
    """Return the place of a case in its table."""
    return int(rounds[-1]["place"])


def cells(
    scenario: Scenario, contender: Contender, rounds: Sequence[Record], groups: Groups, baseline: str
) -> Iterator[str]:
    """Return the cells of a contender's case."""
    key, *others = (one.key for one in scenario.figures)
    case, against = rounds[-1]["case"], rounds[-1]["against"]
    values = values_of(rounds, key)
    yield from (contender.label, case)
    if not values:
        yield from (NONE, reason(rounds), *[NONE] * (2 + len(others)))
        return
    yield f"{rounds[-1]['jobs']:,}"
    yield f"{figure(median(values))} ({figure(min(values))} to {figure(max(values))})"
    yield ratio(median(values), middle(groups, (baseline, against), key), "{:.2f}")
    yield ratio(median(values), middle(groups, (contender.limit or "", against), key), "{:.0%}")
    for other in others:
        found = values_of(rounds, other)
        yield figure(median(found)) if found else NONE


def reason(rounds: Sequence[Record]) -> str:
    """Return why there is no figure, in a table's words."""
    return str(rounds[-1].get("refused", "failed")).replace("|", "/").replace("\n", " ")[:120]


def values_of(rounds: Sequence[Record], key: str) -> list[float]:
    """Return a figure of every round that has it."""
    return [one["figures"][key] for one in rounds if key in one.get("figures", {})]


def middle(groups: Groups, group: tuple[str, str], key: str) -> float | None:
    """Return the median of a contender's case; None, if it was not measured."""
    values = values_of(groups.get(group, ()), key)
    return median(values) if values else None


def ratio(value: float, base: float | None, form: str) -> str:
    """Return how a value compares; nothing is compared with what was not measured."""
    return form.format(value / base) if base else NONE


def about_contenders(contenders: Sequence[Contender]) -> str:
    """Return the table of how each contender was set up."""
    lines = ["| Contender | Set up |", "|---|---|"]
    return "\n".join(lines + [row([contender.label, contender.about]) for contender in contenders])


def row(values: Iterator[str] | Sequence[str]) -> str:
    """Return a line of a table."""
    return "| " + " | ".join(values) + " |"
