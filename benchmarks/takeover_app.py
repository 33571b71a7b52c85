"""The application of benchmarks/takeover.py: jobs that write down who runs them, and when."""

import os
import time

from tomqueue import JobContext, TomQueue
from tomqueue.service import boot_time

tq = TomQueue()
OUT = os.open(os.environ.get("BENCHMARK_OUT", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def say(what: str, job: int) -> None:
    os.write(OUT, f"{what} {job} {os.getpid()} {boot_time():.6f}\n".encode())


@tq.job(name="greet")
def greet(ctx: JobContext, seconds: float = 0.2) -> None:
    say("start", ctx.id)
    time.sleep(seconds)
    say("end", ctx.id)
