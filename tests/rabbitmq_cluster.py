"""A private RabbitMQ cluster for tests: three nodes, each of which can be stopped, killed and started again."""

import secrets
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.rabbitmq_server import Broker, Membership, Options, listens, new_cookie, new_name
from tests.servers import free_port, private_directory, program
from tests.watcher import Plan, running

__all__ = ["Cluster", "rabbitmq_cluster"]

NODES = 3


@dataclass(frozen=True)
class Cluster:
    """Nodes that share accounts, declarations and quorum queues."""

    nodes: tuple[Broker, ...]

    @property
    def url(self) -> str:
        """The address that names every node."""
        first = self.nodes[0]
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return first.url.replace(f"127.0.0.1:{first.port}", hosts)

    def start(self) -> None:
        """Start what does not run, all at once: a node may wait for another."""
        with ThreadPoolExecutor(len(self.nodes)) as threads:
            list(threads.map(Broker.start, self.nodes))


@contextmanager
def rabbitmq_cluster() -> Iterator[Cluster]:
    """Give a running private cluster: one node starts, and the others join it when they do."""
    epmd_port, cookie, password = free_port(), new_cookie(), secrets.token_hex(16)
    nodes: list[Broker] = []
    with ExitStack() as stack:
        stack.enter_context(epmd(epmd_port))
        for _ in range(NODES):
            directory, user = stack.enter_context(private_directory("rabbitmq"))
            membership = Membership(epmd_port=epmd_port, cookie=cookie, name=new_name())
            config = joins(nodes[0].name, membership.name) if nodes else {}
            nodes.append(Broker(directory, user, Options(config=config, password=password, membership=membership)))
            stack.callback(nodes[-1].close)
            stack.callback(nodes[-1].kill)  # at once: nobody needs its data any more
        cluster = Cluster(tuple(nodes))
        nodes[0].start()
        cluster.start()
        yield cluster


def joins(first: str, name: str) -> dict[str, str]:
    """Return the lines of rabbitmq.conf that have a new node join another."""
    key = "cluster_formation.classic_config.nodes"
    return {
        "cluster_formation.peer_discovery_backend": "classic_config",
        f"{key}.1": first,
        f"{key}.2": name,
    }


@contextmanager
def epmd(port: int) -> Iterator[None]:
    """Run Erlang's name server for all nodes of a cluster."""
    with private_directory("rabbitmq") as (directory, user):
        environment = {"ERL_EPMD_PORT": str(port)}
        plan = Plan(directory, [[program("epmd"), "-address", "127.0.0.1"]], signal.SIGTERM, user, environment)
        with running(plan, lambda: listens(port)):
            yield
