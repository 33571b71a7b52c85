"""The event loop of asynchronous jobs: each run has one end, whatever its slot, its neighbours or itself do."""

import asyncio
import ctypes
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest

from tomqueue.errors import JobTimeout
from tomqueue.worker.loop import LoopThread

PATIENCE = 10.0
tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    """Give a loop thread."""
    made = LoopThread()
    yield made
    made.close()


async def answer() -> int:
    """Return at once."""
    return 42


def test_a_run_returns_and_raises_what_its_job_does(loop: LoopThread) -> None:
    """The result, and any error, reach the slot."""

    async def fail() -> None:
        raise SystemExit(3)

    assert loop.run(answer()) == 42
    with pytest.raises(SystemExit):
        loop.run(fail())
    assert loop.run(answer()) == 42


def test_a_run_has_the_context_of_its_slot(loop: LoopThread) -> None:
    """Context variables are seen, and a change stays in the job."""

    async def look() -> str:
        seen = tenant.get()
        tenant.set("changed")
        return seen

    marker = tenant.set("acme")
    assert loop.run(look()) == "acme"
    assert tenant.get() == "acme"
    tenant.reset(marker)


def test_a_task_of_a_job_cannot_end_the_loop(loop: LoopThread) -> None:
    """SystemExit in a task that a job made is that job's, and the loop goes on."""

    async def leave() -> None:
        raise SystemExit(3)

    async def parent() -> None:
        await asyncio.create_task(leave())

    with pytest.raises(SystemExit):
        loop.run(parent())
    assert loop.run(answer()) == 42


def interrupted_run(loop: LoopThread, coroutine: Coroutine[Any, Any, Any], when: Callable[[], object]) -> Any:
    """Run in a slot's thread that is interrupted after ``when`` returned; give what comes of it, or what it raises."""
    idents: list[int] = []
    started = threading.Event()

    def run() -> Any:
        idents.append(threading.get_ident())
        started.set()
        return loop.run(coroutine)

    with ThreadPoolExecutor(1) as slot:
        future = slot.submit(run)
        assert started.wait(PATIENCE)
        when()
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(idents[0]), ctypes.py_object(JobTimeout))
        return future.result(PATIENCE)


def test_an_interruption_cancels_the_coroutine(loop: LoopThread) -> None:
    """It may clean up first; the interruption names the cancelled await as its cause."""
    began, cleaned = threading.Event(), []

    async def hang() -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned.append(1)

    with pytest.raises(JobTimeout) as raised:
        interrupted_run(loop, hang(), lambda: began.wait(PATIENCE))
    assert isinstance(raised.value.__cause__, asyncio.CancelledError)
    assert cleaned == [1]


def test_a_coroutine_that_ends_in_spite_of_it_has_ended(loop: LoopThread) -> None:
    """One that swallows its cancellation and returns is no time-out any more."""
    began = threading.Event()

    async def stubborn() -> str:
        began.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "done"
        return "slept"

    assert interrupted_run(loop, stubborn(), lambda: began.wait(PATIENCE)) == "done"


def test_what_never_began_is_given_up(loop: LoopThread) -> None:
    """While a neighbour hogs the loop, a time-out neither hangs its slot nor lets the job run behind its back."""
    hogging, over = threading.Event(), threading.Event()
    ran = []

    async def hog() -> None:
        hogging.set()
        over.wait(PATIENCE)

    async def patient() -> None:
        ran.append(1)

    with ThreadPoolExecutor(1) as neighbour:
        busy = neighbour.submit(loop.run, hog())
        assert hogging.wait(PATIENCE)
        when_cancelled(loop, over)
        with pytest.raises(JobTimeout):
            interrupted_run(loop, patient(), lambda: None)
        busy.result(PATIENCE)
    assert loop.run(answer()) == 42
    assert ran == []


def when_cancelled(loop: LoopThread, asked: threading.Event) -> None:
    """Set ``asked`` as soon as something is to be cancelled in the loop."""
    inner: Any = loop._loop
    call = inner.call_soon_threadsafe

    def watched(callback: Callable[..., object], *arguments: Any) -> None:
        call(callback, *arguments)
        if getattr(callback, "__name__", "") == "cancel":
            asked.set()

    inner.call_soon_threadsafe = watched
