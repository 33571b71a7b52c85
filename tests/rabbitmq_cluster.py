"""A private RabbitMQ cluster for tests: three nodes, each of which can be stopped, killed and started again."""

import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.rabbitmq_server import Broker, Membership, Options, listens, new_cookie
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
        """Start what does not run."""
        for node in self.nodes:
            node.start()


@contextmanager
def rabbitmq_cluster() -> Iterator[Cluster]:
    """Give a running private cluster."""
    with ExitStack() as stack:
        membership = Membership(epmd_port=free_port(), cookie=new_cookie())
        stack.enter_context(epmd(membership.epmd_port))
        options = Options(password=secrets.token_hex(16), membership=membership)
        nodes = tuple(stack.enter_context(joining(options)) for _ in range(NODES))
        for node in nodes[1:]:
            node.ctl("stop_app")
            node.ctl("reset")
            node.ctl("join_cluster", nodes[0].name)
            node.ctl("start_app")
        yield Cluster(nodes)


@contextmanager
def epmd(port: int) -> Iterator[None]:
    """Run Erlang's name server for all nodes of a cluster."""
    with private_directory("rabbitmq") as (directory, user):
        environment = {"ERL_EPMD_PORT": str(port)}
        plan = Plan(directory, [[program("epmd"), "-address", "127.0.0.1"]], signal.SIGTERM, user, environment)
        with running(plan, lambda: listens(port)):
            yield


@contextmanager
def joining(options: Options) -> Iterator[Broker]:
    """Give a running node."""
    with private_directory("rabbitmq") as (directory, user):
        node = Broker(directory, user, options)
        try:
            node.start()
            yield node
        finally:
            node.close()
