"""A private Redis server with an append-only file, as a queue needs that shall outlive the server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from tests.rabbitmq_server import listens
from tests.servers import free_port, private_directory, program, write
from tests.watcher import Plan, running

__all__ = ["redis"]

SIGTERM = 15


@contextmanager
def redis() -> Iterator[str]:
    """Give the URL of a running server."""
    with private_directory("redis") as (directory, user):
        port, password = free_port(), token_hex(16)
        settings = {"bind": "127.0.0.1", "port": port, "requirepass": password, "appendonly": "yes", "dir": directory}
        conf = "".join(f"{name} {value}\n" for name, value in settings.items())
        write(Path(directory, "redis.conf"), conf, user)
        plan = Plan(directory, [[program("redis-server"), "redis.conf"]], SIGTERM, user)
        with running(plan, lambda: listens(port)):
            yield f"redis://:{password}@127.0.0.1:{port}/0"
