"""An application on a temporary SQLite file, and its worker in the test's own thread or beside it."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from tomqueue import TomQueue
from tomqueue.events import EVENTS
from tomqueue.store.sql import SqlStore
from tomqueue.transport.memory import MemoryTransport
from tomqueue.worker.board import Board
from tomqueue.worker.options import WorkerOptions
from tomqueue.worker.tools import Tools
from tomqueue.worker.worker import Worker

PATIENCE = 20.0
"""Seconds after which something that must happen did not."""
worker_ids = count(1)


class Reporter:
    """An exception reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def notify(self, exception: BaseException) -> None:
        self.errors.append(exception)


def make_app(path: Path, **settings: Any) -> TomQueue:
    """Return an application on the SQLite file ``path``, without waiting for the disk."""
    return TomQueue(f"sqlite:///{path}", **{"sqlite_synchronous": "NORMAL", **settings})


def make_worker(tools: Tools, *, board: Board | None = None, until_idle: bool = True, **options: Any) -> Worker:
    """Return a worker with a lease that never ends."""
    board = board or Board.create()
    chosen = WorkerOptions(until_idle=until_idle, **options)
    return Worker(tools, board, next(worker_ids), chosen, die=lambda: None)


def work(tq: TomQueue, **options: Any) -> None:
    """Work in this thread until nothing is ready."""
    run_here(make_worker(tq.tools(), **options))


def run_here(worker: Worker) -> None:
    """Run a worker in this thread; give SIGALRM back afterwards."""
    before = signal.getsignal(signal.SIGALRM)
    try:
        worker.run()
    finally:
        signal.signal(signal.SIGALRM, before)


@contextmanager
def working(tools: Tools, **options: Any) -> Iterator[Worker]:
    """Let a worker run beside the test."""
    worker = make_worker(tools, until_idle=False, **options)
    thread = threading.Thread(target=worker.run, name="worker-under-test")
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def pushing(tq: TomQueue, transport: MemoryTransport) -> Tools:
    """Return the tools of a worker that gets its news by ``transport``."""
    return replace(tq.tools(), transport=transport)


def happens(condition: Callable[[], object]) -> bool:
    """Wait until ``condition`` holds; False when it does not within our patience."""
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


def record_events(tq: TomQueue) -> list[str]:
    """Return a list that grows by the name of every event."""
    seen: list[str] = []

    def listen(name: str) -> None:
        tq.on(name, lambda **_details: seen.append(name))

    for event in EVENTS:
        listen(event)
    return seen


def store_of(tq: TomQueue) -> SqlStore:
    """Return the application's store."""
    return tq.tools().store


def row(tq: TomQueue, job_id: int) -> Any:
    """Read a row; None when it is gone."""
    jobs = store_of(tq).tables.jobs
    with store_of(tq).reading() as connection:
        return connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()


def change(tq: TomQueue, job_id: int, **values: Any) -> None:
    """Change a row by plain SQL, as a person may."""
    jobs = store_of(tq).tables.jobs
    with store_of(tq).writing() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))


def make_due(tq: TomQueue, job_id: int) -> None:
    """Let a waiting row be due now."""
    change(tq, job_id, run_at=store_of(tq).now() - timedelta(seconds=1))


def pause_of(tq: TomQueue, job_id: int) -> float:
    """Return how many seconds after its last change a row is to run again."""
    found = row(tq, job_id)
    return float((found.run_at - found.updated_at).total_seconds())
