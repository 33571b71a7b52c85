"""Queues of a cluster whose node is down: the broker knows them, and lets nobody use them until it is back."""

import logging
from dataclasses import dataclass

from tomqueue.service import boot_time

__all__ = ["Absences"]

FIRST_PAUSE = 2.0
LONGEST_PAUSE = 30.0
"""Asking costs a channel, for the broker closes it instead of answering."""


@dataclass(slots=True)
class Absence:
    """One queue's: when to ask for it again, and how long to wait then."""

    until: float
    pause: float


class Absences:
    """Which queues cannot be used now, each with one line in the log when that begins and one when it ends."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._queues: dict[str, Absence] = {}

    def __bool__(self) -> bool:
        return bool(self._queues)

    def began(self, queue: str) -> None:
        """Take note that a queue's node is down."""
        known = self._queues.get(queue)
        pause = min(FIRST_PAUSE if known is None else 2 * known.pause, LONGEST_PAUSE)
        self._queues[queue] = Absence(boot_time() + pause, pause)
        if known is None:
            self._logger.warning(
                "RabbitMQ has the queue %s on a node that is down: until that is back, workers ask the database. "
                "Queues of queue_type=quorum outlive a node",
                queue,
            )

    def ended(self, queue: str) -> None:
        """Take note that a queue can be used."""
        if self._queues.pop(queue, None) is not None:
            self._logger.warning("RabbitMQ has the queue %s again", queue)

    def covers(self, queue: str) -> bool:
        """Say whether a queue is known to be absent and need not be asked for yet."""
        absence = self._queues.get(queue)
        return absence is not None and boot_time() < absence.until

    def includes(self, queue: str) -> bool:
        """Say whether a queue was absent when it was last asked for."""
        return queue in self._queues
