"""A broker of our own behind a wire, and what can happen to both: a fault lasts as long as its block."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from pika.exceptions import ChannelClosedByBroker

from tests.acceptance.site import wait_until
from tests.faults.proxy import HEALTHY, Flow, Proxy
from tests.news import ids_in, raw_channel
from tests.rabbitmq_server import Broker
from tomqueue.priority import PRIORITIES
from tomqueue.transport.topology import Topology

__all__ = ["PATIENCE", "WiredBroker"]

QUEUES = ("default", "mailers")
PATIENCE = 60.0
CUT_EVERY = 0.4
SLOW = Flow(latency=0.5)
LOSSY = Flow(loss=0.2, stall=0.4)


class WiredBroker:
    """What one world has at a node: ``url`` for its processes, which reach it by the wire alone."""

    def __init__(self, node: Broker, wire: Proxy, prefix: str) -> None:
        self.url = node.url_through(wire.port)
        self.wire = wire
        self.node = node
        self._topology = Topology(prefix)
        self._prefix = prefix
        self._spy = f"{prefix}.spy"

    # Looking ------------------------------------------------------------------------------------------

    def wait_until_served(self, workers: int) -> None:
        """Wait until so many workers wait for news."""
        try:
            wait_until(lambda: self._consumers() == workers, f"{workers} workers at the broker", PATIENCE)
        except AssertionError:
            print(
                self.node.ctl("list_consumers"), self.node.ctl("list_channels", "connection", "consumer_count", "state")
            )
            raise

    def spy(self) -> None:
        """Have a copy of every message kept, to be counted."""
        with raw_channel(self.node.url) as channel:
            channel.queue_declare(self._spy, durable=True)
            channel.queue_bind(self._spy, self._topology.work, "#")

    def told(self) -> Counter[int]:
        """Return how often each job was told of since ``spy``."""
        told: Counter[int] = Counter()
        with raw_channel(self.node.url) as channel:
            while (body := channel.basic_get(self._spy, auto_ack=True)[2]) is not None:
                told.update(ids_in(body))
        return told

    def most_connections(self, seconds: float = 1.0) -> int:
        """Return how many connections came within so many seconds at most."""
        times = self.wire.accepted
        return max((sum(1 for one in times if start <= one < start + seconds) for start in times), default=0)

    def _consumers(self) -> int:
        with raw_channel(self.node.url) as channel:
            try:
                frame = channel.queue_declare(self._topology.queue("default", PRIORITIES[-1]), passive=True)
            except ChannelClosedByBroker:  # nobody has declared it again yet
                return 0
            return int(frame.method.consumer_count)

    # The node -----------------------------------------------------------------------------------------

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop it in order, and start it again."""
        self.node.stop()
        try:
            yield
        finally:
            self.node.start()

    @contextmanager
    def killed(self) -> Iterator[None]:
        """Kill it, and start it again."""
        self.node.kill()
        try:
            yield
        finally:
            self.node.start()

    @contextmanager
    def wiped(self) -> Iterator[None]:
        """Kill it, and start it again without its data: it knows no queue and no message any more."""
        self.node.kill()
        try:
            yield
        finally:
            self.node.wipe()
            self.node.start()

    @contextmanager
    def without_memory(self) -> Iterator[None]:
        """Let it think that its memory is used up."""
        self.node.ctl("set_vm_memory_high_watermark", "0.000001")
        try:
            yield
        finally:
            self.node.ctl("set_vm_memory_high_watermark", "0.4")

    @contextmanager
    def without_disk(self) -> Iterator[None]:
        """Let it think that its disk is full."""
        self.node.ctl("set_disk_free_limit", "1000000GB")
        try:
            yield
        finally:
            self.node.ctl("set_disk_free_limit", "1MB")

    # The wire -----------------------------------------------------------------------------------------

    @contextmanager
    def swallowed(self) -> Iterator[None]:
        """Let packets vanish."""
        self.wire.swallow()
        try:
            yield
        finally:
            self.wire.resume()

    @contextmanager
    def refused(self) -> Iterator[None]:
        """Break every connection and refuse new ones, as a firewall does that was told to."""
        self.wire.refuse()
        try:
            yield
        finally:
            self.wire.resume()

    @contextmanager
    def cut_again_and_again(self) -> Iterator[None]:
        """Break every connection several times a second."""
        over = threading.Event()

        def cut() -> None:
            while not over.wait(CUT_EVERY):
                self.wire.cut()

        thread = threading.Thread(target=cut)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    @contextmanager
    def far(self) -> Iterator[None]:
        """Let everything travel for half a second each way."""
        self.wire.slow(SLOW, SLOW)
        try:
            yield
        finally:
            self.wire.slow(HEALTHY, HEALTHY)

    @contextmanager
    def lossy(self) -> Iterator[None]:
        """Let pieces get lost, so that they and what follows them are late."""
        self.wire.slow(LOSSY, LOSSY)
        try:
            yield
        finally:
            self.wire.slow(HEALTHY, HEALTHY)

    # The queues ---------------------------------------------------------------------------------------

    @contextmanager
    def deleted(self) -> Iterator[None]:
        """Delete the queues, with what is in them and under their consumers."""
        with raw_channel(self.node.url) as channel:
            for name in self._queues():
                channel.queue_delete(name)
        yield

    @contextmanager
    def purged(self) -> Iterator[None]:
        """Empty the queues."""
        with raw_channel(self.node.url) as channel:
            for name in self._queues():
                channel.queue_purge(name)
        yield

    @contextmanager
    def policy(self, **definition: object) -> Iterator[None]:
        """Set a policy on the queues."""
        pattern = f"^{self._prefix}\\.({'|'.join(QUEUES)})\\."
        self.node.ctl("set_policy", "--apply-to", "queues", self._prefix, pattern, json.dumps(definition))
        try:
            yield
        finally:
            self.node.ctl("clear_policy", self._prefix)

    def _queues(self) -> list[str]:
        return [self._topology.queue(queue, rank) for queue in QUEUES for rank in PRIORITIES]
