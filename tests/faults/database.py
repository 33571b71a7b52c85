"""Where a scenario has its database: on a server that all share, or on one of its own; on a disk that is soon full."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.database_server import DatabaseServer, restartable
from tests.faults.scenario import Scenario
from tests.faults.world import Setup
from tests.server_admin import ServerAdmin
from tests.servers import fresh_database
from tests.small_disk import small_disk

__all__ = ["Database", "database_of", "database_url"]


@dataclass(frozen=True, kw_only=True)
class Database:
    """An empty database. ``admin`` and ``server`` are for what may happen to it; ``disk`` is where its files are."""

    url: str
    disk: Path
    admin: ServerAdmin | None = None
    server: DatabaseServer | None = None


@contextmanager
def database_of(scenario: Scenario, setup: Setup, find: Callable[[str], Any], folder: Path) -> Iterator[Database]:
    """Make the database that a scenario needs."""
    with ExitStack() as stack:
        if setup.database == "sqlite":
            if scenario.megabytes is not None:
                folder = folder / "disk"
                folder.mkdir()
                stack.enter_context(small_disk(folder, scenario.megabytes))
            yield Database(url=database_url(setup, find, folder, stack), disk=folder)
        elif scenario.own_server:
            server = stack.enter_context(restartable(setup.database, megabytes=scenario.megabytes))
            url = stack.enter_context(fresh_database(server.url))
            admin = ServerAdmin(url)
            yield Database(url=admin.plain_user(), disk=server.folder, admin=admin, server=server)
        else:
            url = database_url(setup, find, folder, stack)
            yield Database(url=url, disk=folder, admin=ServerAdmin(url))


def database_url(setup: Setup, find: Callable[[str], Any], folder: Path, stack: ExitStack) -> str:
    """Make an empty database where all have theirs."""
    if setup.database == "sqlite":
        return f"sqlite:///{folder / 'jobs.db'}"
    return stack.enter_context(fresh_database(find(f"{setup.database}_server")))
