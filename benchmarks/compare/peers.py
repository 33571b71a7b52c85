"""The peers, each set up as its own documentation recommends for production; the programs name more sources.

For all: no result backend where results are not asked for, logging at warnings, and as many slots in a worker
process as are best for jobs that do nothing.
"""

from collections.abc import Mapping, Sequence

from benchmarks.compare.contender import Command, Contender

__all__ = ["PEERS"]

NO_BULK = {"enqueue: in bulk": "no bulk call"}
ONLY_POSTGRES = {"polling": "it does not poll a database"}


def celery(processes: int) -> Sequence[Command]:
    """Start one worker whose default pool, prefork, has so many processes."""
    return [["celery", "-A", "app", "worker", "--loglevel", "WARNING", "--concurrency", str(processes)]]


def dramatiq(processes: int) -> Sequence[Command]:
    """Start one worker of so many processes, with the default of 8 threads."""
    return [["dramatiq", "app", "--processes", str(processes), "--threads", "8"]]


def taskiq(processes: int) -> Sequence[Command]:
    """Start one worker of so many processes; a job is acknowledged when it was run."""
    options = ["--workers", str(processes), "--ack-type", "when_executed", "--log-level", "WARNING"]
    return [["taskiq", "worker", "app:broker", *options]]


def procrastinate(processes: int) -> Sequence[Command]:
    """Start so many workers. Finished jobs are deleted, as its page "Delete finished jobs" offers."""
    options = ["--concurrency", "10", "--delete-jobs", "successful"]
    return [["procrastinate", "--app", "app.app", "worker", *options]] * processes


def pgqueuer(batch: int, processes: int) -> Sequence[Command]:
    """Start so many workers. Its page on tuning: a larger batch for short jobs."""
    return [["pgq", "run", "app:main", "--batch-size", str(batch), "--log-level", "WARNING"]] * processes


def huey(processes: int) -> Sequence[Command]:
    """Start one consumer with so many worker processes."""
    return [["huey_consumer", "app.huey", "--workers", str(processes), "--worker-type", "process", "--quiet"]]


def rq(processes: int) -> Sequence[Command]:
    """Start so many workers that have imported the jobs before they fork."""
    return [["python", "-c", "import app; app.work()"]] * processes


def celery_like(name: str, label: str, about: str, environment: Mapping[str, str]) -> Contender:
    """Describe Celery with what differs between its two rows."""
    return Contender(
        name=name,
        label=label,
        program="celery",
        servers=["rabbitmq"],
        workers=celery,
        about=about,
        environment=environment,
        queues=["celery"],
        limit="limit-rabbitmq",
        missing=ONLY_POSTGRES,
        most_jobs=50_000,
    )


def pgqueuer_with(batch: int, label: str, about: str) -> Contender:
    """Describe PgQueuer with a batch size."""
    return Contender(
        name=f"pgqueuer-{batch}",
        label=label,
        program="pgqueuer",
        servers=["postgres"],
        workers=lambda processes: pgqueuer(batch, processes),
        about=about,
        limit="limit-postgres",
    )


PEERS = [
    celery_like(
        "celery",
        "Celery 5.7, RabbitMQ",
        "prefork, prefetch multiplier 128 (its guide for many short tasks), no results; acknowledged before it runs",
        {},
    ),
    celery_like(
        "celery-safe",
        "Celery 5.7, RabbitMQ, acks late, confirms",
        "as above, with task_acks_late, task_reject_on_worker_lost and confirm_publish",
        {"SAFE": "1"},
    ),
    Contender(
        name="dramatiq",
        label="Dramatiq 2.2, RabbitMQ, confirms",
        program="dramatiq",
        servers=["rabbitmq"],
        workers=dramatiq,
        about="confirm_delivery, 8 threads a process (its default)",
        queues=["default", "default.DQ", "default.XQ"],
        limit="limit-rabbitmq",
        missing=NO_BULK | ONLY_POSTGRES,
        most_jobs=50_000,
    ),
    Contender(
        name="taskiq",
        label="Taskiq 0.13, RabbitMQ (aio-pika)",
        program="taskiq",
        servers=["rabbitmq"],
        workers=taskiq,
        about="quorum queue (its default), qos 100 as --max-async-tasks, acks when executed, uvloop; bulk: gather()",
        queues=["taskiq", "taskiq.dead_letter"],
        limit="limit-rabbitmq",
        missing=ONLY_POSTGRES
        | {"future": "without RabbitMQ's delayed-message plugin a later job holds up those behind it"},
        most_jobs=50_000,
    ),
    Contender(
        name="procrastinate",
        label="Procrastinate 3.10, PostgreSQL",
        program="procrastinate",
        servers=["postgres"],
        workers=procrastinate,
        about="async jobs, concurrency 10, finished jobs deleted; a look for due jobs each 5 s (its default)",
        limit="limit-postgres",
        most_jobs=10_000,
    ),
    pgqueuer_with(10, "PgQueuer 1.6, PostgreSQL", "asyncpg, uvloop, batch size 10 (its default)"),
    pgqueuer_with(100, "PgQueuer 1.6, PostgreSQL, batch 100", "asyncpg, uvloop, --batch-size 100"),
    Contender(
        name="huey",
        label="Huey 3.5, SQLite",
        program="huey",
        servers=["sqlite"],
        workers=huey,
        about="process workers, no results; a look each 0.1 s, write-ahead log, synchronous=FULL (all defaults)",
        limit="limit-sqlite",
        missing=NO_BULK | ONLY_POSTGRES,
        most_jobs=50_000,
    ),
    Contender(
        name="rq",
        label="RQ 3.0, Redis",
        program="rq",
        servers=["redis"],
        workers=rq,
        about="its default worker, a fork for each job, jobs imported before; Redis with an append-only file",
        missing=ONLY_POSTGRES,
        most_jobs=1_000,
    ),
]
