"""The news by RabbitMQ."""

from collections.abc import Callable, Sequence

from tomqueue.priority import PRIORITIES
from tomqueue.reporting import Reporting
from tomqueue.settings import Settings
from tomqueue.store.sql import SqlStore
from tomqueue.transport.base import Wanted
from tomqueue.transport.rabbitmq.address import parameters_of
from tomqueue.transport.rabbitmq.consumer import RabbitConsumer
from tomqueue.transport.rabbitmq.mailbox import RabbitMailbox
from tomqueue.transport.rabbitmq.publisher import RabbitPublisher

__all__ = ["RabbitTransport"]


class RabbitTransport:
    """A Transport. Raises SettingsError when ``broker_url`` says what cannot be done; connects later."""

    pushes = True

    def __init__(self, store: SqlStore, settings: Settings, reporting: Reporting) -> None:
        parameters_of(settings, "check")
        self._store = store
        self._settings = settings
        self._reporting = reporting

    def publisher(self) -> RabbitPublisher:
        """Return the enqueueing side of this process, and of those forked from it."""
        return RabbitPublisher(self._store, self._settings, self._reporting)

    def consumer(self, queues: Callable[[], Sequence[str]], ranks: range = PRIORITIES) -> RabbitConsumer:
        """Return a working side."""
        return RabbitConsumer(self._settings, queues, ranks, self._reporting)

    def mailbox(self, wanted: Wanted) -> RabbitMailbox:
        """Return where messages of other programs arrive."""
        return RabbitMailbox(self._settings, wanted, self._reporting)
