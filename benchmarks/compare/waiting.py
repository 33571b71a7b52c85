"""Measures how soon an idle worker starts a job, how late future jobs start, and how fast calls return."""

import time
from collections.abc import Sequence

from benchmarks.compare.scenario import SINGLY, Case, Measured
from benchmarks.compare.sizes import Sizes
from benchmarks.compare.trial import START_SECONDS, Trial
from benchmarks.measuring import family, peak_memory, percentile

__all__ = ["measure_enqueue", "measure_future", "measure_latency"]

DUE, DUE_SECONDS = 500, 10.0
GRACE_SECONDS = 20.0
"""How long after their time future jobs may start to be counted at all."""


def measure_enqueue(trial: Trial, case: Case, sizes: Sizes) -> Measured:
    """Enqueue without a worker."""
    if case.fill == SINGLY:
        jobs, verb = min(sizes.singles, trial.contender.most_jobs), "enqueue-one-by-one"
    else:
        jobs, verb = min(sizes.jobs, trial.contender.most_jobs), "enqueue-in-bulk"
    measured = trial.ask(verb, jobs)
    return Measured(jobs, {"rate": measured["jobs"] / measured["seconds"]})


def measure_latency(trial: Trial, _case: Case, sizes: Sizes) -> Measured:
    """Enqueue at random pauses for one idle worker process."""
    with trial.workers(1):
        trial.wait_until_ready()
        trial.ask("latency", sizes.stamps)
        trial.wait_until(lambda: len(trial.starts()) >= sizes.stamps, START_SECONDS, "every start")
    starts, moments = trial.starts(), trial.moments()
    from_call = [(starts[number] - before) * 1000 for number, (before, _) in moments.items()]
    from_return = [(starts[number] - after) * 1000 for number, (_, after) in moments.items()]
    figures = {
        "p50": percentile(from_call, 50),
        "p99": percentile(from_call, 99),
        "p50_return": percentile(from_return, 50),
        "p99_return": percentile(from_return, 99),
    }
    return Measured(sizes.stamps, figures, [round(milliseconds, 3) for milliseconds in from_call])


def measure_future(trial: Trial, _case: Case, sizes: Sizes) -> Measured:
    """Hold jobs that are due tomorrow, and let others fall due meanwhile."""
    held = min(sizes.held, trial.contender.most_jobs)
    with trial.workers(1) as started:
        trial.wait_until_ready()
        trial.ask("hold", held, "normal")
        trial.ask("fall-due", DUE, DUE_SECONDS)
        late = wait_for_starts(trial, DUE)
        memory = peak_memory(family(*started))
    figures = {"started": len(late) / DUE * 100, "memory": memory}
    if late:
        figures |= {"p50": percentile(late, 50), "p99": percentile(late, 99)}
    return Measured(held, figures)


def wait_for_starts(trial: Trial, number: int) -> Sequence[float]:
    """Return how many milliseconds late jobs started; those that do not start for long are left out."""
    due = trial.moments()
    deadline = max(moment for moment, _ in due.values()) + GRACE_SECONDS
    while len(starts := trial.starts()) < number and time.time() < deadline:
        time.sleep(0.1)
    return [(moment - due[one][0]) * 1000 for one, moment in starts.items()]
