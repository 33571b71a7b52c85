"""Events: to observe what happens. To change behaviour, insert a layer instead."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tomqueue.errors import SettingsError

__all__ = ["EVENTS", "Events"]

EVENTS = {
    "job.enqueued": "a job's row is committed",
    "job.deduplicated": "an enqueue met its unique key: the job that holds it stands for it, and nothing was inserted",
    "job.started": "an attempt begins",
    "job.finished": "an attempt succeeded and the row is gone",
    "job.retried": "an attempt failed or asked for another; the row waits for its back-off",
    "job.snoozed": "the job asked to run later; the attempt is not charged",
    "job.failed": "the job failed for good; the row is kept",
    "job.cancelled": "a person cancelled the job, and it will not run again; the row is kept",
    "job.parked": "this worker cannot read the job; it waits for one that can",
    "job.interrupted": "a drain cut the job short; it is given back, not charged",
    "job.claim_lost": "an attempt ended whose claim was no longer ours; nothing was changed",
    "message.handled": "a consumer handled a message, which is acked",
    "message.failed": "a consumer failed, or asked for another try; the message comes again",
    "message.discarded": "a message is not tried again; the broker drops or dead-letters it",
    "news.differed": "a row is another than its notification told of, by their checksums; its job runs",
    "news.lost": "a row was found in the database behind its news; its job runs",
    "worker.started": "a worker process begins to take jobs",
    "worker.stopped": "a worker process took its last job",
}


class Events:
    """Subscribers by event name; a subscriber that raises is reported and harms nobody."""

    def __init__(self, report: Callable[[BaseException], None]) -> None:
        self._report = report
        self._subscribers: defaultdict[str, list[Callable[..., object]]] = defaultdict(list)

    def on(self, event: str, callback: Callable[..., object]) -> None:
        """Call ``callback(**details)`` at each ``event``; see EVENTS for the names."""
        if event not in EVENTS:
            raise SettingsError(f"no event is called {event!r}; there are {', '.join(EVENTS)}")
        self._subscribers[event].append(callback)

    def hears(self, event: str) -> bool:
        """Say whether anybody subscribed to ``event``."""
        return event in self._subscribers

    def emit(self, event: str, **details: Any) -> None:
        """Tell every subscriber of ``event``."""
        for callback in self._subscribers.get(event, ()):
            try:
                callback(**details)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - an observer must not change what it observes
                self._report(error)
