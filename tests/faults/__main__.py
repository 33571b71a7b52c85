"""``make faults``: every fault on every setup, several times; then the table in docs/explanation/guarantees.md.

``--only kill --runs 1`` runs a part and prints its table; with ``--update`` its rows replace those on the page.
``--at-once 4`` is done in a quarter of the time: most of a run is waiting for a lease. Recoveries are longer then,
where the cores are full.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random
from threading import Lock
from traceback import format_tb

from tests.faults.ground import Ground
from tests.faults.running import Result, run_once
from tests.faults.scenario import Scenario, all_scenarios
from tests.faults.table import PAGE, current, insert, merged, table
from tests.faults.world import DEFAULT_TIMES, SHORT_TIMES, Setup

__all__ = ["main"]


def planned(options: argparse.Namespace) -> Iterator[tuple[Scenario, Setup, int]]:
    """Return every run: scenario, setup, seed. With ``--minutes`` in the order of chance, until that time is over."""
    seeds = count(options.seed)
    pairs = [
        (scenario, setup)
        for scenario in all_scenarios()
        for setup in scenario.setups
        if not options.only or any(part in f"{scenario.name} on {setup}" for part in options.only)
    ]
    if options.minutes is None:
        yield from ((*pair, next(seeds)) for pair in pairs for _ in range(options.runs))
        return
    until, random = time.monotonic() + 60 * options.minutes, Random(options.seed)
    while pairs:
        for pair in random.sample(pairs, len(pairs)):
            if time.monotonic() > until:
                return
            yield *pair, next(seeds)


class Matrix:
    """Runs what is planned, several at once, each of them on servers of its own."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._times = SHORT_TIMES if options.short_times else DEFAULT_TIMES
        self._plan = planned(options)
        self._planning = Lock()
        self._at_once = options.at_once
        self.results: list[Result] = []
        self.wrong: list[str] = []
        self.versions: dict[str, str] = {}
        self.unfinished = 0

    def run(self) -> None:
        """Run all; when this is interrupted, those that are under way come to their end."""
        with ThreadPoolExecutor(self._at_once) as threads:
            try:
                for ended in [threads.submit(self._work) for _ in range(self._at_once)]:
                    ended.result()
            finally:
                with self._planning:
                    self._plan = iter(())

    def _work(self) -> None:
        with ExitStack() as stack:
            ground = Ground(stack)
            while (one := self._next()) is not None:
                self._run(*one, ground)
            self.versions |= ground.versions()

    def _next(self) -> tuple[Scenario, Setup, int] | None:
        with self._planning:
            return next(self._plan, None)

    def _run(self, scenario: Scenario, setup: Setup, seed: int, ground: Ground) -> None:
        what = f"{scenario.name} on {setup} (seed {seed})"
        with tempfile.TemporaryDirectory(prefix="tomqueue-faults-") as folder:
            try:
                result = run_once(scenario, setup, ground, Path(folder), seed=seed, times=self._times)
            except Exception as error:  # noqa: BLE001 - the other runs go on, and this one is told
                self.wrong.append(f"{what}: {type(error).__name__}: {error}")
                self.unfinished += 1
                print(self.wrong[-1], "".join(format_tb(error.__traceback__)), sep="\n", flush=True)
                return
        print(result, flush=True)
        self.results.append(result)
        if result.wrong:
            self.wrong.append(f"{what}: {result.wrong}")


def main(arguments: Sequence[str]) -> int:
    """Run the matrix, write the table; return 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of each fault on each setup")
    parser.add_argument("--minutes", type=float, help="in place of --runs: draw from them until the time is over")
    parser.add_argument("--at-once", type=int, default=1, help="runs beside each other, each on servers of its own")
    only = "what must be in 'fault on setup', also several times; the table is only printed"
    parser.add_argument("--only", action="append", default=[], help=only)
    parser.add_argument("--update", action="store_true", help="with --only: replace these rows on the page")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the first run; each next one adds one")
    parser.add_argument("--short-times", action="store_true", help="leases of 3 s instead of 20 s")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    matrix = Matrix(options)
    writes = options.update or not options.only
    try:
        matrix.run()
    except KeyboardInterrupt:
        print("interrupted: the table is of what ran until then, and is not written")
        writes = False
    order = [scenario.name for scenario in all_scenarios()]
    matrix.results.sort(key=lambda result: (order.index(result.scenario.name), result.setup.broker))
    day = datetime.now(UTC).date()
    shown = table(matrix.results, day, f"{day}, {about_runs(options, matrix)}")
    print(shown)
    if writes:
        page = PAGE.read_text()
        PAGE.write_text(insert(page, merged(current(page), shown) if options.update else shown))
    print(*(f"WRONG: {one}" for one in matrix.wrong), sep="\n")
    return 1 if matrix.wrong else 0


def about_runs(options: argparse.Namespace, matrix: Matrix) -> str:
    """Return the rest of the line above the table: with which command, on what."""
    much = f"--runs {options.runs}" if options.minutes is None else f"--minutes {options.minutes:g}"
    times = " --short-times" if options.short_times else ""
    only = "".join(f" --only '{part}'" for part in options.only)
    arguments = f"{much} --seed {options.seed} --at-once {options.at_once}{times}{only}"
    on = ", ".join(f"{title} {version}" for title, version in matrix.versions.items())
    missing = f" Not in the table: {matrix.unfinished} runs that could not be judged." if matrix.unfinished else ""
    return f'`make faults ARGS="{arguments}"`; {on}.{missing}'


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
