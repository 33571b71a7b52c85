"""Measures how fast workers empty a queue, and what that costs."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.compare.scenario import SINGLY, Case, LeftOut, Measured
from benchmarks.compare.sizes import Sizes
from benchmarks.compare.trial import START_SECONDS, Trial
from benchmarks.measuring import cpu_seconds, family, peak_memory

__all__ = ["drain_filled", "fill", "measure_backlog", "measure_drain"]

PRODUCERS = 4
SAMPLE = 5_000
"""Jobs that show how long filling will take."""
SETTLE_SECONDS = 1.0


@dataclass(frozen=True)
class Moment:
    """The state of a drain at one moment."""

    clock: float
    done: int
    workers: float
    servers: float
    """Seconds of processor time."""


def fill(trial: Trial, jobs: int, how: str, patience: float) -> None:
    """Enqueue jobs before any worker runs; raises LeftOut if that takes longer than ``patience`` seconds."""
    if how == SINGLY:
        with ThreadPoolExecutor(PRODUCERS) as pool:
            shares = [len(range(number, jobs, PRODUCERS)) for number in range(PRODUCERS)]
            list(pool.map(lambda share: trial.ask("enqueue-one-by-one", share), shares))
    else:
        sample = min(jobs, SAMPLE)
        seconds = float(trial.ask("enqueue-in-bulk", sample)["seconds"]) / sample * (jobs - sample)
        if seconds > patience:
            raise LeftOut(f"filling takes {seconds / 60:.0f} minutes")
        if jobs > sample:
            trial.ask("enqueue-in-bulk", jobs - sample)
    trial.place.analyse()
    time.sleep(SETTLE_SECONDS)


def measure_drain(trial: Trial, case: Case, sizes: Sizes) -> Measured:
    """Fill, and empty."""
    jobs = min(sizes.jobs, trial.contender.most_jobs)
    fill(trial, jobs, case.fill, sizes.filling)
    return drain_filled(trial, case.processes, jobs)


def measure_backlog(trial: Trial, case: Case, sizes: Sizes) -> Measured:
    """Fill much, and run the first of it."""
    fill(trial, case.backlog, case.fill, sizes.filling)
    return drain_filled(trial, case.processes, min(case.backlog, sizes.first, trial.contender.most_jobs))


def drain_filled(trial: Trial, processes: int, jobs: int) -> Measured:
    """Run so many jobs; measure from the first that is done to the last."""
    with trial.workers(processes) as started:
        trial.wait_until(lambda: trial.done() > 0, START_SECONDS, "a first job")
        first = look(trial, started)
        middle_count = first.done + (jobs - first.done) // 2
        trial.wait_until(lambda: trial.done() >= middle_count, START_SECONDS, "half of the jobs")
        middle = look(trial, started)
        trial.wait_until(lambda: trial.done() >= jobs, START_SECONDS, "the last job")
        last = look(trial, started)
        memory = peak_memory(family(*started))
    return Measured(jobs, figures_of(first, middle, last) | {"memory": memory})


def figures_of(first: Moment, middle: Moment, last: Moment) -> dict[str, float]:
    """Return rates and what a job costs; raises LeftOut when all was over between two looks."""
    done = last.done - first.done
    if not done:
        raise LeftOut("too few jobs to be timed")
    figures = {
        "rate": done / (last.clock - first.clock),
        "cpu_workers": (last.workers - first.workers) / done * 1e6,
        "cpu_all": (last.workers + last.servers - first.workers - first.servers) / done * 1e6,
    }
    if last.done > middle.done:
        figures["second_half"] = (last.done - middle.done) / (last.clock - middle.clock)
    return figures


def look(trial: Trial, started: list[int]) -> Moment:
    """Take the state of a drain."""
    done, clock = trial.done(), time.perf_counter()
    return Moment(clock, done, cpu_seconds(family(*started)), cpu_seconds(trial.place.server_processes()))
