"""The application under test: its jobs write into the ledger what happens to them. Workers and producers import it."""

import os
import time
from pathlib import Path

import msgspec
from sqlalchemy import text

from tests.faults.ledger import EFFECTS, LEDGER, Ledger, What
from tomqueue import JobContext, TomQueue
from tomqueue.job import Claimed

__all__ = ["atomic", "ledger", "plain", "tq"]

tq = TomQueue()
ledger = Ledger(Path(os.environ[LEDGER]))


@tq.job(name="plain")
def plain(ctx: JobContext, key: str, seconds: float, padding: str = "") -> None:
    """Take so many seconds, and leave a trace in the ledger only."""
    ledger.write(What.STARTED, key, attempt=ctx.attempt)
    spend(ctx, key, seconds)
    ledger.write(What.FINISHED, key, attempt=ctx.attempt)


@tq.job(name="atomic", atomic=True)
def atomic(ctx: JobContext, key: str, seconds: float, padding: str = "") -> None:
    """Do the same, and write into the database in the transaction that finishes the job."""
    ledger.write(What.STARTED, key, attempt=ctx.attempt)
    spend(ctx, key, seconds)
    try:
        ctx.connection.execute(text(f"INSERT INTO {EFFECTS} (job_key) VALUES (:key)"), {"key": key})
    except BaseException:
        ledger.write(What.CUT, key, attempt=ctx.attempt)
        raise
    ledger.write(What.FINISHED, key, attempt=ctx.attempt)


def spend(ctx: JobContext, key: str, seconds: float) -> None:
    """Sleep; say so when it is cut short."""
    if not seconds:
        return
    try:
        time.sleep(seconds)
    except BaseException:
        ledger.write(What.CUT, key, attempt=ctx.attempt)
        raise


def settled(job: Claimed) -> None:
    """Write down that a worker holds the job for finished."""
    ledger.write(What.SETTLED, msgspec.json.decode(job.payload)["key"], attempt=job.attempts)


tq.on("job.finished", settled)
