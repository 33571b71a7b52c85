"""The installed command handles messages of another program, and is killed, told to stop and hindered meanwhile."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.site import Site, field_of, wait_until
from tests.news import raw_channel
from tomqueue.transport.topology import Topology

CONSUMERS = """

@tq.consumer(name="orders", exchange=os.environ["SITE_EXCHANGE"], routing_key="#", max_run_time=0.5)
def on_order(message):
    what = message.body.decode()
    write(f"begin {what} redelivered={int(message.redelivered)} pid={os.getpid()}")
    if what == "die" and not message.redelivered:
        os.abort()
    if what == "deaf" and not message.redelivered:
        left, right = socket.socketpair()
        while True:
            try:
                left.recv(1)
            except BaseException:
                pass
    note.enqueue(f"noted-{what}")
    write(f"end {what}")


@tq.consumer(name="slow", exchange=os.environ["SITE_EXCHANGE"] + "-slow")
def on_slow(message):
    write(f"begin slow pid={os.getpid()}")
    try:
        time.sleep(1.5 if message.redelivered else 60)
    except JobInterrupted:
        write("interrupted slow")
        raise
    write("end slow")
"""


class Orders:
    """A site with consumers, and the other program's exchanges."""

    def __init__(self, site: Site, url: str, prefix: str) -> None:
        self.site = site
        self.exchange = f"{prefix}.orders"
        self._url = url
        self._topology = Topology(prefix)
        site.module.write_text(site.module.read_text() + CONSUMERS)
        site.environment["SITE_EXCHANGE"] = self.exchange
        with raw_channel(url) as channel:
            for name, exchange in (("orders", self.exchange), ("slow", f"{self.exchange}-slow")):
                queue = self._topology.consumer_queue(name)
                channel.exchange_declare(exchange, "topic", durable=True)
                channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "classic"})
                channel.queue_bind(queue, exchange, "#")

    def publish(self, body: str, to: str = "") -> None:
        """Publish as the other program does."""
        with raw_channel(self._url) as channel:
            channel.basic_publish(self.exchange + to, "order.paid", body.encode())

    def delete(self) -> None:
        """Delete what belongs to the test."""
        with raw_channel(self._url) as channel:
            for name, exchange in (("orders", self.exchange), ("slow", f"{self.exchange}-slow")):
                channel.queue_delete(self._topology.consumer_queue(name))
                channel.exchange_delete(exchange)


@pytest.fixture
def orders(tmp_path: Path, sqlite_url: str, rabbitmq_url: str, rabbitmq_prefix: str) -> Iterator[Orders]:
    """Give the site."""
    site = Site(tmp_path, sqlite_url, heartbeat=0.5, lease=3, grace=3, broker_url=rabbitmq_url, prefix=rabbitmq_prefix)
    made = Orders(site, rabbitmq_url, rabbitmq_prefix)
    yield made
    site.tq.close()
    made.delete()


def test_a_message_is_redelivered_when_its_process_dies(orders: Orders) -> None:
    """By its own doing, killed from outside, or by the supervisor for ignoring its time-out; then it is handled."""
    site = orders.site
    with site.started("run", "--processes", "1") as running:
        orders.publish("fine")
        site.wait_for_lines(1, "end fine")
        orders.publish("die")
        site.wait_for_lines(1, "end die")
        orders.publish("deaf")
        site.wait_for_lines(1, "end deaf")
        orders.publish("", to="-slow")
        os.kill(field_of(site.wait_for_lines(1, "begin slow")[0], "pid"), signal.SIGKILL)
        site.wait_for_lines(1, "end slow")
        for what in ("fine", "die", "deaf"):
            site.wait_for_lines(1, f"noted-{what}")
        running.send(signal.SIGTERM)
        assert running.wait() == 0
    for what, times in (("fine", 1), ("die", 2), ("deaf", 2), ("slow", 2)):
        assert len(site.lines(f"begin {what}")) == times, site.lines()
        assert len(site.lines(f"end {what}")) == 1
    assert site.tq.jobs.count() == 0


def test_a_drain_gives_a_message_back_that_does_not_end_in_time(orders: Orders) -> None:
    """Its handler is interrupted shortly before; the next worker handles it."""
    site = orders.site
    with site.started("run", "--processes", "1") as running:
        orders.publish("", to="-slow")
        site.wait_for_lines(1, "begin slow")
        running.send(signal.SIGTERM)
        assert running.wait() == 0
    assert site.lines("interrupted slow") == ["interrupted slow"]
    with site.started("run", "--processes", "1"):
        site.wait_for_lines(1, "end slow")
    wait_until(lambda: site.tq.jobs.count() == 0, "no jobs")
