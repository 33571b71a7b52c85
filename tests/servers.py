"""Private database servers for a test session: on loopback, in a temporary directory, gone with the session.

Each server runs under a watcher, a process of its own that executes this file. The watcher reads a pipe whose
other end only the test session has. When the session ends, however it ends (`kill -9` too), the pipe closes
and the watcher stops the server and removes its directory.

A new kind of server is one function: find the programs, describe a `Plan`, yield its URL while it runs.
"""

import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from sqlalchemy import URL, Connection, NullPool, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

START_SECONDS = 90  # MariaDB's first start on a busy two-core machine takes about ten
STOP_SECONDS = 20
POLL_SECONDS = 0.05
LOG_TAIL_LINES = 30
USER = "tomqueue"
# Below what Linux and macOS give to outgoing connections, one of which could take the port before the server.
PORTS = range(20_000, 32_000)
PROGRAM_FOLDERS = (
    "/usr/lib/postgresql/*/bin",  # Debian and Ubuntu keep PostgreSQL's programs out of PATH
    "/usr/sbin",
    "/usr/local/sbin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/opt/homebrew/opt/mariadb*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/usr/local/opt/mariadb*/bin",
)


class ServerMissingError(Exception):
    """The server's programs are not installed on this machine."""


class ServerFailedError(Exception):
    """The server is installed and did not start."""


@dataclass(frozen=True)
class Plan:
    """What a watcher runs in its directory: preparations in order, then the server until the session ends."""

    directory: str
    commands: Sequence[Sequence[str]]
    stop_signal: int
    user: str | None  # whom the commands run as; None: as the session itself

    @property
    def log(self) -> Path:
        """Everything the commands print."""
        return Path(self.directory, "server.log")


# ---- The servers ----


@contextmanager
def postgres() -> Iterator[str]:
    """Give the URL of a PostgreSQL server: the one in TOMQUEUE_TEST_POSTGRES_URL, or a private one."""
    if given := os.environ.get("TOMQUEUE_TEST_POSTGRES_URL"):
        yield given
        return
    initdb, server = program("initdb"), program("postgres")
    with private_directory("postgres") as (directory, user):
        url = private_url("postgresql+psycopg", database="postgres")
        write(Path(directory, "password"), str(url.password), user)
        prepare = [initdb, "--pgdata=data", f"--username={USER}", "--pwfile=password", "--auth=password"]
        prepare += ["--encoding=UTF8", "--no-locale"]
        serve = [server, "-D", "data", "-p", str(url.port), *_postgres_settings()]
        # SIGINT is PostgreSQL's fast shutdown: it disconnects clients instead of waiting for them.
        plan = Plan(directory, [prepare, serve], signal.SIGINT, user)
        with running(plan, lambda: answers(url)):
            yield as_text(url)


def _postgres_settings() -> Iterator[str]:
    """Keep durability as in production and memory small; no socket file, whose path can get too long."""
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "200",
        "shared_buffers": "32MB",
        "max_prepared_transactions": "20",  # the default, 0, forbids two-phase commits
    }
    for name, value in settings.items():
        yield from ("-c", f"{name}={value}")


@contextmanager
def mariadb() -> Iterator[str]:
    """Give the URL of a MariaDB (or MySQL) server: the one in TOMQUEUE_TEST_MYSQL_URL, or a private one."""
    if given := os.environ.get("TOMQUEUE_TEST_MYSQL_URL"):
        yield given
        return
    install, server = program("mariadb-install-db"), program("mariadbd")
    with private_directory("mysql") as (directory, user):
        url = private_url("mysql+mysqldb", database=None, query={"charset": "utf8mb4"})
        write(Path(directory, "accounts.sql"), _mariadb_accounts(str(url.password)), user)
        datadir = f"--datadir={directory}/data"
        prepare = [
            install,
            "--no-defaults",
            datadir,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            f"--tmpdir={directory}",  # servers that share one delete each other's files as they start
        ]
        serve = [server, "--no-defaults", datadir, f"--port={url.port}", *_mariadb_settings(directory)]
        plan = Plan(directory, [prepare, serve], signal.SIGTERM, user)
        with running(plan, lambda: answers(url)):
            yield as_text(url)


def _mariadb_accounts(password: str) -> str:
    """Replace the installed accounts, which have no password, by the session's own; one statement a line."""
    return (
        f"CREATE OR REPLACE USER {USER}@'%' IDENTIFIED BY '{password}';\n"
        f"GRANT ALL ON *.* TO {USER}@'%' WITH GRANT OPTION;\n"
        "DELETE FROM mysql.global_priv WHERE User IN ('', 'root', 'mysql');\n"
        "FLUSH PRIVILEGES;\n"
    )


def _mariadb_settings(directory: str) -> list[str]:
    """Keep durability as in production and memory small."""
    return [
        "--skip-networking=0",
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        f"--tmpdir={directory}",
        f"--socket={directory}/sock",
        f"--pid-file={directory}/pid",
        f"--init-file={directory}/accounts.sql",
        "--character-set-server=utf8mb4",
        "--max-connections=200",
        "--innodb-buffer-pool-size=64M",
        "--innodb-log-file-size=32M",
    ]


# ---- A database for each test ----


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """Give the URL of a new, empty database on the server and drop it afterwards, whoever is connected."""
    server = make_url(server_url)
    name = f"tomqueue_test_{secrets.token_hex(8)}"
    with administering(server) as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield as_text(server.set(database=name))
    finally:
        with administering(server) as connection:
            _drop_database(connection, name)


def _drop_database(connection: Connection, name: str) -> None:
    """Drop the database without waiting for transactions that a failed test left open in it."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        return
    in_use = text("SELECT id FROM information_schema.processlist WHERE db = :name")
    for connection_id in connection.execute(in_use, {"name": name}).scalars().all():
        with contextlib.suppress(DBAPIError):  # it may have left meanwhile
            connection.execute(text(f"KILL {connection_id}"))
    connection.execute(text(f"DROP DATABASE {name}"))


@contextmanager
def administering(url: URL) -> Iterator[Connection]:
    """Connect for statements about whole databases, which run outside transactions."""
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection


def answers(url: URL) -> bool:
    """Say whether the server accepts connections by now."""
    try:
        with administering(url) as connection:
            connection.execute(text("SELECT 1"))
    except DBAPIError:
        return False
    return True


# ---- What every private server needs ----


def program(name: str) -> str:
    """Find a server program in PATH and where packages hide it, newest version first."""
    folders = [str(found) for pattern in PROGRAM_FOLDERS for found in _newest_first(pattern)]
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        raise ServerMissingError(f"{name} is not installed; tests/install_servers.sh installs it or says how")
    return found


def _newest_first(pattern: str) -> list[Path]:
    return sorted(Path("/").glob(pattern.removeprefix("/")), key=_version, reverse=True)


def _version(folder: Path) -> int:
    """Read the number in `postgresql/15/bin` or `postgresql@15/bin`, so that 15 is newer than 9."""
    return int("".join(filter(str.isdigit, str(folder))) or 0)


@contextmanager
def private_directory(service_user: str) -> Iterator[tuple[str, str | None]]:
    """Make the server's directory, with the user to run it as: servers refuse root, so root gives it away."""
    user = service_user if os.geteuid() == 0 else None
    directory = tempfile.mkdtemp(prefix="tomqueue-")
    try:
        if user is not None:
            shutil.chown(directory, user, user)
        yield directory, user
    finally:
        shutil.rmtree(directory, ignore_errors=True)  # the watcher was first, unless it never started


def private_url(driver: str, *, database: str | None, query: dict[str, str] | None = None) -> URL:
    """Make up the address and the password of a server to be started."""
    password = secrets.token_hex(16)  # else any user of this machine could enter
    return URL.create(driver, USER, password, "127.0.0.1", free_port(), database, query or {})


def free_port() -> int:
    """Pick a port that nobody listens on; not by `random`, which pytest-randomly may seed alike elsewhere."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as candidate, contextlib.suppress(OSError):
            candidate.bind(("127.0.0.1", port))
            return port


def write(path: Path, content: str, user: str | None) -> None:
    """Write a file that only the server's user reads."""
    path.touch(mode=0o600)
    path.write_text(content)
    if user is not None:
        shutil.chown(path, user, user)


def as_text(url: URL) -> str:
    """Write a URL with its password, which SQLAlchemy would hide."""
    return url.render_as_string(hide_password=False)


@contextmanager
def running(plan: Plan, ready: Callable[[], bool]) -> Iterator[None]:
    """Run the plan under a watcher, from when the server is ready until the block ends."""
    # A session of its own: Ctrl-C in the terminal reaches the tests, which then stop the server in order.
    command = [sys.executable, "-P", __file__, json.dumps(asdict(plan)), str(os.getpid())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as watcher:
        _wait_until_ready(plan, ready, watcher)
        yield  # leaving the block closes the pipe and waits for the watcher


def _wait_until_ready(plan: Plan, ready: Callable[[], bool], watcher: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while watcher.poll() is None and time.monotonic() < deadline:
        if ready():
            return
        time.sleep(POLL_SECONDS)
    problem = "did not start in time" if watcher.poll() is None else "stopped while starting"
    log = plan.log.read_text(errors="replace") if plan.log.exists() else ""
    tail = "\n".join(log.splitlines()[-LOG_TAIL_LINES:])
    raise ServerFailedError(f"{plan.commands[-1][0]} {problem}; its log ends with:\n{tail}")


# ---- The watcher: `python tests/servers.py PLAN SESSION_PID` ----


def watch(plan: Plan, session: int) -> None:
    """Run the plan's commands until the session closes our standard input, dies, or a command fails."""
    signal.signal(signal.SIGTERM, _exit)
    try:
        with plan.log.open("ab") as log:
            for command in plan.commands:
                if _run(command, plan, log.fileno(), session) != 0:
                    break
    finally:
        if _abandoned(session, wait=0):  # else the session shows the failed command's log, then removes it
            shutil.rmtree(plan.directory, ignore_errors=True)


def _exit(_signum: int, _frame: FrameType | None) -> None:
    sys.exit(1)


def _run(command: Sequence[str], plan: Plan, log: int, session: int) -> int | None:
    """Run one command to its end, or stop it when the session is over (None)."""
    with subprocess.Popen(
        command,
        cwd=plan.directory,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        user=plan.user,
        group=plan.user,
        extra_groups=None if plan.user is None else [],
    ) as process:
        try:
            while process.poll() is None:
                if _abandoned(session, wait=POLL_SECONDS):
                    return None
            return process.returncode
        finally:
            _stop(process, plan.stop_signal)


def _abandoned(session: int, *, wait: float) -> bool:
    """Say whether the session is over, waiting for it a moment.

    The pipe alone would not do: a child that the session forked without exec holds it open past its death.
    """
    over, _, _ = select.select([sys.stdin], [], [], wait)
    return bool(over) or os.getppid() != session


def _stop(process: subprocess.Popen[bytes], stop_signal: int) -> None:
    """Ask the process to stop, then kill it with what it started."""
    if process.poll() is None:
        process.send_signal(stop_signal)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody left: Linux says one, macOS the other
        os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    watch(Plan(**json.loads(sys.argv[1])), int(sys.argv[2]))
