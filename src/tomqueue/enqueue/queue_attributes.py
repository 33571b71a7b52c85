"""What is said about a queue: ``tq.queue_attributes["mailers"] = {"priority": "high"}`` (Delayed::Job)."""

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from tomqueue.definition.options import checked_name, priority_problem
from tomqueue.errors import SettingsError
from tomqueue.priority import Priority

__all__ = ["QueueAttributes"]


class QueueAttributes(MutableMapping[str, Mapping[str, Any]]):
    """Attributes by queue; ``priority`` is the only one. It counts where neither the call nor the job says another."""

    def __init__(self) -> None:
        self._attributes: dict[str, Mapping[str, Any]] = {}

    def __repr__(self) -> str:
        return f"QueueAttributes({self._attributes!r})"

    def __getitem__(self, queue: str) -> Mapping[str, Any]:
        return self._attributes[queue]

    def __setitem__(self, queue: str, attributes: Mapping[str, Any]) -> None:
        """Say something about a queue, in place of what was said; raises SettingsError for what cannot be."""
        checked_name("queue", queue, SettingsError)
        if not isinstance(attributes, Mapping):
            raise SettingsError(f"queue_attributes[{queue!r}] must be a dict, such as {{'priority': 'high'}}")
        if unknown := sorted(set(attributes) - {"priority"}):
            raise SettingsError(f"queue_attributes[{queue!r}] has {unknown[0]!r}: a queue has a priority, and no more")
        if problem := priority_problem(attributes.get("priority")):
            raise SettingsError(f"queue_attributes[{queue!r}]: priority={attributes['priority']!r} {problem}")
        self._attributes[queue] = dict(attributes)

    def __delitem__(self, queue: str) -> None:
        del self._attributes[queue]

    def __iter__(self) -> Iterator[str]:
        return iter(self._attributes)

    def __len__(self) -> int:
        return len(self._attributes)

    def priority(self, queue: str) -> Priority | str | int | None:
        """Return the priority of a queue's jobs; None where nothing is said."""
        known = self._attributes.get(queue)
        return None if known is None else known.get("priority")
