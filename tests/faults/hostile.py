"""A hostile broker: a program between those who publish and those who work, that no message gets past.

Publishers use one prefix and workers another. So the queues that publishers fill are read here only, and what
workers get comes from here only: what Malice leaves of it, on a real broker in the real format.
"""

import heapq
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

import pika

from tests.faults.malice import Malice, Parcel
from tomqueue.priority import PRIORITIES
from tomqueue.transport.topology import Topology

__all__ = ["HostileBroker"]

PURGE_EVERY = 0.5
"""Mean seconds between two purges of a queue."""


class HostileBroker:
    """Moves messages from the queues of ``source`` to those of ``target``, and purges these at random."""

    def __init__(self, url: str, source: Topology, target: Topology, queues: Sequence[str], seed: int) -> None:
        places = [(queue, rank) for queue in queues for rank in PRIORITIES]
        self._parameters = pika.URLParameters(url)
        self._routes = {source.queue(*place): target.queue(*place) for place in places}
        self._declared = [(topology, queue) for topology in (source, target) for queue in queues]
        self.malice = Malice(list(self._routes.values()), seed)
        self.purges = 0
        self._random = random.Random(seed)
        self._held: list[tuple[float, int, Parcel]] = []
        self._order = count()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hostile-broker")
        self._trouble: BaseException | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Be hostile until the block ends; everything that is held by then is lost."""
        self._thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            self._thread.join()
        if self._trouble is not None:
            raise self._trouble

    def check(self) -> None:
        """Raise what ended the program before its time, if anything did."""
        if self._trouble is not None:
            raise self._trouble

    def _run(self) -> None:
        try:
            with pika.BlockingConnection(self._parameters) as connection:
                channel = connection.channel()
                self._declare(channel)
                for queue, target in self._routes.items():
                    channel.basic_consume(queue, partial(self._received, target), auto_ack=True)
                while not self._stopping.is_set():
                    connection.process_data_events(0.01)
                    self._send_what_is_due(channel)
                    self._purge_sometimes(channel)
        except BaseException as error:  # noqa: BLE001 - raised in the test's own thread
            self._trouble = error

    def _declare(self, channel: Any) -> None:
        for topology, queue in self._declared:
            channel.exchange_declare(topology.work, "topic", durable=True)
            for rank in PRIORITIES:
                name = topology.queue(queue, rank)
                channel.queue_declare(name, durable=True, arguments={"x-queue-type": topology.queue_type})
                channel.queue_bind(name, topology.work, topology.routing_key(queue, rank))

    def _received(self, target: str, _channel: Any, _method: Any, properties: Any, body: bytes) -> None:
        for parcel in self.malice.treat(Parcel(target, body, properties.headers)):
            heapq.heappush(self._held, (time.monotonic() + parcel.seconds, next(self._order), parcel))

    def _send_what_is_due(self, channel: Any) -> None:
        while self._held and self._held[0][0] <= time.monotonic():
            _, _, parcel = heapq.heappop(self._held)
            properties = pika.BasicProperties(headers=parcel.headers, delivery_mode=2)
            channel.basic_publish("", parcel.queue, parcel.body, properties)

    def _purge_sometimes(self, channel: Any) -> None:
        if self._random.random() < 0.01 / PURGE_EVERY:
            channel.queue_purge(self.malice.other_queue())
            self.purges += 1
