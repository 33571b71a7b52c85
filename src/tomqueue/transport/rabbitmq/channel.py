"""What sessions share that work on one channel of their connection: it is opened, closed, and opened anew.

All of it happens in the connection's thread. What a channel that was given up still answers counts no more.
"""

from abc import ABC, abstractmethod
from typing import Any

from tomqueue.reporting import Reporting
from tomqueue.transport.rabbitmq.connection import Link
from tomqueue.transport.rabbitmq.declare import Declarations
from tomqueue.transport.rabbitmq.pulse import Pulse

__all__ = ["OneChannel"]


class OneChannel(ABC):
    """A Session with one channel at a time."""

    link: Link

    def __init__(self, reporting: Reporting) -> None:
        self.pulse = Pulse()
        self._reporting = reporting
        self._declarations = Declarations(reporting.logger, self.pulse)
        self._connection: Any = None
        self._channel: Any = None

    @abstractmethod
    def _begin(self, channel: Any) -> None:
        """Begin with a channel that is open now."""

    @abstractmethod
    def _without_channel(self) -> None:
        """Forget the channel, and what belonged to it."""

    def opened(self, connection: Any) -> None:
        """Begin with a new connection."""
        self._connection = connection
        self._declarations.reset()
        self._open_channel()

    def lost(self) -> None:
        """Forget the connection."""
        self._connection = None
        self._without_channel()

    @property
    def _is_connected(self) -> bool:
        return self._connection is not None and bool(self._connection.is_open)

    @property
    def _is_open(self) -> bool:
        return self._channel is not None and bool(self._channel.is_open)

    def _open_channel(self) -> None:
        self.pulse.asked()
        self._channel = self._connection.channel(on_open_callback=self._begun)
        self._channel.add_on_close_callback(self._closed)

    def _begun(self, channel: Any) -> None:
        if channel is self._channel:
            self.pulse.heard()
            self._begin(channel)

    def _closed(self, channel: Any, reason: Any) -> None:
        if channel is self._channel:
            self._without_channel()
            if self._is_connected:
                self._go_on(reason)

    def _go_on(self, reason: Any) -> None:
        """Take another channel where that helps, else another connection."""
        if self._declarations.refused(reason):
            self._open_channel()
        else:
            self.link.restart(reason)
