"""What a worker is built from; made by the application's TomQueue."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tomqueue.definition import Consumers, Prepared, Registry
from tomqueue.events import Events
from tomqueue.job import Job
from tomqueue.payload import Keyring
from tomqueue.reporting import Reporting
from tomqueue.settings import Settings
from tomqueue.stack import Insertions
from tomqueue.store.catalog import Catalog
from tomqueue.store.sql import SqlStore
from tomqueue.transport.base import Publisher, Transport
from tomqueue.worker.attempt import Attempt

__all__ = ["Tools"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The parts of one application that a worker uses.

    ``reporting`` is where every internal error goes. ``enqueue_many`` enqueues calls, in the transaction of a
    connection. ``ahead`` is the time that a test has let pass by moving rows toward the past: by so much schedules,
    which are computed from the hands of a clock, are ahead of the database's.
    """

    settings: Settings
    store: SqlStore
    catalog: Catalog
    transport: Transport
    publisher: Publisher
    registry: Registry
    keyring: Keyring
    consumers: Consumers
    events: Events
    logger: logging.Logger
    reporting: Reporting
    layers: Insertions[Attempt, bool]
    enqueue_many: Callable[[Iterable[Prepared], Any], list[Job]]
    ahead: timedelta = timedelta()
