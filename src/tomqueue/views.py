"""What an application looks at, and changes by hand: jobs, and what belongs to them."""

from tomqueue.definition import Registry
from tomqueue.disclosure import Disclosure
from tomqueue.enqueue.enqueuing import Enqueuing
from tomqueue.events import Events
from tomqueue.history import History
from tomqueue.jobs import Jobs
from tomqueue.limits import Limits
from tomqueue.parts import Parts
from tomqueue.payload import Keyring
from tomqueue.priority import Priority, priority_of
from tomqueue.reporting import Reporting
from tomqueue.results import Results
from tomqueue.schedules import Schedules
from tomqueue.store.history import HistoryTable
from tomqueue.store.pruning import Pruning
from tomqueue.store.results import ResultTable
from tomqueue.store.sealed import Reencrypted, Sealed
from tomqueue.workflows import Workflows

__all__ = ["Views"]


class Views:
    """The part of TomQueue that people ask; what it is made of is filled by TomQueue."""

    registry: Registry
    keyring: Keyring
    priority_map: dict[int, Priority]
    _parts: Parts
    _events: Events
    _enqueuing: Enqueuing
    _reporting: Reporting

    @property
    def jobs(self) -> Jobs:
        """Look at jobs, retry, cancel, edit, delete and publish them."""
        return Jobs(
            lambda: self._parts.catalog, lambda: self._parts.republisher,
            events=self._events, priority_of=self._priority_of, results=self.results, shown=self.disclosure.arguments,
            reencrypt=self._reencrypt,
        )  # fmt: skip

    @property
    def disclosure(self) -> Disclosure:
        """What may be shown of jobs' arguments, for whatever shows them."""
        return Disclosure(self.registry, self.keyring)

    @property
    def results(self) -> Results:
        """Wait for what jobs with a ``result_ttl`` return."""
        return Results(lambda: ResultTable(self._parts.store), self.registry)

    @property
    def history(self) -> History:
        """Look at jobs that succeeded, where ``keep_completed`` says so."""
        return History(
            lambda: HistoryTable(self._parts.store), lambda: self._parts.catalog, lambda: Pruning(self._parts.store),
            shown=self.disclosure.arguments,
        )  # fmt: skip

    @property
    def schedules(self) -> Schedules:
        """Look at periodic jobs, run, pause and resume them."""
        return Schedules(lambda: self._parts.store, self.registry, self._enqueuing)

    @property
    def limits(self) -> Limits:
        """Look at limits and fair sharing, and change a limit."""
        return Limits(lambda: self._parts.store, self.registry.limits)

    @property
    def workflows(self) -> Workflows:
        """Look at chains and groups, and cancel them."""
        return Workflows(lambda: self._parts.catalog, shown=self.disclosure.arguments, results=self.results)

    def _priority_of(self, value: Priority | str | int) -> Priority:
        return priority_of(value, self.priority_map, self._reporting.logger)

    def _reencrypt(self) -> Reencrypted:
        return Sealed(self._parts.store).reencrypt(self.keyring, self.registry.encrypted())
