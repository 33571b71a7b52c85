"""``make bench``: TomQueue, its peers and the limit, in one run on this machine, the same work for all.

    python -m benchmarks.compare                                     everything; writes docs/explanation/performance.md
    python -m benchmarks.compare --only drain --contenders tomqueue,pgqueuer --rounds 1 --jobs 20000
    python -m benchmarks.compare --table results.jsonl               the tables again, of earlier results

Results are added to a file, one JSON object a line. Only a full run writes the page; others print their tables.
"""

import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks.compare.contender import Contender
from benchmarks.compare.machine import about_machine
from benchmarks.compare.ours import BASELINE, LIMITS, OURS
from benchmarks.compare.page import PAGE, insert
from benchmarks.compare.peers import PEERS
from benchmarks.compare.results import Record, append, read
from benchmarks.compare.running import chosen, run
from benchmarks.compare.scenario import Scenario
from benchmarks.compare.scenarios import SCENARIOS
from benchmarks.compare.servers import Servers
from benchmarks.compare.sizes import Sizes
from benchmarks.compare.table import about_contenders, table

CONTENDERS = [*OURS, *PEERS, *LIMITS]
KEPT = Path(__file__).parents[2] / ".bench"


@click.command()
@click.option("--only", default="", metavar="A,B", help=f"Scenarios: {', '.join(one.name for one in SCENARIOS)}.")
@click.option("--contenders", default="", metavar="A,B", help="Those whose names contain one of these.")
@click.option("--rounds", type=int, help="Default: 5 of the quick scenarios, 3 of the long ones.")
@click.option("--jobs", default=Sizes().jobs, show_default=True, help="Jobs of a drain; slow contenders get fewer.")
@click.option("--backlogs", default="1000,10000,100000,1000000", show_default=True, metavar="A,B")
@click.option("--cases", default="", metavar="A,B", help="Words of cases: '1 process,in bulk'.")
@click.option("--results", type=click.Path(path_type=Path), help="Default: a new file in .bench.")
@click.option("--table", "tables_of", multiple=True, type=click.Path(path_type=Path), help="Run nothing.")
@click.option("--write", is_flag=True, help="Write the page although not all was run.")
def main(
    *,
    only: str,
    contenders: str,
    rounds: int | None,
    jobs: int,
    backlogs: str,
    cases: str,
    results: Path | None,
    tables_of: tuple[Path, ...],
    write: bool,
) -> None:
    """Compare TomQueue with its peers and with the limit."""
    asked = [one for one in CONTENDERS if chosen(one.name, contenders)]
    scenarios = [one for one in SCENARIOS if chosen(one.name, only)]
    sizes = scaled(jobs, tuple(int(number) for number in backlogs.split(",")), cases)
    records = list(read(tables_of)) if tables_of else []
    if not tables_of:
        records = measured(scenarios, asked, sizes, rounds, results or new_file())
    report = as_report(scenarios, records, asked)
    if write or (not tables_of and not any((only, contenders, cases)) and jobs >= Sizes().jobs):
        from benchmarks.compare.plots import draw  # matplotlib is in the group of `make bench`, not in that of tests

        PAGE.write_text(insert(PAGE.read_text(), f"{report}\n\n{draw(records, asked, PAGE.parent)}"))
    else:
        print(report)


def scaled(jobs: int, backlogs: tuple[int, ...], cases: str) -> Sizes:
    """Return the sizes of a run; a small run is small in everything."""
    full = Sizes()
    share = min(1.0, jobs / full.jobs)
    return Sizes(
        jobs=jobs,
        singles=min(full.singles, jobs),
        stamps=min(full.stamps, jobs),
        held=round(full.held * share),
        urgent=round(full.urgent * share),
        backlogs=backlogs,
        first=min(full.first, jobs),
        cases=cases,
    )


def measured(
    scenarios: list[Scenario], contenders: list[Contender], sizes: Sizes, rounds: int | None, file: Path
) -> list[Record]:
    """Run, and keep every result at once."""
    began = datetime.now(UTC).isoformat(timespec="seconds")
    print(f"results go to {file}", file=sys.stderr)
    records: list[Record] = []
    with ExitStack() as running:
        for found in run(scenarios, contenders, Servers(running), sizes, rounds):
            records.append({"run": began, "machine": about_machine(), **found})
            append(file, records[-1])
    return records


def as_report(scenarios: list[Scenario], records: list[Record], contenders: list[Contender]) -> str:
    """Return the tables."""
    labels = {one.name: one.label for one in CONTENDERS}
    present = [one for one in contenders if any(record["contender"] == one.name for record in records)]
    runs = ", ".join(dict.fromkeys(f"{record['run']} on {record['machine']}" for record in records))
    head = f"Made by `make bench`: {runs}. Medians of the rounds; the baseline is {labels[BASELINE]}."
    shown = [one for one in scenarios if any(record["scenario"] == one.name for record in records)]
    tables = [table(one, records, present, BASELINE) for one in shown]
    return "\n\n".join([head, about_contenders(present), *tables])


def new_file() -> Path:
    """Return a file for the results of this run."""
    KEPT.mkdir(exist_ok=True)
    return KEPT / f"results-{datetime.now(UTC):%Y%m%d-%H%M%S}.jsonl"


if __name__ == "__main__":
    main()
