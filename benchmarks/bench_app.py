"""The application that the benchmarks run."""

import os
import time
from pathlib import Path

from tomqueue import TomQueue

tq = TomQueue()  # TOMQUEUE_DATABASE_URL says where
STARTS = Path(os.environ.get("BENCHMARK_STARTS", os.devnull))
LOST = os.open(os.environ.get("BENCHMARK_LOST", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

tq.on("news.lost", lambda job: os.write(LOST, b"%d\n" % job.id))


@tq.job
def noop(number: int) -> None:
    """Do nothing."""


@tq.job
def stamp(number: int) -> None:
    """Write down when the job started."""
    now = time.time()
    with STARTS.open("a") as file:
        file.write(f"{number} {now}\n")


@tq.job
def nap(number: int) -> None:
    """Write down when the job started, and take 20 ms."""
    stamp(number)
    time.sleep(0.02)
