"""A wire that can fail: forwards TCP connections to a port of this machine, and can cut, refuse, swallow or slow them.

TCP hides loss from both ends: a lost piece comes again after a while, and what follows waits for it. So loss is
shown as it is felt, by pieces that are late.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["HEALTHY", "Flow", "Proxy"]

HOST = "127.0.0.1"
PIECE = 65_536
ON_THE_WAY = 256
"""Pieces that one direction of a connection holds; beyond it the sender's own buffers fill, as on a real wire."""
RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, kw_only=True)
class Flow:
    """How bytes travel in one direction. Times are in seconds."""

    latency: float = 0.0
    """Of each piece; pieces on the way do not wait for each other."""
    stall: float = 0.0
    """How long a lost piece, and what follows it, is late."""
    loss: float = 0.0
    """Share of the pieces that are."""
    rate: float = 0.0
    """Most bytes in a second; 0 is no limit."""


HEALTHY = Flow()


@dataclass(eq=False)
class Direction:
    """One direction of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    flow: Callable[[], Flow]


class Proxy:
    """Listens on ``port`` from its start until it is closed. Its methods are for every thread and return when done."""

    def __init__(self, target: int, *, seed: int = 0) -> None:
        self.port = 0
        self.accepted: list[float] = []
        """When each connection came (``time.monotonic``), also those that got nowhere."""
        self._target = target
        self._random = random.Random(seed)
        self._there, self._back = HEALTHY, HEALTHY
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tests-proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._passes = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        self._do(self._open())
        return self

    def __exit__(self, *error: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # Faults -------------------------------------------------------------------------------------------

    def cut(self) -> int:
        """Break every connection, as a reset that both ends see; return how many. New ones are welcome."""
        return self._do(self._cut())

    def refuse(self) -> None:
        """Break every connection and refuse new ones."""
        self._do(self._refuse())

    def swallow(self) -> None:
        """Forward nothing, and tell nobody: connections stay open, new ones are accepted, nothing is ever answered.

        What is sent meanwhile arrives after ``resume``, if its sender waited for that: a black hole loses packets,
        and TCP sends them again.
        """
        self._do(self._swallow())

    def slow(self, there: Flow, back: Flow) -> None:
        """Let bytes travel so: ``there`` from the client to the target, ``back`` to the client."""
        self._there, self._back = there, back

    def resume(self) -> None:
        """Be a healthy wire again."""
        self.slow(HEALTHY, HEALTHY)
        self._do(self._listen())
        self._do(self._open())

    # In the loop --------------------------------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, int | None]) -> int:
        done: Future[int | None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return done.result(10) or 0

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, HOST, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _open(self) -> None:
        self._passes.set()

    async def _swallow(self) -> None:
        self._passes.clear()

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> int:
        cut = len(self._tasks)
        for writer in list(self._writers):
            reset(writer)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return cut

    async def _close(self) -> None:
        await self._refuse()
        await asyncio.sleep(0)  # the transports that were cut end in the loop's next round

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted.append(time.monotonic())
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._passes.wait()
            await self._forward(reader, writer)
        self._tasks.discard(task)
        self._writers.discard(writer)
        reset(writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward both ways until either end has closed and that has arrived at the other."""
        far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
        self._writers.add(far_writer)
        ways = [
            Direction(reader, far_writer, lambda: self._there),
            Direction(far_reader, writer, lambda: self._back),
        ]
        running = [asyncio.ensure_future(self._carry(way)) for way in ways]
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in running:
                one.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            self._writers.discard(far_writer)
            far_writer.close()
            writer.close()

    async def _carry(self, way: Direction) -> None:
        """Carry one direction to its end."""
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(ON_THE_WAY)
        taking = asyncio.ensure_future(self._take(way, on_the_way))
        try:
            while True:
                arrives, piece = await on_the_way.get()
                await asyncio.sleep(max(0.0, arrives - time.monotonic()))
                await self._passes.wait()
                if not piece:
                    return
                way.writer.write(piece)
                await way.writer.drain()
        finally:
            taking.cancel()

    async def _take(self, way: Direction, on_the_way: "asyncio.Queue[tuple[float, bytes]]") -> None:
        """Take pieces from the sender, and say when each arrives; an empty one is the end."""
        piece = b"-"
        while piece:
            with contextlib.suppress(ConnectionError):  # a reset travels as the end does
                piece = b""
                piece = await way.reader.read(PIECE)
            flow = way.flow()
            await asyncio.sleep(self._hindrance(flow, len(piece)))
            await on_the_way.put((time.monotonic() + flow.latency, piece))

    def _hindrance(self, flow: Flow, size: int) -> float:
        """Return for how long a piece holds up what comes after it."""
        lost = flow.stall if flow.loss and self._random.random() < flow.loss else 0.0
        return lost + (size / flow.rate if flow.rate else 0.0)


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection at once, by a reset rather than a goodbye; nothing, when it has ended."""
    if writer.transport.is_closing():
        return
    end: socket.socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
