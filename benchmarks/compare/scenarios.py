"""The scenarios: every table that the suite makes."""

from collections.abc import Iterator, Sequence

from benchmarks.compare.contender import Contender
from benchmarks.compare.draining import measure_backlog, measure_drain
from benchmarks.compare.polling import SNAPSHOT, URGENT, measure_polling
from benchmarks.compare.scenario import BULK, SINGLY, Case, Figure, Scenario
from benchmarks.compare.sizes import Sizes
from benchmarks.compare.waiting import measure_enqueue, measure_future, measure_latency

__all__ = ["SCENARIOS"]

DRAIN = (
    Figure("rate", "jobs/s"),
    Figure("second_half", "second half, jobs/s"),
    Figure("cpu_workers", "CPU µs/job, workers"),
    Figure("cpu_all", "workers and servers"),
    Figure("memory", "peak RSS, MB"),
)


def enqueue_cases(_contender: Contender, _sizes: Sizes) -> Iterator[Case]:
    """Return both ways."""
    yield Case(label=SINGLY, fill=SINGLY)
    yield Case(label=BULK, fill=BULK)


def drain_cases(contender: Contender, _sizes: Sizes) -> Iterator[Case]:
    """Return one and two processes, for both fills where they differ."""
    for processes in (1, 2):
        label = counted(processes)
        yield Case(label=label, processes=processes)
        if contender.fills_differ:
            yield Case(label=f"{label}, enqueued one by one", against=label, processes=processes, fill=SINGLY)


def latency_cases(_contender: Contender, _sizes: Sizes) -> Iterator[Case]:
    """Return one."""
    yield Case(label=counted(1))


def backlog_cases(_contender: Contender, sizes: Sizes) -> Iterator[Case]:
    """Return the backlogs."""
    for backlog in sizes.backlogs:
        yield Case(label=f"{backlog:,} wait", backlog=backlog)


def worker_cases(_contender: Contender, _sizes: Sizes) -> Iterator[Case]:
    """Return few and many processes."""
    for processes in (1, 4, 16):
        yield Case(label=counted(processes), processes=processes)


def polling_cases(_contender: Contender, _sizes: Sizes) -> Iterator[Case]:
    """Return few and many processes, without and with each obstacle."""
    for processes in (1, 8, 24):
        for obstacle in ("", SNAPSHOT, URGENT):
            label = ", ".join(filter(None, (counted(processes), obstacle)))
            yield Case(label=label, processes=processes, obstacle=obstacle)


def counted(processes: int) -> str:
    """Write how many processes."""
    return f"{processes} process" + ("es" if processes > 1 else "")


SCENARIOS: Sequence[Scenario] = (
    Scenario(
        name="enqueue",
        title="Enqueue",
        about="One producer, no worker. One by one: each call returns once the job is committed or, where its"
        " row says so, confirmed. In bulk: the contender's own call for many, 5,000 jobs a call.",
        figures=(Figure("rate", "jobs/s"),),
        cases=enqueue_cases,
        measure=measure_enqueue,
    ),
    Scenario(
        name="drain",
        title="Drain",
        about="All jobs are enqueued before the workers start. The rate is taken from the first job that is done"
        " to the last, the second half from half of them on, when the last process is up as well.",
        figures=DRAIN,
        cases=drain_cases,
        measure=measure_drain,
    ),
    Scenario(
        name="latency",
        title="Latency of an idle worker",
        about="One job at a time, 20 to 60 ms apart, one worker process; from the call of the producer, and from its"
        " return, to the first line of the job.",
        figures=(
            Figure("p50", "call → start p50, ms"),
            Figure("p99", "p99, ms"),
            Figure("p50_return", "return → start p50, ms"),
            Figure("p99_return", "p99, ms"),
        ),
        cases=latency_cases,
        measure=measure_latency,
    ),
    Scenario(
        name="backlog",
        title="Drain against the backlog",
        about="One worker process; the first 20,000 jobs of a queue in which so many wait (all, if fewer wait).",
        figures=DRAIN,
        cases=backlog_cases,
        measure=measure_backlog,
        rounds=3,
    ),
    Scenario(
        name="workers",
        title="Many workers",
        about="As the drain, with many worker processes on the machine's cores: what they cost each other.",
        figures=DRAIN,
        cases=worker_cases,
        measure=measure_drain,
        rounds=3,
    ),
    Scenario(
        name="future",
        title="Future jobs",
        about="One worker process while many jobs wait that are due tomorrow; 500 others fall due over ten seconds."
        " Late: from the due time to the first line of the job. What has not started 20 s after the last is missing.",
        figures=(
            Figure("p99", "late p99, ms"),
            Figure("p50", "late p50, ms"),
            Figure("started", "started, %"),
            Figure("memory", "peak RSS, MB"),
        ),
        cases=latency_cases,
        measure=measure_future,
        rounds=3,
    ),
    Scenario(
        name="polling",
        title="Polling against push",
        about="As the drain, on a database whose dead rows an old snapshot keeps, or with future jobs of higher"
        " priority before the ready ones.",
        figures=DRAIN,
        cases=polling_cases,
        measure=measure_polling,
        rounds=3,
    ),
)
