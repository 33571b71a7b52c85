"""What is said about a workflow: jobs one after another (``chain``) or side by side (``group``), and both nested."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tomqueue.definition.prepared import Prepared
from tomqueue.definition.registry import Registry
from tomqueue.errors import EnqueueError, UnknownJob
from tomqueue.job import Job

__all__ = ["Chain", "Group", "chain", "check_declared", "cure_of", "group"]


@dataclass(frozen=True, slots=True)
class Chain:
    """Calls one after another; ``chain`` makes it and checks what is in it."""

    links: "tuple[Item, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Calls side by side, and what follows them; ``group`` makes it and checks what is in it."""

    members: "tuple[Item, ...]"
    on_success: "Item | None" = None
    on_complete: "Item | None" = None


Item = Prepared | Chain | Group


def chain(*links: Item) -> Chain:
    """Return calls that run one after another: each once the one before it has succeeded.

    A link is a prepared call, a group (the next link waits for all of it) or a chain. When one fails for good, those
    after it wait for it to be retried. Raises EnqueueError for what is no call, and for nothing.
    """
    return Chain(checked("chain", links))


def group(*members: Item, on_success: Item | None = None, on_complete: Item | None = None) -> Group:
    """Return calls that run side by side, and what follows them.

    ``on_success`` runs once all have succeeded, also when some did so only after they had failed and were retried.
    ``on_complete`` runs once each has ended one way or the other: succeeded, failed for good, cancelled or deleted.
    Each runs once. In a chain the next link waits for the group and its ``on_success``. Raises EnqueueError.
    """
    for name, callback in (("on_success", on_success), ("on_complete", on_complete)):
        if callback is not None:
            check_item(f"group: {name}", callback)
    return Group(members=checked("group", members), on_success=on_success, on_complete=on_complete)


def checked(what: str, items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Return the items; raise EnqueueError for the first that is no call."""
    if not items:
        raise EnqueueError(f"{what}() is empty: give it at least one prepared call, such as send.prepare(7)")
    for place, item in enumerate(items, 1):
        check_item(f"{what}: item {place}", item)
    return items


def check_item(what: str, item: object) -> None:
    """Raise EnqueueError, with the cure, for what is neither a call, a chain nor a group."""
    if not isinstance(item, Prepared):
        if not isinstance(item, Chain | Group):
            raise EnqueueError(f"{what} is no prepared call: {cure_of(item)}")
        return
    said = item.overrides
    if said.session is not None or said.connection is not None:
        raise EnqueueError(
            f"{what}, {item.definition.name}, names a transaction of its own: a workflow is written in one, "
            "give it to tq.enqueue(…, session=…)"
        )


def cure_of(item: object) -> str:
    """Say what to write instead of something that is no call."""
    if isinstance(item, Job):
        return f"job {item.id} {item.name} is enqueued already, write {item.name}.prepare(…) instead of .enqueue(…)"
    if isinstance(item, type):
        return f"write tq.prepare({item.__name__}(…))"
    if hasattr(item, "prepare"):
        return f"write {getattr(item, '__name__', 'job')}.prepare(…)"
    if isinstance(item, Iterable) and not isinstance(item, str | bytes):
        return f"it is a {type(item).__name__}: put a star before it, as in group(*calls)"
    if callable(item):
        name = getattr(item, "__name__", "job")
        return f"put @tq.job above {name}, and write {name}.prepare(…)"
    kind = type(item).__name__
    return f"it is {item!r}" if kind in {"NoneType", "str", "bytes"} else f"if {kind} is a job, write tq.prepare(…)"


def check_declared(said: Item, registry: Registry) -> None:
    """Raise EnqueueError for the first call of a job that is not declared in ``registry``."""
    for name, place in sorted({(call.definition.name, call.definition.place) for call in calls_of(said)}):
        try:
            found = registry.find(name).place
        except UnknownJob as error:
            raise EnqueueError(f"{name} ({place}) is no job of this TomQueue: {error}") from error
        if found != place:
            raise EnqueueError(f"{name} ({place}) is a job of another TomQueue: here {name!r} is {found}")


def calls_of(said: Item) -> Iterator[Prepared]:
    """Return every call of a workflow."""
    if isinstance(said, Prepared):
        yield said
    elif isinstance(said, Chain):
        for link in said.links:
            yield from calls_of(link)
    else:
        for item in (*said.members, said.on_success, said.on_complete):
            if item is not None:
                yield from calls_of(item)
