"""The application that ``workflows.py`` measures: jobs that note when they ended, and a callback that compares."""

import os
import struct
import time
from pathlib import Path

from tomqueue import TomQueue

__all__ = ["callback", "link", "member", "tq"]

tq = TomQueue(sqlite_synchronous="NORMAL")
folder = Path(os.environ["WORKFLOWS_FOLDER"])
ended = os.open(folder / f"ended-{os.getpid()}", os.O_WRONLY | os.O_CREAT, 0o600)


def note() -> None:
    """Write when a job of this process was last done."""
    os.pwrite(ended, struct.pack("d", time.time()), 0)


@tq.job
def member(number: int) -> None:  # noqa: ARG001 - as a job that does something has
    """Do nothing."""
    note()


@tq.job
def link(number: int) -> None:
    """Do nothing, and note it after the links before."""
    with (folder / "links").open("a") as file:
        file.write(f"{time.time()} {number}\n")


@tq.job(priority="high")
def callback() -> None:
    """Note how long ago the last job of any process was done."""
    now = time.time()
    times = [struct.unpack("d", file.read_bytes())[0] for file in folder.glob("ended-*") if file.stat().st_size]
    with (folder / "called").open("a") as file:
        file.write(f"{now - max(times)}\n")
