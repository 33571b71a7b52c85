"""What every contender's program answers to: the same verbs and the same two jobs for all.

It runs in each contender's own environment (standard library only) and imports the contender's `app.py` from the
current folder, which describes in a `Program` how that contender is asked:

    set-up                  make tables, if there are any
    enqueue-one-by-one N    N calls; each returns when the job is committed or confirmed
    enqueue-in-bulk N       the same jobs by the contender's own bulk call, CHUNK a call
    latency N               N jobs that note their start, at random pauses; each call's moments are written down
    hold N RANK             N jobs that are due tomorrow; RANK `urgent` puts them before the others
    fall-due N SECONDS      N jobs that note their start, due evenly over so many seconds; the moments are written down

The jobs: `noop` calls `count_done`, `stamp` calls `note_start`. Each prints what it measured as one line of JSON.
"""

import asyncio
import importlib
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Program", "count_done", "main", "note_start"]

CHUNK = 5_000
PAUSE = (0.02, 0.06)
"""Seconds between two jobs whose latency is measured: the worker is idle again in between."""
AHEAD = 5.0
"""Seconds until the first job falls due."""
TOMORROW = 86_400.0
APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT


def opened(variable: str) -> int:
    """Open the file that the environment names; nothing is kept where it names none."""
    return os.open(os.environ.get(variable, os.devnull), APPEND, 0o666)


# One byte a job, appended: the cheapest count that is the same for threads, processes and processes that fork for
# every job. The suite reads the file's size.
DONE, STARTS, MOMENTS = map(opened, ("BENCHMARK_DONE", "BENCHMARK_STARTS", "BENCHMARK_MOMENTS"))


def count_done() -> None:
    """Count one job."""
    os.write(DONE, b".")


def note_start(number: int) -> None:
    """Write down when a job starts."""
    os.write(STARTS, b"%d %.6f\n" % (number, time.time()))


@dataclass(frozen=True, kw_only=True)
class Program:
    """How a contender is asked; every callable may be a coroutine function if ``asynchronous``."""

    enqueue: Callable[[int], Any]
    enqueue_many: Callable[[Sequence[int]], Any] | None = None
    """None: it has no bulk call; jobs are enqueued one by one."""
    stamp: Callable[[int], Any] | None = None
    stamp_at: Callable[[int, float], Any] | None = None
    """Enqueue a `stamp` that is due at a moment of `time.time()`."""
    hold: Callable[[Sequence[int], float, bool], Any] | None = None
    """Enqueue `noop` jobs that are due at a moment; the last argument says whether they go before others."""
    start: Callable[[], Any] = lambda: None
    end: Callable[[], Any] = lambda: None
    set_up: Callable[[], Any] = lambda: None
    asynchronous: bool = False


class Asking:
    """Asks a program, whether its calls block or are awaited."""

    def __init__(self, program: Program) -> None:
        self._program = program

    async def set_up(self) -> dict[str, Any]:
        """Make the tables."""
        await self._call(self._program.set_up)
        return {}

    async def enqueue_one_by_one(self, number: str) -> dict[str, Any]:
        """Measure all calls but the first, which opens connections."""
        enqueue = self._program.enqueue
        await self._call(enqueue, 0)
        began = time.perf_counter()
        if self._program.asynchronous:
            for count in range(1, int(number)):
                await enqueue(count)
        else:
            for count in range(1, int(number)):
                enqueue(count)
        return {"seconds": time.perf_counter() - began, "jobs": int(number) - 1}

    async def enqueue_in_bulk(self, number: str) -> dict[str, Any]:
        """Measure calls for many; the first job opens connections."""
        if self._program.enqueue_many is None:
            return await self.enqueue_one_by_one(number)
        await self._call(self._program.enqueue, 0)
        began = time.perf_counter()
        for chunk in chunks(int(number) - 1):
            await self._call(self._program.enqueue_many, chunk)
        return {"seconds": time.perf_counter() - began, "jobs": int(number) - 1}

    async def latency(self, number: str) -> dict[str, Any]:
        """Write down before and after each call what time it is."""
        assert self._program.stamp is not None, "it has no job that notes its start"
        await self._call(self._program.enqueue, 0)  # opens connections
        for count in range(int(number)):
            await self._pause(random.uniform(*PAUSE))
            before = time.time()
            await self._call(self._program.stamp, count)
            os.write(MOMENTS, b"%d %.6f %.6f\n" % (count, before, time.time()))
        return {}

    async def hold(self, number: str, rank: str) -> dict[str, Any]:
        """Enqueue jobs that stay."""
        assert self._program.hold is not None, "it cannot hold jobs until later"
        due, began = time.time() + TOMORROW, time.perf_counter()
        for chunk in chunks(int(number)):
            await self._call(self._program.hold, chunk, due, rank == "urgent")
        return {"seconds": time.perf_counter() - began}

    async def fall_due(self, number: str, seconds: str) -> dict[str, Any]:
        """Enqueue jobs that fall due soon."""
        assert self._program.stamp_at is not None, "it cannot hold jobs until later"
        first, step = time.time() + AHEAD, float(seconds) / int(number)
        for count in range(int(number)):
            due = first + count * step
            await self._call(self._program.stamp_at, count, due)
            os.write(MOMENTS, b"%d %.6f %.6f\n" % (count, due, due))
        return {"behind": time.time() - first}

    async def perform(self, verb: str, *arguments: str) -> None:
        """Do what the verb says and print what it measured."""
        await self._call(self._program.start)
        measured = await getattr(self, verb.replace("-", "_"))(*arguments)
        await self._call(self._program.end)
        sys.stdout.write(json.dumps(measured) + "\n")

    async def _call(self, call: Callable[..., Any], *arguments: Any) -> None:
        result = call(*arguments)
        if self._program.asynchronous and isinstance(result, Awaitable):
            await result

    async def _pause(self, seconds: float) -> None:
        if self._program.asynchronous:
            await asyncio.sleep(seconds)
        else:
            time.sleep(seconds)  # noqa: ASYNC251 - no loop runs


def chunks(number: int) -> Iterator[range]:
    """Return the numbers of jobs, CHUNK at a time."""
    for begin in range(0, number, CHUNK):
        yield range(begin, min(begin + CHUNK, number))


def main() -> None:
    """Do what the command line says with the program of `app.py`."""
    program: Program = importlib.import_module("app").program
    performing = Asking(program).perform(*sys.argv[1:])
    if program.asynchronous:
        asyncio.run(performing)
        return
    try:
        performing.send(None)  # it never waits, so one step is all of it; libraries that block see no loop
    except StopIteration:
        return
