"""An application in two releases. The file that FAULTS_RELEASE names says which one a process gets that starts now.

``python -m tests.faults.deployed LOAD`` enqueues what its release can, in pieces, as a web process of it would.
"""

import os
import sys
import time
from pathlib import Path
from random import Random

import msgspec

from tests.faults.ledger import LEDGER, Ledger, What
from tests.faults.load import Load
from tests.faults.release import OLD, RELEASE, note_of
from tomqueue import JobContext, Prepared, TomQueue
from tomqueue.job import Claimed

__all__ = ["tq"]

PIECE = 500

tq = TomQueue()
ledger = Ledger(Path(os.environ[LEDGER]))
release = Path(os.environ[RELEASE]).read_text()
note_of(os.getpid()).write_text(release)


def work(ctx: JobContext, key: str, seconds: float) -> None:
    """Do what every job here does."""
    ledger.write(What.STARTED, key, attempt=ctx.attempt)
    time.sleep(seconds)
    ledger.write(What.FINISHED, key, attempt=ctx.attempt)


def old_report(ctx: JobContext, key: str, seconds: float) -> None:
    """Report, as both releases can."""
    work(ctx, key, seconds)


def new_report(ctx: JobContext, key: str, seconds: float, note: str = "") -> None:
    """Report, with a parameter that the old release does not know."""
    assert note in {"", key}
    work(ctx, key, seconds)


def removed(ctx: JobContext, key: str, seconds: float) -> None:
    """Do what only the old release does."""
    work(ctx, key, seconds)


def added(ctx: JobContext, key: str, seconds: float) -> None:
    """Do what only the new release does."""
    work(ctx, key, seconds)


def settled(job: Claimed) -> None:
    """Write down that a worker holds the job for finished."""
    ledger.write(What.SETTLED, msgspec.json.decode(job.payload)["key"], attempt=job.attempts)


tq.on("job.finished", settled)
is_old = release == OLD
report = tq.job(name="report")(old_report if is_old else new_report)
other = tq.job(name="removed" if is_old else "added")(removed if is_old else added)


def prepared(load: Load, number: int, random: Random) -> tuple[str, Prepared]:
    """Make up a job: every fifth is one that only this release knows; the new one says its new parameter, or not."""
    key = f"{load.name}-{number}"
    if load.long_every and number % load.long_every == 0:
        return key, other.prepare(key, load.seconds)
    note = {} if is_old or random.random() < 1 / 2 else {"note": key}
    return key, report.prepare(key, load.seconds, **note)


def enqueue(load: Load) -> None:
    """Enqueue all of it, a piece in each transaction."""
    random = Random(load.seed)
    for first in range(0, load.jobs, PIECE):
        calls = [prepared(load, number, random) for number in range(first, min(first + PIECE, load.jobs))]
        for key, _ in calls:
            ledger.write(What.ENQUEUED, key)
        tq.enqueue_many([one for _, one in calls])
        for key, _ in calls:
            ledger.write(What.COMMITTED, key)
        time.sleep(load.pause)
    tq.close()


if __name__ == "__main__":
    enqueue(msgspec.json.decode(sys.argv[1], type=Load))
