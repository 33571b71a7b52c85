"""The application that the benchmarks run."""

import os
import time
from pathlib import Path

from tomqueue import TomQueue

tq = TomQueue()  # TOMQUEUE_DATABASE_URL says where
STARTS = Path(os.environ.get("BENCHMARK_STARTS", os.devnull))


@tq.job
def noop(number: int) -> None:
    """Do nothing."""


@tq.job
def stamp(number: int) -> None:
    """Write down when the job started."""
    now = time.time()
    with STARTS.open("a") as file:
        file.write(f"{number} {now}\n")
