"""TomQueue in its set-ups, and the limit: what the same drivers do without a job system."""

from collections.abc import Sequence

from benchmarks.compare.contender import Command, Contender

__all__ = ["BASELINE", "LIMITS", "OURS"]

BASELINE = "tomqueue-postgres-rabbitmq"
"""What ratios compare with."""
QUEUES = [f"tomqueue.default.{priority}" for priority in ("high", "normal", "low", "bulk")] + ["tomqueue.work.deferred"]


def run(processes: int) -> Sequence[Command]:
    """Start what production starts: a supervisor, so many workers, and with a broker the deferred process."""
    return [["python", "-m", "tomqueue", "--app", "app:tq", "--log-level", "error", "run", "-p", str(processes)]]


def work(processes: int) -> Sequence[Command]:
    """Start the loop of a program of the limit."""
    return [["python", "-c", "import app; app.work()"]] * processes


def tomqueue(database: str, label: str, *, broker: bool = False) -> Contender:
    """Describe TomQueue on a database."""
    broker_url = {"TOMQUEUE_BROKER_URL": "{BROKER_URL}"} if broker else {}
    return Contender(
        name=f"tomqueue-{database}" + ("-rabbitmq" if broker else ""),
        label=f"TomQueue, {label}" + (" + RabbitMQ" if broker else ""),
        program="tomqueue",
        servers=[database, "rabbitmq"] if broker else [database],
        workers=run,
        about="all defaults, `tomqueue run`" + ("; SQLite with synchronous=FULL" if database == "sqlite" else ""),
        environment={"TOMQUEUE_DATABASE_URL": f"{{{database.upper()}_SQLALCHEMY_URL}}", **broker_url},
        queues=QUEUES if broker else [],
        limit=f"limit-{database}",
        ours=True,
        fills_differ=broker,
        missing={"polling": "it is about database servers"} if database == "sqlite" else {},
    )


def limit(server: str, label: str) -> Contender:
    """Describe a limit: no jobs that note their start, none for later."""
    only = "the limit is of throughput"
    return Contender(
        name=f"limit-{server}",
        label=f"limit: {label}",
        program=f"limit_{server}",
        servers=[server],
        workers=work,
        about="no job system: the driver's own calls, 256 a statement",
        queues=["limit"] if server == "rabbitmq" else [],
        ours=True,
        missing={"latency": only, "future": only, "polling": only},
    )


OURS = [
    tomqueue("sqlite", "SQLite"),
    tomqueue("postgres", "PostgreSQL"),
    tomqueue("postgres", "PostgreSQL", broker=True),
    tomqueue("mariadb", "MariaDB"),
    tomqueue("mariadb", "MariaDB", broker=True),
]
LIMITS = [
    limit("rabbitmq", "RabbitMQ by pika"),
    limit("postgres", "PostgreSQL by psycopg"),
    limit("mariadb", "MariaDB by mysqlclient"),
    limit("sqlite", "SQLite by sqlite3"),
]
