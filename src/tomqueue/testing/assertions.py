"""Which jobs a test means, and what it is told when they are not there. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tomqueue.definition import Definition, Overrides, Prepared, Registry
from tomqueue.job import Job
from tomqueue.priority import Priority

__all__ = ["Wanted", "listing", "wanted"]

MOST_LISTED = 20
MOST_CHARACTERS = 200
"""Of a job's arguments, in a message."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a job must be like; None asks for nothing."""

    name: str | None = None
    arguments: Any = None
    named: Mapping[str, Any] | None = None
    """Some of the arguments, by name."""
    queue: str | None = None
    priority: Priority | None = None

    def means(self, job: Job) -> bool:
        """Say whether ``job`` is like that."""
        return (
            self.name in {None, job.name}
            and self.queue in {None, job.queue}
            and self.priority in {None, job.priority}
            and (self.arguments is None or bool(self.arguments == job.arguments))
            and (self.named is None or has_all(job.arguments, self.named))
        )

    def __str__(self) -> str:
        said = [self.name or "job"]
        if self.arguments is not None:
            said.append(shown(self.arguments))
        if self.named is not None:
            said.append(f"with {shown(self.named)}")
        said += [f"{what}={value}" for what, value in (("queue", self.queue), ("priority", self.priority)) if value]
        return " ".join(said)


def wanted(
    registry: Registry,
    job: object | None,
    args: Sequence[Any] | Mapping[str, Any] | None,
    queue: str | None,
    priority: Priority | str | None,
) -> Wanted:
    """Return what is meant by a declared job, a job class, an instance of one, a prepared call, or a name.

    ``args`` are all arguments in their order, checked as in ``enqueue``, or some of them by name. Raises TypeError
    where they cannot be given, DefinitionError and UnknownJob for what is not declared, ArgumentsError.
    """
    terms: dict[str, Any] = {"queue": queue, "priority": None if priority is None else Priority(priority)}
    if job is None:
        name = None
    elif isinstance(job, str):
        name = registry.find(job).name
    elif isinstance(job, Definition):
        name = job.name
        if args is not None and not isinstance(args, Mapping):
            return Wanted(name=name, arguments=plain(job.prepare(*args).payload), **terms)
    elif isinstance(job, type):
        name = registry.of_class(job).name
    else:
        if args is not None:
            raise TypeError("an instance and a prepared call have their arguments already: leave args out")
        call = job if isinstance(job, Prepared) else registry.of_class(type(job)).prepare(job, Overrides())
        return Wanted(name=call.definition.name, arguments=plain(call.payload), **terms)
    if args is not None and not isinstance(args, Mapping):
        raise TypeError("arguments in their order need the declared function: give them by name, as {'user_id': 7}")
    return Wanted(name=name, named=None if args is None else plain(msgspec.json.encode(args)), **terms)


def plain(payload: str | bytes) -> Any:
    """Return the plain JSON values of arguments, as a row shows them."""
    return msgspec.json.decode(payload)


def has_all(arguments: Any, named: Mapping[str, Any]) -> bool:
    """Say whether arguments contain all of ``named``."""
    missing = object()
    return isinstance(arguments, dict) and all(arguments.get(name, missing) == value for name, value in named.items())


def listing(jobs: Sequence[Job]) -> str:
    """Return jobs as the lines of a message."""
    lines = [
        f"  job {job.id} {job.name} {shown(job.arguments)} queue={job.queue} priority={job.priority} {job.state}"
        for job in jobs[:MOST_LISTED]
    ]
    if len(jobs) > MOST_LISTED:
        lines.append(f"  and {len(jobs) - MOST_LISTED:,} more")
    return "\n".join(lines)


def shown(arguments: Any) -> str:
    """Return arguments as they are read best, not too long."""
    text = msgspec.json.encode(arguments).decode()
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"
