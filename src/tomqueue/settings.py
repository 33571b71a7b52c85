"""Every knob, read in one place: arguments before command line before ``TOMQUEUE_*`` environment."""

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tomqueue.errors import SettingsError
from tomqueue.times import CENTURY

__all__ = ["NAME_PATTERN", "Settings", "broker_urls", "check_name", "read_settings"]

NAME_PATTERN = re.compile(r"[A-Za-z0-9_.-]{1,100}")
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,30}")
MOST_PREFETCH = 2000
POSITIVE = (
    "max_attempts", "max_run_time", "max_crashes", "max_payload_bytes", "max_checkpoint_bytes", "heartbeat", "lease",
    "grace", "max_batch", "batch_seconds", "fair_window", "poll_interval", "server_poll_interval", "prefetch",
    "broker_connect_timeout", "broker_timeout", "publish_buffer",
)  # fmt: skip
NOT_NEGATIVE = (
    "backoff_cap", "backoff_jitter", "database_timeout", "broker_heartbeat", "flush_seconds",
    "keep_completed",
)  # fmt: skip
SECRET = {"database_url", "broker_url", "encryption_keys"}
"""Passwords are in them: their values are in no repr."""
HIDDEN = "***"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one TomQueue. Times are in seconds, sizes in bytes.

    Each is an argument of ``TomQueue(...)`` and the environment variable ``TOMQUEUE_<NAME>``.
    """

    database_url: str = ""
    """SQLAlchemy URL of the database that holds the jobs."""
    schema: str | None = None
    """Database schema of the tables (PostgreSQL, MySQL); None is the connection's own."""
    table_prefix: str = "tomqueue"
    """Start of every table name."""
    default_queue: str = "default"
    default_priority: str = "normal"
    max_attempts: int = 25
    """Attempts before a job is failed, unless the job says otherwise (Delayed::Job)."""
    max_run_time: float = 4 * 3600.0
    """Longest run of a job; a job may only lower it (Delayed::Job)."""
    backoff_cap: float = 7 * 86400.0
    """Longest pause between two attempts."""
    backoff_jitter: float = 0.0
    """Share of the pause that is drawn at random on top of it: 0.1 spreads by up to 10 %."""
    max_crashes: int = 3
    """Crashes in a row after which a job that kills its process is failed."""
    delete_failed_jobs: bool = False
    """Delete a job that failed for good instead of keeping it."""
    keep_completed: float = 0.0
    """How long the history of a job is kept once it has succeeded, unless the job says otherwise; 0 is not at all."""
    max_payload_bytes: int = 1_000_000
    """Largest size of a job's arguments, and of its result, as JSON."""
    max_checkpoint_bytes: int = 64_000
    """Largest size of a job's checkpoint as JSON."""
    heartbeat: float = 5.0
    """Pause between two renewals of a worker's lease."""
    lease: float = 20.0
    """How long a worker is believed to be alive after its last heartbeat."""
    grace: float = 25.0
    """Time a running job gets to end: at shutdown, and after its time-out was raised in it."""
    on_term: str = "finish"
    """What TERM does to running jobs: ``finish`` within ``grace``, or ``interrupt`` at once (Delayed::Job)."""
    poll_interval: float = 0.01
    """Pause between two looks for news on SQLite (a PRAGMA, no query)."""
    server_poll_interval: float = 0.05
    """Pause between two looks for work on a database server without a broker."""
    max_batch: int = 256
    """Most jobs that one worker claims at once."""
    batch_seconds: float = 0.075
    """Work that one worker claims ahead, at the measured run time of its jobs."""
    fair_window: int = 2
    """Jobs of one tenant (``fair_key``) in a queue that may go before a new tenant's, for each slot of all workers."""
    sqlite_synchronous: str = "FULL"
    """FULL survives a power cut; NORMAL may lose the last commits then, never corrupt (SQLite's manual)."""
    database_timeout: float = 30.0
    """Longest wait for a lock of the database before StoreUnavailable."""
    broker_url: str = ""
    """Address of RabbitMQ, amqp:// or amqps://, with a comma between the nodes of a cluster; empty: no broker."""
    prefix: str = "tomqueue"
    """Start of every name in the broker."""
    queue_type: str = "classic"
    """``classic``, or ``quorum`` for queues that survive the loss of a node of the broker's cluster."""
    prefetch: int = 128
    """Most messages that the broker gives a worker ahead, of each queue and priority."""
    broker_heartbeat: float = 5.0
    """Pause between two signs of life on a connection to the broker, whole seconds; 0 is none. Who misses three of them
    loses the news that it holds to others: well before its lease is over, with the default."""
    broker_connect_timeout: float = 5.0
    """Longest wait for a connection to the broker."""
    broker_timeout: float = 10.0
    """Longest wait for an answer of the broker, for its taking bytes, and for the end of its alarm."""
    publish_buffer: int = 100_000
    """Most notifications that wait in one process for the broker; beyond it the oldest is dropped."""
    flush_seconds: float = 5.0
    """Longest wait at the end of a process for news that is not yet with the broker."""
    encryption_keys: str = ""
    """Keys with commas between them, as ``tomqueue generate-key`` makes them: the first encrypts, all decrypt."""
    encrypt: bool = False
    """Encrypt the arguments of every job that does not say otherwise."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"Settings({shown})".replace(f"{HIDDEN!r}", HIDDEN)

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        values = msgspec.structs.asdict(self).items()
        return [(name, HIDDEN if value and name in SECRET else value) for name, value in values]


def read_settings(environment: Mapping[str, str] | None = None, **arguments: Any) -> Settings:
    """Return the settings from ``arguments`` (None = not given), else the environment, else the default.

    Raises SettingsError for an unknown name or a value of the wrong type or range.
    """
    environment = os.environ if environment is None else environment
    known = {field.name for field in msgspec.structs.fields(Settings)}
    if unknown := set(arguments) - known:
        raise SettingsError(f"no setting is called {min(unknown)!r}; there are {', '.join(sorted(known))}")
    values = {name: text for name in known if (text := environment.get(f"TOMQUEUE_{name.upper()}")) is not None}
    given = {name: value for name, value in arguments.items() if value is not None}
    try:
        settings = msgspec.convert({**values, **given}, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"a setting has the wrong type: {error}") from error
    return checked(settings)


def checked(settings: Settings) -> Settings:
    """Return ``settings`` if every value is in its range; raise SettingsError that names the one that is not."""
    check_name("default_queue", settings.default_queue)
    for name in ("table_prefix", "schema"):
        value = getattr(settings, name)
        if value is not None and not IDENTIFIER.fullmatch(value):
            raise SettingsError(f"{name}={value!r} must match {IDENTIFIER.pattern} (it becomes part of a table name)")
    check_ranges(settings)
    check_broker(settings)
    if settings.encrypt and not settings.encryption_keys:
        raise SettingsError(
            "encrypt=True needs a key: set encryption_keys, or TOMQUEUE_ENCRYPTION_KEYS (make one with `tomqueue "
            "generate-key`)"
        )
    if settings.lease < 2 * settings.heartbeat:
        raise SettingsError(
            f"lease={settings.lease} must be at least twice heartbeat={settings.heartbeat}, "
            "or one late heartbeat would take a living worker's jobs away"
        )
    if settings.lease <= settings.heartbeat + 1:
        raise SettingsError(
            f"lease={settings.lease} must be more than heartbeat={settings.heartbeat} and a second, "
            "by which a worker ends before others may take its jobs"
        )
    if settings.on_term not in {"finish", "interrupt"}:
        raise SettingsError(f"on_term={settings.on_term!r}: use finish or interrupt")
    if settings.sqlite_synchronous.upper() not in {"FULL", "NORMAL", "EXTRA"}:
        raise SettingsError(f"sqlite_synchronous={settings.sqlite_synchronous!r}: use FULL, EXTRA or NORMAL")
    return settings


def check_ranges(settings: Settings) -> None:
    """Raise SettingsError that names a number which is too small, too large, or not a number."""
    for name in POSITIVE:
        if not getattr(settings, name) > 0:
            raise SettingsError(f"{name}={getattr(settings, name)} must be greater than 0")
    for name in NOT_NEGATIVE:
        if not getattr(settings, name) >= 0:
            raise SettingsError(f"{name}={getattr(settings, name)} must be at least 0")
    for name in (*POSITIVE, *NOT_NEGATIVE):
        if getattr(settings, name) > CENTURY:
            raise SettingsError(f"{name}={getattr(settings, name)} must be at most {CENTURY:.0f} (a hundred years)")


def check_broker(settings: Settings) -> None:
    """Raise SettingsError that names what is wrong about the broker; never with the URL, which has a password."""
    check_name("prefix", settings.prefix)
    if settings.prefix.startswith("amq."):
        raise SettingsError(f"prefix={settings.prefix!r}: names that start with amq. are RabbitMQ's own")
    if settings.queue_type not in {"classic", "quorum"}:
        raise SettingsError(f"queue_type={settings.queue_type!r}: use classic or quorum")
    if settings.prefetch > MOST_PREFETCH:
        raise SettingsError(f"prefetch={settings.prefetch} must be at most {MOST_PREFETCH}: quorum queues take no more")
    if not settings.broker_url:
        return
    try:
        urls = [urlsplit(url) for url in broker_urls(settings.broker_url)]
        known = all(url.scheme in {"amqp", "amqps"} and (url.port is None or url.port > 0) for url in urls)
        known &= len(urls) == 1 or all(url.hostname for url in urls)
    except ValueError:  # its text could show the password
        known = False
    if not known:
        raise SettingsError("broker_url must look like amqp://user:password@host:5672/vhost, or amqps:// for TLS")


def broker_urls(url: str) -> list[str]:
    """Return an address for each node that ``url`` names: ``amqp://me@a:5672,b:5672/shop`` names two."""
    parts = urlsplit(url)
    account, mark, hosts = parts.netloc.rpartition("@")
    return [parts._replace(netloc=f"{account}{mark}{host}").geturl() for host in hosts.split(",")]


def check_name(what: str, value: str) -> str:
    """Return ``value`` if it can name a queue or a job; raise SettingsError otherwise."""
    if not NAME_PATTERN.fullmatch(value):
        raise SettingsError(f"{what}={value!r} must match {NAME_PATTERN.pattern}")
    return value
