"""Messages of other programs that this worker handles, beside jobs; and how each ends."""

import logging
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from tomqueue.definition import ConsumerDefinition
from tomqueue.error_text import message_of, without_our_frames
from tomqueue.errors import Discard, Interruption, JobInterrupted, Retry, Snooze, Verdict
from tomqueue.events import Events
from tomqueue.reporting import Reporting
from tomqueue.transport.base import Letter, Mailbox
from tomqueue.worker.board import MESSAGE

__all__ = ["Handling", "Messages"]

LONGEST_HOLD = 250.0
"""Seconds: with the longest run it stays below RabbitMQ's 30 minutes for an unacked message."""
LONGEST_PAUSE = 60.0
DOUBLINGS = 6


@dataclass(slots=True, eq=False)
class Handling:
    """A message that a slot handles. What it has of a row is what the board and the supervisor know of it."""

    letter: Letter
    id: int = MESSAGE
    attempts: int = 1
    suspect: bool = False

    @property
    def consumer(self) -> ConsumerDefinition:
        """Who handles it."""
        return self.letter.consumer


class Messages:
    """Gives messages out and settles them as their handlers ended. Without a ``mailbox`` there are none."""

    def __init__(self, mailbox: Mailbox | None, events: Events, logger: logging.Logger, reporting: Reporting) -> None:
        self._mailbox = mailbox
        self._events = events
        self._logger = logger
        self._reporting = reporting
        self._failures: Counter[str] = Counter()
        self._discarded: Counter[str] = Counter()

    # What waits ------------------------------------------------------------------------------------------

    def most_urgent(self) -> int | None:
        """Return the rank of the most urgent message; None when none waits."""
        return None if self._mailbox is None else self._mailbox.most_urgent()

    def take(self) -> Handling | None:
        """Return the most urgent message, to be handled now."""
        letter = None if self._mailbox is None else self._mailbox.take()
        return None if letter is None else Handling(letter)

    def suspend(self) -> None:
        """Hold nothing that waits: there is no free slot."""
        if self._mailbox is not None:
            self._mailbox.suspend()

    def resume(self) -> None:
        """Let messages come: there is a free slot."""
        if self._mailbox is not None:
            self._mailbox.resume()

    def follow(self) -> None:
        """See at once which queues are served."""
        if self._mailbox is not None:
            self._mailbox.follow()

    def drain(self) -> None:
        """Put back what is not being handled; let nothing more come."""
        if self._mailbox is not None:
            self._mailbox.drain()

    def close(self) -> None:
        """Give everything back that is not settled, and end."""
        if self._mailbox is not None:
            self._mailbox.close()

    # How it ends -----------------------------------------------------------------------------------------

    def ended(self, handling: Handling, error: BaseException | None) -> None:
        """Settle a message whose handler ended with ``error``; None: it succeeded."""
        letter, name = handling.letter, handling.consumer.name
        if error is None:
            self._failures.pop(name, None)
            self._settler.ack(letter)
            self._logger.debug("consumer %s: message %r handled", name, letter.message.message_id)
            self._emit("message.handled", letter)
        elif isinstance(error, JobInterrupted):
            self._settler.hold(letter, 0.0)
            self._logger.info("consumer %s: message %r goes back: %s", name, letter.message.message_id, error)
        elif isinstance(error, (Discard, *handling.consumer.discard_on)):
            self._settler.discard(letter)
            self._discarded[name] += 1
            self._tell(letter, error, f"discarded ({self._discarded[name]} so far)", logging.ERROR)
            self._emit("message.discarded", letter, error)
        else:
            seconds = self._pause(name, error)
            self._settler.hold(letter, seconds)
            self._tell(letter, error, f"again in {seconds:g} s", logging.WARNING)
            self._emit("message.failed", letter, error)

    @property
    def _settler(self) -> Mailbox:
        assert self._mailbox is not None
        return self._mailbox

    def _pause(self, name: str, error: BaseException) -> float:
        """Return how long to hold a message: what a verdict said, else longer with each failure in a row."""
        if not isinstance(error, Snooze):
            self._failures[name] += 1
        said = error.delay if isinstance(error, Retry | Snooze) else None
        if said is not None:
            try:
                delay = said if isinstance(said, timedelta) else timedelta(seconds=said)
                return min(max(delay.total_seconds(), 0.0), LONGEST_HOLD)
            except (TypeError, ValueError, OverflowError) as no_delay:
                self._reporting.report(no_delay)
        return min(2.0 ** min(max(self._failures[name] - 1, 0), DOUBLINGS), LONGEST_PAUSE)

    def _tell(self, letter: Letter, error: BaseException, what: str, level: int) -> None:
        """Log and report how a handler ended. What a message says stays out of the log; its id is no secret."""
        begin = f"consumer {letter.consumer.name}: message {letter.message.message_id!r}"
        if isinstance(error, Verdict):
            self._logger.info("%s: %s: %s", begin, what, message_of(error))
            return
        without_our_frames(error)
        said = f": {message_of(error)}" if isinstance(error, Interruption) else ""
        self._logger.log(level, "%s raised %s%s: %s", begin, type(error).__name__, said, what, exc_info=error)
        self._reporting.notify(error)

    def _emit(self, event: str, letter: Letter, error: BaseException | None = None) -> None:
        details = {} if error is None else {"error": error}
        self._events.emit(event, message=letter.message, consumer=letter.consumer.name, **details)
