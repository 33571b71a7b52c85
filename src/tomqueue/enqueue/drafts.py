"""From a prepared call to a draft: what the call says, else the job, else its queue, else the settings."""

from collections.abc import Mapping

from tomqueue.definition import Prepared, queue_said_by, seconds_of
from tomqueue.enqueue.kept import Kept
from tomqueue.enqueue.queue_attributes import QueueAttributes
from tomqueue.enqueue.request import Draft
from tomqueue.priority import Priority, priority_of
from tomqueue.reporting import Reporting
from tomqueue.settings import Settings

__all__ = ["Drafts"]


class Drafts:
    """Makes drafts. Numbers as priorities go through ``priority_map``."""

    def __init__(
        self,
        settings: Settings,
        priority_map: Mapping[int, Priority],
        queue_attributes: QueueAttributes,
        reporting: Reporting,
    ) -> None:
        self._settings = settings
        self._queue_attributes = queue_attributes
        self._priority_map = priority_map
        self._reporting = reporting
        self._kept = Kept(settings.keep_completed)

    def of(self, prepared: Prepared) -> Draft:
        """Return the draft of one job. Raises EnqueueError for an unknown priority."""
        said, declared = prepared.overrides, prepared.definition.options
        queue = said.queue or queue_said_by(prepared.instance) or declared.queue or self._settings.default_queue
        priority = said.priority if said.priority is not None else declared.priority
        if priority is None:
            priority = self._queue_attributes.priority(queue)
        if priority is None:
            priority = self._settings.default_priority
        expires = said.expires if said.expires is not None else declared.expires
        return Draft(
            definition=prepared.definition,
            payload=prepared.payload,
            queue=queue,
            priority=priority_of(priority, self._priority_map, self._reporting.logger),
            run_at=said.run_at,
            delay=said.delay_seconds,
            max_attempts=said.max_attempts,
            expires=None if expires is None else seconds_of(expires),
            instance=prepared.instance,
            tick=prepared.tick,
            counted=prepared.counted,
            ties=self._kept.ties(declared),
        )
