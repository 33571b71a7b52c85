"""The private servers of a run, and for each trial a fresh place on them: a database, a virtual host, a file."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pika
from sqlalchemy import make_url, text

from benchmarks.compare.contender import Contender
from benchmarks.compare.redis_server import redis
from benchmarks.measuring import children_of, family
from tests.database_server import PLANS
from tests.rabbitmq_server import Broker, rabbitmq
from tests.servers import administering, answers, as_text, fresh_database, private_directory
from tests.watcher import running

__all__ = ["Place", "Servers"]

MEMORY_OF = {
    "postgres": ["-c", "shared_buffers=512MB"],  # the manual: a quarter of the machine's memory is a reasonable start
    "mariadb": ["--innodb-buffer-pool-size=512M", "--innodb-log-file-size=256M"],
}
"""What the tests' settings are too small in for a benchmark; durability is that of production in both."""
PLAIN = {"postgres": ("POSTGRES_URL", "postgresql"), "mariadb": ("MYSQL_URL", "mysql")}
IN_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Place:
    """Where one trial happens."""

    addresses: Mapping[str, str]
    folder: Path
    """For the files of counts and moments; in memory, if the machine has such a folder."""
    watchers: list[int]
    """The processes whose descendants are the servers."""

    def analyse(self) -> None:
        """Let database servers count their rows, as those in production have."""
        if url := self.addresses.get("POSTGRES_SQLALCHEMY_URL"):
            with administering(make_url(url)) as connection:
                connection.execute(text("ANALYZE"))
        if url := self.addresses.get("MARIADB_SQLALCHEMY_URL"):
            with administering(make_url(url)) as connection:
                tables = ", ".join(connection.execute(text("SHOW TABLES")).scalars())
                connection.execute(text(f"ANALYZE TABLE {tables}"))

    def server_processes(self) -> list[int]:
        """Return the servers' processes as they are now."""
        return family(*self.watchers)


class Servers:
    """Starts each server when it is first needed; all end with the run."""

    def __init__(self, running: ExitStack) -> None:
        self._running = running
        self._urls: dict[str, str] = {}
        self._brokers: list[Broker] = []
        self._hosts: dict[str, str] = {}
        self._watchers: dict[str, int] = {}

    @contextmanager
    def place(self, contender: Contender) -> Iterator[Place]:
        """Give a contender an empty place on its servers."""
        with ExitStack() as stack:
            for name in contender.servers:
                self._start(name, stack)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tomqueue-compare-", dir=in_memory())))
            addresses: dict[str, str] = {}
            for name in contender.servers:
                addresses |= self._address(name, contender, stack)
            watchers = [self._watchers[name] for name in contender.servers if name in self._watchers]
            yield Place(addresses, folder, watchers)

    def _start(self, name: str, trial: ExitStack) -> None:
        if name == "sqlite" or (name in self._watchers and name != "redis"):
            return
        before = set(children_of(os.getpid()))
        if name == "rabbitmq":
            self._brokers.append(self._running.enter_context(rabbitmq()))
        elif name == "redis":  # it has one place, and starts in no time: each trial has a server of its own
            self._urls[name] = trial.enter_context(redis())
        else:
            self._urls[name] = self._running.enter_context(database(name))
        self._watchers[name] = (set(children_of(os.getpid())) - before).pop()

    def _address(self, name: str, contender: Contender, stack: ExitStack) -> dict[str, str]:
        if name == "sqlite":
            file = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tomqueue-compare-")), "jobs.db")
            return {"SQLITE_FILE": str(file), "SQLITE_SQLALCHEMY_URL": f"sqlite:///{file}"}
        if name == "rabbitmq":
            url = self._host_of(contender)
            stack.callback(delete_queues, url, contender.queues)
            return {"BROKER_URL": url}
        if name == "redis":
            return {"REDIS_URL": self._urls[name]}
        url = stack.enter_context(fresh_database(self._urls[name]))
        variable, scheme = PLAIN[name]
        plain = as_text(make_url(url).set(drivername=scheme, query={}))
        return {variable: plain, f"{name.upper()}_SQLALCHEMY_URL": url}

    def _host_of(self, contender: Contender) -> str:
        if contender.name not in self._hosts:
            self._hosts[contender.name] = self._brokers[0].add_vhost(contender.name)
        return self._hosts[contender.name]


@contextmanager
def database(name: str) -> Iterator[str]:
    """Give the URL of a running private database server."""
    user, plan_of = PLANS[name]
    with private_directory(user) as (directory, owner):
        address, plan = plan_of(directory, owner)
        *preparations, serve = plan.commands
        with running(replace(plan, commands=[*preparations, [*serve, *MEMORY_OF[name]]]), lambda: answers(address)):
            yield as_text(address)


def delete_queues(url: str, names: Iterable[str]) -> None:
    """Leave nothing in the broker for the next trial; a queue that is not there is no error."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        for name in names:
            connection.channel().queue_delete(name)


def in_memory() -> Path | None:
    """Return a folder in memory; None where the machine has none."""
    return IN_MEMORY if IN_MEMORY.is_dir() else None
