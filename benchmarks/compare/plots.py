"""The plots beside the tables, as SVG: drain rate against backlog, and the distribution of latencies."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.compare.contender import Contender
from benchmarks.compare.results import Record, grouped

__all__ = ["draw"]

STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "tomqueue", "font.size": 9, "figure.figsize": (9, 5)}
SHARES = [share / 1000 for share in range(1001)]
OURS_WIDTH, OTHERS_WIDTH = 2.4, 1.1


def draw(records: Sequence[Record], contenders: Sequence[Contender], folder: Path) -> str:
    """Write what there are results for into a folder; return the Markdown that shows it."""
    shown = []
    with mpl.rc_context(STYLE):
        if groups := with_figures(grouped(records, "backlog")):
            axes = new_axes("jobs waiting", "jobs/s of the first 20,000", "Drain rate against backlog")
            draw_backlog(axes, groups, contenders)
            shown.append(save(folder, "performance-backlog", "Drain rate against backlog"))
        if groups := with_figures(grouped(records, "latency")):
            axes = new_axes("ms from the call to the start of the job", "share of jobs", "Latency of an idle worker")
            draw_latency(axes, groups, contenders)
            shown.append(save(folder, "performance-latency", "Distribution of latencies"))
    return "\n\n".join(shown)


def with_figures(groups: Mapping[tuple[str, str], Sequence[Record]]) -> dict[tuple[str, str], Sequence[Record]]:
    """Return the groups that have results."""
    return {key: found for key, rounds in groups.items() if (found := [one for one in rounds if "figures" in one])}


def new_axes(x: str, y: str, title: str) -> Axes:
    """Return an empty plot."""
    _, axes = plt.subplots(layout="constrained")
    axes.set(xlabel=x, ylabel=y, title=title, xscale="log")
    axes.grid(visible=True, alpha=0.3)
    return axes


def draw_backlog(
    axes: Axes, groups: Mapping[tuple[str, str], Sequence[Record]], contenders: Sequence[Contender]
) -> None:
    """Draw a line for each contender."""
    axes.set_yscale("log")
    for one in contenders:
        points = sorted(
            (waiting(case), median(record["figures"]["rate"] for record in rounds))
            for (name, case), rounds in groups.items()
            if name == one.name
        )
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", **line(one))
    axes.legend(fontsize="x-small", ncols=2)


def draw_latency(
    axes: Axes, groups: Mapping[tuple[str, str], Sequence[Record]], contenders: Sequence[Contender]
) -> None:
    """Draw for each contender the share of jobs that had started after so many milliseconds."""
    for one in contenders:
        samples = sorted(
            value
            for (name, _), rounds in groups.items()
            for record in rounds
            if name == one.name
            for value in record["samples"]
        )
        if samples:
            axes.plot([samples[round(share * (len(samples) - 1))] for share in SHARES], SHARES, **line(one))
    axes.legend(fontsize="x-small")


def line(contender: Contender) -> dict[str, Any]:
    """Return how a contender is drawn: ours thick, limits dashed."""
    limit = contender.name.startswith("limit")
    width = OURS_WIDTH if contender.ours and not limit else OTHERS_WIDTH
    return {"label": contender.label, "linewidth": width, "linestyle": "--" if limit else "-"}


def waiting(case: str) -> int:
    """Return the backlog that a case's label names."""
    return int(re.sub(r"\D", "", case))


def save(folder: Path, name: str, about: str) -> str:
    """Write the current plot; return the Markdown that shows it."""
    plt.savefig(folder / f"{name}.svg", metadata={"Date": None})
    plt.close()
    return f"![{about}]({name}.svg)"
