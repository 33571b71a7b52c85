"""A connection that comes back: one thread, one line in the log when it goes, one when it is back."""

import encodings.idna  # noqa: F401 - else a host's first look-up imports it, and a fork amidst leaves it locked in the child
import logging
import random
import ssl
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import pika
from pika.adapters.select_connection import IOLoop
from pika.exceptions import (
    AMQPConnectionError,
    AMQPError,
    AuthenticationError,
    ConnectionClosedByClient,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from tomqueue.reporting import Reporting
from tomqueue.service import boot_time
from tomqueue.settings import Settings, broker_urls
from tomqueue.transport.rabbitmq.address import describe, parameters_of, place_of
from tomqueue.transport.rabbitmq.pulse import Pulse

__all__ = ["Link", "Session"]

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
STEADY_AFTER = 10.0
"""Seconds after which a connection counts as good, so that the next loss starts with a short pause again."""
CLOSE_SECONDS = 3.0
SILENCE = 2.0
"""Seconds beyond the heartbeat, in which the broker sends two signs of life, that it may be silent. pika would wait for
up to twice the heartbeat and ten more."""
THREADS = "tomqueue-rabbitmq-"
RESOLVER = "_resolve"
FOR_A_PERSON = (AuthenticationError, ProbableAuthenticationError, ProbableAccessDeniedError, ssl.SSLError)
"""What does not get better by waiting."""


class Session(Protocol):
    """What is done with a connection. All of it happens in the connection's thread."""

    pulse: Pulse
    """The session takes note there of what it asks and hears; the link does so of the connection."""

    def opened(self, connection: Any) -> None:
        """Begin with a new connection; call ``Link.ready`` when it is of use."""

    def lost(self) -> None:
        """Forget what belonged to the connection. Called once after each ``opened``, also at the end."""

    def tick(self) -> None:
        """Look after things, every second."""


class Link:
    """Keeps a session connected until it is stopped. ``post`` is for every thread, the rest for the session."""

    def __init__(self, settings: Settings, side: str, session: Session, reporting: Reporting) -> None:
        self._settings = settings
        self._side = side
        self._session = session
        self._reporting = reporting
        self._loop = IOLoop()
        self._thread = threading.Thread(target=self._run, name=THREADS + side, daemon=True)
        self._over = threading.RLock()  # a signal's handler may post as well
        self._connection: Any = None
        self._leaving: set[Any] = set()
        """Connections that were said goodbye to and have not answered."""
        self._addresses: list[str] = []
        """Nodes that were not tried yet in this round."""
        self._open = False
        self._ready = False
        self._since = 0.0
        self._heard = 0
        self._heard_at = 0.0
        self._failures = 0
        self._stopping = False
        self._ended = False
        self._told = logging.NOTSET
        self.away = False
        """Whether the broker could not be reached, or was lost and is not back."""
        self.closed_cleanly = False
        """Whether the broker answered our goodbye: everything sent before it was received."""

    # Every thread ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()

    def post(self, work: Callable[[], object]) -> None:
        """Have ``work`` done in the connection's thread; nothing, when that has ended."""
        with self._over:
            if not self._ended:
                self._loop.add_callback_threadsafe(work)

    def stop(self) -> None:
        """Say goodbye to the broker, within a bound, and end the thread."""
        self.post(self._close)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(2 * CLOSE_SECONDS)

    # The session -----------------------------------------------------------------------------------------

    def ready(self, *, works: bool = True) -> None:
        """Say that the session has all that it asked the broker for."""
        self._ready = True
        if works:
            self.works()

    def works(self) -> None:
        """Say that the connection does what it is for."""
        if self.away:
            self._reporting.logger.warning("RabbitMQ at %s is back (%s)", place_of(self._settings), self._side)
        self.away = False
        self._told = logging.NOTSET

    def restart(self, reason: object) -> None:
        """Give this connection up and make another, after a pause."""
        connection = self._connection
        if connection is None:
            return
        self._down(reason)
        if connection.is_open:
            self._leaving.add(connection)
            connection.close(320, "starting anew")
            self._loop.call_later(CLOSE_SECONDS, lambda: self._hang_up([connection]))

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        """Do ``work`` after a while."""
        self._loop.call_later(seconds, work)

    # The thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        hush_pika()
        self.post(self._connect)
        self.post(self._tick)
        while not self._ended:
            try:
                self._loop.start()
                self._end()
            except Exception as error:  # noqa: BLE001 - reported; the connection is made anew
                if self._stopping and not self._open:  # pika stumbles over the end of what it is still opening
                    self._end()
                    break
                if self._open:  # what pika stumbles over while it connects is a loss like others
                    self._reporting.report(error)
                self.restart(error)
        self._loop.close()

    def _end(self) -> None:
        with self._over:
            self._ended = True

    def _tick(self) -> None:
        self._loop.call_later(1.0, self._tick)
        self._listen()
        self._session.tick()

    def _listen(self) -> None:
        """Give up a connection whose other side stands still."""
        connection = self._connection
        if not self._open or self._stopping:
            return
        if connection.bytes_received != self._heard:
            self._heard, self._heard_at = connection.bytes_received, boot_time()
            return
        silent, heartbeat = boot_time() - self._heard_at, connection.params.heartbeat
        if heartbeat and silent > heartbeat + SILENCE:
            self.restart(f"the broker gave no sign of life for {silent:.0f} s")

    def _connect(self) -> None:
        if self._stopping:
            return
        try:
            self._connection = pika.SelectConnection(
                parameters_of(self._settings, self._side, self._next_address()),
                on_open_callback=self._opened,
                on_open_error_callback=self._closed,
                on_close_callback=self._closed,
                custom_ioloop=self._loop,
            )
        except Exception as error:  # noqa: BLE001 - a certificate's file may be gone by now
            self._down(error)

    def _next_address(self) -> str:
        """Return the nodes of a cluster in turn, in random order, so that many clients spread over them."""
        if not self._addresses:
            self._addresses = broker_urls(self._settings.broker_url)
            random.shuffle(self._addresses)
        return self._addresses.pop()

    def _opened(self, connection: Any) -> None:
        if connection is not self._connection:  # given up while it was opening
            self._leaving.add(connection)
            connection.close()
            return
        self._since = self._heard_at = boot_time()
        self._open = True
        self._session.pulse.asked()
        self._loop.call_later(self._settings.broker_timeout, lambda: self._check(connection))
        self._session.opened(connection)

    def _check(self, connection: Any) -> None:
        """Give up what the broker leaves unanswered; far away, or with many queues, getting ready may take long."""
        if connection is not self._connection or self._ready:
            return
        left = self._settings.broker_timeout - self._session.pulse.silence
        if left > 0:
            self.later(left, lambda: self._check(connection))
        else:
            self.restart(f"the broker did not answer within {self._settings.broker_timeout} s")

    def _closed(self, connection: Any, reason: object) -> None:
        self._leaving.discard(connection)
        if connection is not self._connection:
            return
        if self._stopping:
            self.closed_cleanly = isinstance(reason, ConnectionClosedByClient)
            self._leave()
        else:
            self._down(reason)

    def _down(self, reason: object) -> None:
        """Be without a connection, and try again after a pause that grows, so that many do not come at once."""
        self._connection = None
        was_open, self._open, self._ready = self._open, False, False
        self._session.pulse.answered()
        if was_open:
            self._session.lost()
        if was_open and boot_time() - self._since > STEADY_AFTER:
            self._failures = 0
        self.away = True
        self._tell(reason)
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        self._loop.call_later(pause * random.uniform(0.5, 1.0), self._connect)  # noqa: S311 - jitter

    def _tell(self, reason: object) -> None:
        """Say it once; once more when it turns out to be what does not get better by waiting."""
        found = describe(reason)
        level = logging.ERROR if isinstance(found.error, FOR_A_PERSON) else logging.WARNING
        if level <= self._told:
            return
        self._told = level
        text = f"RabbitMQ at {place_of(self._settings)} is away ({self._side}), trying again: {found.text}"
        self._reporting.logger.log(level, "%s", text)
        if isinstance(found.error, BaseException):
            self._reporting.notify(found.error)

    def _close(self) -> None:
        self._stopping = True
        self._loop.call_later(CLOSE_SECONDS, self._leave)
        connection = self._connection
        if connection is None:
            self._leave()
            return
        self._leaving.add(connection)
        try:
            connection.close()  # one that is not open yet as well: its socket is
        except AMQPError:
            self._leaving.discard(connection)
            self._leave()

    def _leave(self) -> None:
        """End the thread's work, without waiting for a broker that does not answer."""
        self._hang_up(list(self._leaving))
        self._loop.add_callback_threadsafe(self._loop.stop)  # behind what closes the sockets

    def _hang_up(self, connections: Iterable[Any]) -> None:
        """Close the sockets of those that have not answered our goodbye."""
        for connection in self._leaving.intersection(connections):
            self._leaving.discard(connection)
            connection._terminate_stream(AMQPConnectionError("no answer to our goodbye"))  # noqa: SLF001 - pika's only way


def hush_pika() -> None:
    """Keep pika's own lines about our connections out of the log: ours say it once. Others' stay."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("pika"):
            logging.getLogger(name).addFilter(is_of_others)


def is_of_others(record: logging.LogRecord) -> bool:
    """Say whether a line of pika's is about a connection that is not ours.

    A host is looked up in a thread that could be anybody's; that it failed pika says once more where it connects.
    """
    return record.funcName != RESOLVER and not (record.threadName or "").startswith(THREADS)
