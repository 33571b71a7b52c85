"""From a URL or an application's Engine to a store."""

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

import msgspec
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import QueuePool

from tomqueue.errors import SettingsError, StoreUnavailable
from tomqueue.settings import Settings
from tomqueue.store.links import detached
from tomqueue.store.migrate import check_schema, installed_version, migrate
from tomqueue.store.sql import SqlStore

__all__ = ["configure_sqlite", "masked", "open_store", "ready_store", "url_of"]

SYNCHRONOUS_DRIVERS = {
    "sqlite+aiosqlite": "sqlite",
    "postgresql+asyncpg": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg2": "postgresql+psycopg",
    "postgresql+psycopg_async": "postgresql+psycopg",
    "mysql": "mysql+mysqldb",
    "mysql+aiomysql": "mysql+pymysql",
    "mysql+asyncmy": "mysql+pymysql",
    "mariadb": "mariadb+mysqldb",
    "mariadb+aiomysql": "mariadb+pymysql",
    "mariadb+asyncmy": "mariadb+pymysql",
}
"""URL schemes of an application → the driver that TomQueue's own connections use."""

STORES = {
    "sqlite": ("tomqueue.store.sqlite", "SqliteStore"),
    "postgresql": ("tomqueue.store.postgres", "PostgresStore"),
    "mysql": ("tomqueue.store.mysql", "MysqlStore"),
    "mariadb": ("tomqueue.store.mysql", "MysqlStore"),
}
"""Module and class of each dialect; imported when it is used, because its driver is an extra."""
CONNECT_TIMEOUT = 10
"""Seconds until a host that does not answer is an error, unless the URL says otherwise."""
SECRET = re.compile(r"(:)(?!//)[^\s:]\S*(?=@)|(\b(?:password|passwd|pwd|sslpassword)=)[^&\s'\"]+", re.IGNORECASE)
MIGRATION_TIMEOUT = 5.0
"""Seconds that the first use of a new SQLite file waits for its lock."""
EXTRAS = {"psycopg": "postgres", "MySQLdb": "mysql", "pymysql": "pymysql"}


def open_store(settings: Settings, engine: Any = None) -> SqlStore:
    """Return the store of ``settings.database_url``, or of an application's Engine or AsyncEngine.

    Nothing is connected yet. Raises SettingsError for a URL that cannot be read or a driver that is missing.
    """
    url = parsed(settings.database_url) if engine is None else engine.url
    backend = url.get_backend_name()
    if backend not in STORES:
        raise SettingsError(f"database_url={masked(repr(url))}: {backend} is not supported; use {', '.join(STORES)}")
    synchronous = url.set(drivername=SYNCHRONOUS_DRIVERS.get(url.drivername, url.drivername))
    # as many connections as there are slots with atomic jobs
    options: dict[str, Any] = {"poolclass": QueuePool, "max_overflow": -1}
    if backend != "sqlite":
        options["pool_pre_ping"] = True  # a server that was restarted is no error of the next call
        if "connect_timeout" not in url.query:
            options["connect_args"] = {"connect_timeout": CONNECT_TIMEOUT}
    if engine is not None and url.drivername == synchronous.drivername and not engine.dialect.is_async:
        # the application's own way to connect (its pool's creator, its tokens), each connection taken for good
        options["creator"] = lambda: detached(engine)
    own = made(synchronous, **options)
    if own.dialect.name == "sqlite":
        configure_sqlite(own, synchronous=settings.sqlite_synchronous, timeout=settings.database_timeout)
    module, name = STORES[backend]
    store: Callable[[Engine, Settings], SqlStore] = getattr(import_module(module), name)
    return store(own, settings)


def ready_store(settings: Settings, engine: Any = None) -> SqlStore:
    """Return a store whose tables are there: made at once on SQLite, checked on a server."""
    store = open_store(settings, engine)
    try:
        with store.reading() as connection:
            version = installed_version(connection, store.tables)
        if version is None and store.engine.dialect.name == "sqlite":
            make_tables(settings, engine)
        with store.reading() as connection:
            check_schema(connection, store.tables)
    except BaseException:
        store.close()
        raise
    return store


def url_of(engine: Any) -> str:
    """Return the URL of an Engine or AsyncEngine, its password included."""
    url: URL = engine.url
    return url.render_as_string(hide_password=False)


def make_tables(settings: Settings, engine: Any) -> None:
    """Make the tables in a new SQLite file; wait a little only, for the lock may be that of the caller itself."""
    timeout = min(settings.database_timeout, MIGRATION_TIMEOUT)
    store = open_store(msgspec.structs.replace(settings, database_timeout=timeout), engine)
    try:
        migrate(store.engine, store.tables)
    except StoreUnavailable as error:
        raise StoreUnavailable(
            f"TomQueue's tables are not in {store.engine.url.database} yet: {error}. If it is the transaction "
            "that enqueues which holds the lock, run `tomqueue migrate` first"
        ) from error
    finally:
        store.close()


def parsed(text: str) -> URL:
    """Return a database URL as an object; raise SettingsError that says how one looks."""
    if not text:
        raise SettingsError(
            "no database: pass a URL, as in TomQueue('sqlite:///jobs.db'), or set TOMQUEUE_DATABASE_URL"
        )
    try:
        return make_url(text)
    except ArgumentError as error:
        raise SettingsError(
            f"database_url={masked(text)!r} is no database URL: it looks like sqlite:///jobs.db or "
            "postgresql+psycopg://user:password@host/database"
        ) from error


def masked(text: str) -> str:
    """Return ``text`` with stars for what may be a password in a URL, well-formed or not."""
    return SECRET.sub(r"\1\2***", text)


def made(url: URL, **options: Any) -> Engine:
    """Return an Engine; raise SettingsError that names the extra to install when the driver is missing."""
    try:
        return create_engine(url, **options)
    except NoSuchModuleError as error:
        raise SettingsError(
            f"database_url={masked(repr(url))}: SQLAlchemy knows no driver {url.drivername!r}"
        ) from error
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(error.name or "")
        cure = f"pip install 'tomqueue[{extra}]'" if extra else f"install {error.name}"
        raise SettingsError(
            f"database_url={masked(repr(url))}: the driver {error.name} is not installed: {cure}"
        ) from error


def configure_sqlite(engine: Any, *, synchronous: str = "FULL", timeout: float = 30.0) -> None:
    """Make an SQLite Engine safe for many processes: WAL, waiting for locks, transactions that begin as they go on.

    Use it on an application's own Engine or AsyncEngine that shares the file with TomQueue, before its first
    connection. Every transaction begins with BEGIN IMMEDIATE (one that only reads can say
    ``execution_options(tomqueue_write=False)``): a transaction that begins as a reader and then writes fails at
    once when another has written since (SQLite's manual, "isolation"). ``timeout`` is in seconds.
    """
    engine = getattr(engine, "sync_engine", engine)

    @event.listens_for(engine, "connect")
    def connect(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(timeout * 1000)}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute(f"PRAGMA synchronous = {synchronous}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if is_autocommit(connection):
            return  # every statement is to commit by itself
        writes = connection.get_execution_options().get("tomqueue_write", True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def is_autocommit(connection: Connection) -> bool:
    """Say whether an Engine or Connection was made with the isolation level AUTOCOMMIT."""
    level = connection.get_execution_options().get("isolation_level")
    return (level or getattr(connection.dialect, "_on_connect_isolation_level", None)) == "AUTOCOMMIT"
