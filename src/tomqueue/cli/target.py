"""What the command works on: an application's TomQueue, or a database alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from tomqueue.app import TomQueue
from tomqueue.cli.load import load_app
from tomqueue.definition import Registry
from tomqueue.disclosure import Disclosure
from tomqueue.errors import SettingsError, StoreUnavailable
from tomqueue.payload import Keyring
from tomqueue.settings import read_settings
from tomqueue.store.catalog import Catalog
from tomqueue.store.leases import Leases
from tomqueue.store.migrate import check_schema
from tomqueue.store.open import masked
from tomqueue.store.sql import SqlStore
from tomqueue.transport.rabbitmq import Inspection

__all__ = ["Target"]

HOW = "give --app package.module:tq (the module, and the TomQueue in it) or set TOMQUEUE_APP"


class Target:
    """Opens what a command asks for, when it first asks. ``close`` closes all of it."""

    def __init__(self, app_spec: str | None, database_url: str | None, log_level: str | None) -> None:
        self.app_spec = app_spec
        self.database_url = database_url
        self.log_level = log_level
        self._open: list[SqlStore | TomQueue] = []

    @cached_property
    def tq(self) -> TomQueue:
        """The application, or one without jobs on the database alone. Raises SettingsError."""
        if self.app_spec is not None:
            tq = load_app(self.app_spec)
        elif self.database_url is not None or read_settings().database_url:
            tq = TomQueue(self.database_url)
        else:
            raise SettingsError(f"no application: {HOW}; --database-url URL is enough to look at jobs")
        self._open.append(tq)
        return tq

    def app(self) -> TomQueue:
        """Return the application, for what needs its jobs. Raises SettingsError."""
        if self.app_spec is None:
            raise SettingsError(f"no application: this needs the jobs that it declares; {HOW}")
        return self.tq

    @property
    def registry(self) -> Registry | None:
        """The jobs that the application declares; None where only a database is given."""
        return None if self.app_spec is None else self.tq.registry

    @cached_property
    def disclosure(self) -> Disclosure:
        """What may be shown of jobs' arguments."""
        return Disclosure(self.registry, self.keyring)

    @property
    def keyring(self) -> Keyring:
        """The keys of the application, or of the settings; only their ids are ever shown."""
        return self.tq.keyring

    @cached_property
    def bare_store(self) -> SqlStore:
        """The database, whether or not its tables are there. Nothing is connected yet."""
        store = self.tq.bare_store()
        self._open.append(store)
        return store

    @cached_property
    def store(self) -> SqlStore:
        """The database, with the tables that this version needs. Raises StoreError."""
        refuse_missing_file(self.bare_store)
        with self.bare_store.reading() as connection:
            check_schema(connection, self.bare_store.tables)
        return self.bare_store

    @property
    def catalog(self) -> Catalog:
        """The jobs as people ask for them."""
        return Catalog(self.store)

    @property
    def leases(self) -> Leases:
        """The worker processes."""
        return Leases(self.store)

    @contextmanager
    def broker(self) -> Iterator[Inspection | None]:
        """Look at the broker; None without one. Raises BrokerUnavailable."""
        if not self.tq.settings.broker_url:
            yield None
            return
        inspection = Inspection(self.tq.settings)
        try:
            yield inspection
        finally:
            inspection.close()

    @property
    def place(self) -> str:
        """The database's URL, without its password."""
        return masked(self.bare_store.engine.url.render_as_string())

    def close(self) -> None:
        """Close what was opened."""
        while self._open:
            self._open.pop().close()


def refuse_missing_file(store: SqlStore) -> None:
    """Raise StoreUnavailable when there is no such SQLite file: connecting would make an empty one."""
    url = store.engine.url
    if url.get_backend_name() != "sqlite" or url.database is None or url.database.startswith("file:"):
        return
    if not Path(url.database).exists():
        raise StoreUnavailable(f"there is no database {url.database}: check the URL, or let `tomqueue migrate` make it")
