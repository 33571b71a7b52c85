"""Private database servers for a test session: on loopback, in a temporary directory, gone with the session.

Each runs under a watcher (tests/watcher.py) that ends it with the session. A new kind of server is one function:
find the programs, describe a `Plan`, yield its URL while it runs. RabbitMQ's is tests/rabbitmq_server.py.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, NullPool, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from tests.watcher import Plan, running

USER = "tomqueue"
# Below what Linux and macOS give to outgoing connections, one of which could take the port before the server.
# Of tests that run beside each other (pytest-xdist: gw0, gw1, …) each has some of its own: a server that is stopped for
# a while must find its port again.
FIRST_PORT, PORTS_EACH = 20_000, 1_500
BESIDE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
PORTS = range(FIRST_PORT + BESIDE * PORTS_EACH, FIRST_PORT + (BESIDE + 1) * PORTS_EACH)
PICKED: deque[int] = deque(maxlen=PORTS_EACH // 2)
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


# ---- The servers ----


@contextmanager
def postgres(*, synced: bool = True) -> Iterator[str]:
    """Give the URL of a PostgreSQL server: the one in TOMQUEUE_TEST_POSTGRES_URL, or a private one.

    Without ``synced`` what it writes outlives its own death, but not that of the machine; and is written much faster.
    """
    if given := os.environ.get("TOMQUEUE_TEST_POSTGRES_URL"):
        yield given
        return
    with private_directory("postgres") as (directory, user):
        url, plan = postgres_plan(directory, user, synced=synced)
        with running(plan, lambda: answers(url)):
            yield as_text(url)


def postgres_plan(directory: str, user: str | None, *, synced: bool = True) -> tuple[URL, Plan]:
    """Return the address of a PostgreSQL server to be, and how it is made and run."""
    initdb, server = program("initdb"), program("postgres")
    url = private_url("postgresql+psycopg", database="postgres")
    write(Path(directory, "password"), str(url.password), user)
    prepare = [initdb, "--pgdata=data", f"--username={USER}", "--pwfile=password", "--auth=password"]
    prepare += ["--encoding=UTF8", "--no-locale"]
    serve = [server, "-D", "data", "-p", str(url.port), *_postgres_settings(directory, synced=synced)]
    # SIGINT is PostgreSQL's fast shutdown: it disconnects clients instead of waiting for them.
    return url, Plan(directory, [prepare, serve], signal.SIGINT, user)


def _postgres_settings(directory: str, *, synced: bool) -> Iterator[str]:
    """Keep commits as in production and memory small; no socket file, whose path can get too long."""
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "external_pid_file": f"{directory}/pid",
        "max_connections": "200",
        "shared_buffers": "32MB",
        "max_prepared_transactions": "20",  # the default, 0, forbids two-phase commits
        "fsync": "on" if synced else "off",
    }
    for name, value in settings.items():
        yield from ("-c", f"{name}={value}")


@contextmanager
def mariadb(*, synced: bool = True) -> Iterator[str]:
    """Give the URL of a MariaDB (or MySQL) server: the one in TOMQUEUE_TEST_MYSQL_URL, or a private one.

    ``synced`` is as for PostgreSQL.
    """
    if given := os.environ.get("TOMQUEUE_TEST_MYSQL_URL"):
        yield given
        return
    with private_directory("mysql") as (directory, user):
        url, plan = mariadb_plan(directory, user, synced=synced)
        with running(plan, lambda: answers(url)):
            yield as_text(url)


def mariadb_plan(directory: str, user: str | None, *, synced: bool = True) -> tuple[URL, Plan]:
    """Return the address of a MariaDB server to be, and how it is made and run."""
    install, server = program("mariadb-install-db"), program("mariadbd")
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
    serve = [server, "--no-defaults", datadir, f"--port={url.port}", *_mariadb_settings(directory, synced=synced)]
    return url, Plan(directory, [prepare, serve], signal.SIGTERM, user)


def _mariadb_accounts(password: str) -> str:
    """Replace the installed accounts, which have no password, by the session's own; one statement a line."""
    return (
        f"CREATE OR REPLACE USER {USER}@'%' IDENTIFIED BY '{password}';\n"
        f"GRANT ALL ON *.* TO {USER}@'%' WITH GRANT OPTION;\n"
        "DELETE FROM mysql.global_priv WHERE User IN ('', 'root', 'mysql');\n"
        "FLUSH PRIVILEGES;\n"
    )


def _mariadb_settings(directory: str, *, synced: bool) -> list[str]:
    """Keep commits as in production and memory small."""
    unsynced = [] if synced else ["--loose-innodb-flush-method=nosync", "--loose-debug-no-sync"]
    return [
        *unsynced,
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
    found = shutil.which(name) or hidden_program(name, PROGRAM_FOLDERS)
    if found is None:
        raise ServerMissingError(f"{name} is not installed; tests/install_servers.sh installs it or says how")
    return found


def hidden_program(name: str, patterns: Iterable[str]) -> str | None:
    """Find a program in folders outside PATH, newest version first."""
    folders = [str(found) for pattern in patterns for found in _newest_first(pattern)]
    return shutil.which(name, path=os.pathsep.join(folders))


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
    """Pick a port that nobody listens on, and that was not picked lately: its server may be away for a moment.

    Not by `random`, which pytest-randomly may seed alike elsewhere.
    """
    while True:
        port = secrets.choice(PORTS)
        if port in PICKED:
            continue
        with socket.socket() as candidate, contextlib.suppress(OSError):
            candidate.bind(("127.0.0.1", port))
            PICKED.append(port)
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
