"""Where asynchronous jobs run: one event loop in a thread of its own, shared by all slots."""

import asyncio
import contextvars
import threading
from collections.abc import Coroutine
from typing import Any

from tomqueue.errors import Interruption

__all__ = ["LoopThread"]

CHECK_EVERY = 0.2
"""Seconds after which a waiting slot wakes to let a pending interruption be raised in it."""


class LoopThread:
    """Runs coroutines for slots that wait; starts with the first one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a job to its end and return its result. An interruption of the slot cancels it there and waits."""
        run = Run(coroutine)
        loop = self._started()
        try:
            loop.call_soon_threadsafe(run.begin, loop)
            run.wait()
        except Interruption as interruption:
            loop.call_soon_threadsafe(run.cancel)
            run.wait()
            if run.error is not None:
                raise interruption from run.error
        return run.result()

    def close(self) -> None:
        """Stop the loop once nothing runs in it."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = self._thread = None

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=turn, args=(self._loop,), name="tomqueue-async", daemon=True)
                self._thread.start()
            return self._loop


def turn(loop: asyncio.AbstractEventLoop) -> None:
    """Run ``loop`` until it is stopped; SystemExit and the like of a job's own task end it, and it goes on."""
    while True:
        try:
            loop.run_forever()
        except BaseException:  # noqa: BLE001, S112 - asyncio has given it to whoever awaits the task as well
            continue
        return


class Run:
    """One coroutine in the loop, and the slot's thread that waits for it."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._context = contextvars.copy_context()  # the job's own: logging, the running job
        self._ended = threading.Event()
        self._task: asyncio.Task[Any] | None = None
        self._value: Any = None
        self.error: BaseException | None = None

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._ended.is_set():
            self._task = loop.create_task(self._guarded(), context=self._context)
            self._task.add_done_callback(self._given_up)

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        else:
            self._given_up()

    def wait(self) -> None:
        while not self._ended.wait(CHECK_EVERY):
            pass

    def result(self) -> Any:
        if self.error is not None:
            raise self.error
        return self._value

    def _given_up(self, _task: object = None) -> None:
        """End what was cancelled before its first step; after any other end there is nothing to do."""
        if not self._ended.is_set():
            self._coroutine.close()
            self.error = asyncio.CancelledError("cancelled before it began")
            self._ended.set()

    async def _guarded(self) -> None:
        try:
            self._value = await self._coroutine
        except BaseException as error:  # noqa: BLE001 - carried to the thread that waits
            self.error = error
        finally:
            self._ended.set()
