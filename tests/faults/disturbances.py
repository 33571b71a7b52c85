"""What a soak does to a world at random moments: each a small function, in DISTURBANCES by what it needs."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product

from pika.exceptions import ChannelClosedByBroker

from tests.acceptance.site import Running, wait_until
from tests.faults.world import World
from tests.news import raw_channel
from tests.processes import freeze, is_alive
from tests.rabbitmq_server import Broker
from tests.server_admin import ServerAdmin
from tomqueue.priority import PRIORITIES
from tomqueue.transport.topology import Topology

__all__ = ["Soaked", "disturbances_of"]

QUEUES = ("default", "mailers")
SHORT = 1.0
"""Seconds that something stands still or is away: less than a lease."""


@dataclass(kw_only=True)
class Soaked:
    """A world under load. ``steady`` lives to the end, and is not touched itself; ``others`` come and go."""

    world: World
    steady: Running
    others: list[Running] = field(default_factory=list)
    broker: Broker | None = None
    admin: ServerAdmin | None = None

    def replace(self, gone: Running) -> None:
        """Let another supervisor take the place of one that has ended."""
        self.others.remove(gone)
        self.others.append(self.world.supervisor())

    def other(self) -> Running:
        """Draw one of those that may be disturbed."""
        return self.world.random.choice(self.others)

    def child(self) -> int:
        """Draw one of their children: a worker or a deferred process."""
        supervisor = self.other()
        wait_until(lambda: bool(supervisor.children()), "children of a supervisor")
        return self.world.random.choice(supervisor.children())


def kill_a_child(soaked: Soaked) -> None:
    """Kill a worker or a deferred process."""
    soaked.world.kill(soaked.child(), what="a child")


def kill_a_supervisor(soaked: Soaked) -> None:
    """Kill a supervisor; another one comes."""
    victim = soaked.other()
    soaked.world.kill(victim.process.pid, what="a supervisor")
    victim.wait()
    soaked.replace(victim)


def kill_a_host(soaked: Soaked) -> None:
    """Kill a supervisor with all its children; another one comes."""
    victim = soaked.other()
    soaked.world.kill(victim.process.pid, *victim.children(), what="a host")
    victim.wait()
    soaked.replace(victim)


def drain_a_supervisor(soaked: Soaked) -> None:
    """Stop a supervisor in order; another one comes."""
    victim = soaked.other()
    victim.send(signal.SIGTERM)
    assert victim.wait() == 0, victim.log
    soaked.replace(victim)


def deploy(soaked: Soaked) -> None:
    """Have the workers of a supervisor replaced one by one."""
    soaked.other().send(signal.SIGHUP)


def freeze_a_child(soaked: Soaked) -> None:
    """Let a child stand still for less than its lease."""
    pid = soaked.child()
    freeze(pid)
    time.sleep(SHORT)
    if is_alive(pid):
        os.kill(pid, signal.SIGCONT)


def end_sessions(soaked: Soaked) -> None:
    """End every session at the database."""
    assert soaked.admin is not None
    soaked.admin.end_sessions()


def kill_the_broker(soaked: Soaked) -> None:
    """Kill the broker, and start it again with its data."""
    assert soaked.broker is not None
    soaked.broker.kill()
    time.sleep(SHORT)
    soaked.broker.start()


def freeze_the_broker(soaked: Soaked) -> None:
    """Let the broker stand still, its connections open."""
    assert soaked.broker is not None
    with soaked.broker.frozen():
        time.sleep(SHORT)


def purge(soaked: Soaked) -> None:
    """Throw all news away."""
    assert soaked.broker is not None
    topology = Topology(soaked.world.prefix)
    for queue, rank in product(QUEUES, PRIORITIES):
        with suppress(ChannelClosedByBroker):  # nobody has declared that one yet
            with raw_channel(soaked.broker.url) as channel:
                channel.queue_purge(topology.queue(queue, rank))


def disturbances_of(soaked: Soaked) -> list[Callable[[Soaked], None]]:
    """Return what can happen to such a world."""
    always = [kill_a_child, kill_a_supervisor, kill_a_host, drain_a_supervisor, deploy, freeze_a_child]
    at_server = [end_sessions] if soaked.admin is not None else []
    at_broker = [kill_the_broker, freeze_the_broker, purge] if soaked.broker is not None else []
    return [*always, *at_server, *at_broker]
