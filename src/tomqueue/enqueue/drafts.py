"""From a prepared call to a draft: what the call says, else the job's declaration, else the settings."""

from collections.abc import Mapping

from tomqueue.definition import Prepared, seconds_of
from tomqueue.enqueue.request import Draft
from tomqueue.priority import Priority, priority_of
from tomqueue.reporting import Reporting
from tomqueue.settings import Settings

__all__ = ["Drafts"]


class Drafts:
    """Makes drafts. Numbers as priorities go through ``priority_map``."""

    def __init__(self, settings: Settings, priority_map: Mapping[int, Priority], reporting: Reporting) -> None:
        self._settings = settings
        self._priority_map = priority_map
        self._reporting = reporting

    def of(self, prepared: Prepared) -> Draft:
        """Return the draft of one job. Raises EnqueueError for an unknown priority."""
        said, declared = prepared.overrides, prepared.definition.options
        priority = said.priority if said.priority is not None else declared.priority
        if priority is None:
            priority = self._settings.default_priority
        expires = said.expires if said.expires is not None else declared.expires
        return Draft(
            definition=prepared.definition,
            payload=prepared.payload,
            queue=said.queue or declared.queue or self._settings.default_queue,
            priority=priority_of(priority, self._priority_map, self._reporting.logger),
            run_at=said.run_at,
            delay=said.delay_seconds,
            max_attempts=said.max_attempts,
            expires=None if expires is None else seconds_of(expires),
            instance=prepared.instance,
            tick=prepared.tick,
        )
