"""A private RabbitMQ node for tests: it can be stopped, killed and started again with its data, and be told things.

It has an epmd (Erlang's name server) of its own, in the process group that its watcher ends.
"""

import base64
import contextlib
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pika
from pika.exceptions import AMQPError

from tests.processes import freeze
from tests.servers import USER, ServerMissingError, free_port, hidden_program, private_directory, write
from tests.watcher import STOP_SECONDS, Plan, running
from tomqueue.priority import PRIORITIES
from tomqueue.transport.topology import Topology

FOLDERS = (
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",  # not in PATH, where Debian's wrappers want its system user
    "/opt/homebrew/opt/rabbitmq*/sbin",
    "/usr/local/opt/rabbitmq*/sbin",
)
PORTS_SECONDS = 30.0
EPMD = """
epmd -address 127.0.0.1 &
until epmd -names >/dev/null 2>&1; do sleep 0.02; done
"""


@dataclass(frozen=True, kw_only=True)
class Membership:
    """What the nodes of a cluster share."""

    epmd_port: int
    """Of an epmd that outlives each of the nodes."""
    cookie: str
    name: str
    """Of this node: the others find it by that."""


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """Files for TLS, made by the test."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a node is configured with beside its addresses."""

    config: Mapping[str, str] = field(default_factory=dict)
    """Lines of rabbitmq.conf."""
    advanced: str = "[]."
    """The advanced.config, in Erlang."""
    tls: Certificates | None = None
    password: str = ""
    """Of the tests' user; empty: one of the node's own."""
    membership: Membership | None = None
    """Of a node that shall join others; one by itself has an epmd and a cookie of its own."""


class Broker:
    """One node: ``url`` for clients, and what tests do to it."""

    def __init__(self, directory: str, user: str | None, options: Options) -> None:
        self.port = free_port()
        self.tls_port = free_port()
        self.password = options.password or secrets.token_hex(16)
        self.url = self.url_of("/")
        self._directory = Path(directory)
        self._user = user
        self._pid_file = self._directory / "pid"
        self._running = ExitStack()
        self._watcher: subprocess.Popen[bytes] | None = None
        self._server = script("rabbitmq-server")
        self._ctl = script("rabbitmqctl")
        self._membership = options.membership
        self.name = options.membership.name if options.membership else new_name()
        self._environment = self._make_environment()
        self._speaks_tls = options.tls is not None
        self._write_configuration(options)

    def url_of(self, vhost: str) -> str:
        """Return the address of a virtual host."""
        return f"amqp://{USER}:{self.password}@127.0.0.1:{self.port}/{quote(vhost, safe='')}"

    def url_through(self, port: int) -> str:
        """Return the address for clients that reach the node by another port, a proxy's."""
        return self.url.replace(f":{self.port}/", f":{port}/")

    def start(self) -> None:
        """Start the node, with the data that it has, and wait until it answers; nothing, if it runs."""
        if self._watcher is not None:
            return
        self._pid_file.unlink(missing_ok=True)  # that process is gone, and its number may be another's by now
        self._wait_for_ports()
        serve = ["sh", "-c", f"{'' if self._membership else EPMD}exec {self._server}"]
        plan = Plan(str(self._directory), [serve], signal.SIGTERM, self._user, self._environment)
        self._watcher = self._running.enter_context(running(plan, self.answers))

    def _wait_for_ports(self) -> None:
        """Let go of its ports who is still ending: the node that ran here before."""
        ports, until = (self.port, int(self._environment["RABBITMQ_DIST_PORT"])), time.monotonic() + PORTS_SECONDS
        while any(map(listens, ports)) and time.monotonic() < until:
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the node in order; its data stays."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the node as a crash does (`kill -9`); its data stays."""
        self._end(signal.SIGKILL)

    def wipe(self) -> None:
        """Remove the data of a node that does not run."""
        shutil.rmtree(self._directory / "data")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let the node stand still: its connections stay open, and nothing comes."""
        freeze(self._pid())
        try:
            yield
        finally:
            os.kill(self._pid(), signal.SIGCONT)

    def close(self) -> None:
        """End the node for good."""
        self._running.close()

    def answers(self) -> bool:
        """Say whether a client can connect by now."""
        if not listens(self.port) or (self._speaks_tls and not shakes_hands(self.tls_port)):
            return False
        try:
            pika.BlockingConnection(pika.URLParameters(self.url)).close()
        except (AMQPError, OSError):
            return False
        return True

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl against the node; return what it printed."""
        done = subprocess.run(
            [self._ctl, "--quiet", *arguments],
            env={**os.environ, **self._environment},
            cwd=self._directory,
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def add_vhost(self, name: str) -> str:
        """Make a virtual host; return its URL."""
        self.ctl("add_vhost", name)
        self.ctl("set_permissions", "--vhost", name, USER, ".*", ".*", ".*")
        return self.url_of(name)

    def _end(self, how: signal.Signals) -> None:
        if self._watcher is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid(), how)
        self._watcher.wait(STOP_SECONDS)  # before its pipe closes, which would have it remove the directory
        self._watcher = None
        self._running.pop_all().close()

    def _pid(self) -> int:
        return int(self._pid_file.read_text())

    def _make_environment(self) -> dict[str, str]:
        path = self._directory
        return {
            "HOME": str(path),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(path / "data"),
            "RABBITMQ_LOG_BASE": str(path / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(path / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(path / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(path / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(path / "none"),
            "RABBITMQ_PID_FILE": str(self._pid_file),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(self._membership.epmd_port if self._membership else free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RUNNING_UNDER_SYSTEMD": "1",  # the script then becomes the node instead of waiting for it
            "LC_ALL": "C.UTF-8",
        }

    def _write_configuration(self, options: Options) -> None:
        lines = {
            "listeners.tcp.local": f"127.0.0.1:{self.port}",
            "default_user": USER,
            "default_pass": self.password,
            "log.file.level": "info",
            **options.config,
        }
        if options.tls is not None:
            lines |= {
                "listeners.ssl.local": f"127.0.0.1:{self.tls_port}",
                "ssl_options.cacertfile": self._own_copy(options.tls.ca),
                "ssl_options.certfile": self._own_copy(options.tls.certificate),
                "ssl_options.keyfile": self._own_copy(options.tls.key),
                "ssl_options.verify": "verify_none",
            }
        conf = "".join(f"{name} = {value}\n" for name, value in lines.items())
        write(self._directory / "rabbitmq.conf", conf, self._user)
        write(self._directory / "advanced.config", options.advanced, self._user)
        write(self._directory / "plugins", "[].", self._user)
        cookie = self._membership.cookie if self._membership else new_cookie()
        write(self._directory / ".erlang.cookie", cookie, self._user)

    def _own_copy(self, original: Path) -> str:
        """Copy a file to where the node's user may read it."""
        copy = self._directory / original.name
        write(copy, original.read_text(), self._user)
        return str(copy)


@contextmanager
def rabbitmq(options: Options | None = None) -> Iterator[Broker]:
    """Give a running private node."""
    with private_directory("rabbitmq") as (directory, user):
        broker = Broker(directory, user, options or Options())
        try:
            broker.start()
            yield broker
        finally:
            broker.close()


@contextmanager
def rabbitmq_url_of_session() -> Iterator[str]:
    """Give the URL of a RabbitMQ server: the one in TOMQUEUE_TEST_RABBITMQ_URL, or a private one."""
    if given := os.environ.get("TOMQUEUE_TEST_RABBITMQ_URL"):
        yield given
        return
    with rabbitmq() as broker:
        yield broker.url


def delete_names(url: str, prefix: str) -> None:
    """Delete what tests usually declare under a prefix."""
    topology = Topology(prefix)
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        for queue in ("default", "mailers", "other"):
            for rank in PRIORITIES:
                channel.queue_delete(topology.queue(queue, rank))
        channel.queue_delete(topology.deferred)
        channel.exchange_delete(topology.work)
        channel.exchange_delete(topology.deferred)


def new_name() -> str:
    """Make up what a node is called."""
    return f"tomqueue-{secrets.token_hex(4)}@localhost"


def new_cookie() -> str:
    """Make up the secret by which nodes and tools know each other."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def script(name: str) -> str:
    """Find one of the server's own scripts."""
    found = hidden_program(name, FOLDERS)
    if found is None:
        raise ServerMissingError(f"{name} is not installed; tests/install_servers.sh installs it or says how")
    return found


def shakes_hands(port: int) -> bool:
    """Say whether a port of this machine speaks TLS by now; one that only listens may still reset connections."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", port)) as probe, context.wrap_socket(probe):
            return True
    except OSError:
        return False


def listens(port: int) -> bool:
    """Say whether somebody accepts connections on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
