"""What ``tomqueue check`` looks at, and the bounds that the settings promise."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tomqueue.cli.target import Target
from tomqueue.errors import SchemaError, StoreError
from tomqueue.explain import is_alive, serves, takes
from tomqueue.priority import Priority, nearest_rank
from tomqueue.settings import Settings
from tomqueue.store.catalog import Catalog
from tomqueue.store.leases import WorkerRow
from tomqueue.store.sealed import Sealed
from tomqueue.times import span

__all__ = ["Bound", "Check", "bounds", "checks"]

SWEEP = 5.0
"""After the end of a lease its jobs are free within so many seconds."""
CHILD_FREED = 1.5
"""A supervisor frees the jobs of a child that was killed within so many seconds."""
NEWS_LOST = 60.0
"""A job whose news was lost starts so many seconds after its turn at the latest (``worker/lost_news.py``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One promise about time, as the settings make it."""

    code: str
    seconds: float
    text: str


def checks(target: Target, limit: float) -> Iterator[Check]:
    """Look at the database, the tables, the oldest ready job and the workers; stop where nothing more can be seen."""
    looks = {"database": database, "tables": tables, "waiting": waiting, "workers": workers, "keys": keys}
    for name, look in looks.items():
        try:
            ok, text = look(target, limit)
        except StoreError as error:
            ok, text = False, str(error)
        yield Check(name=name, ok=ok, text=text)
        if not ok and look in {database, tables}:
            return


def database(target: Target, _limit: float) -> tuple[bool, str]:
    """See whether the database answers."""
    with suppress(SchemaError):  # it answered; what it answered is the next check
        target.store  # noqa: B018 - opening it is the look
    return True, f"{target.place} answers"


def tables(target: Target, _limit: float) -> tuple[bool, str]:
    """See whether the tables have the version that this TomQueue needs."""
    target.store  # noqa: B018 - opening it is the look
    return True, "the tables are as this version needs them"


def waiting(target: Target, limit: float) -> tuple[bool, str]:
    """See how long the oldest ready job has been waiting."""
    oldest = target.catalog.queues.oldest_ready()
    if oldest is None:
        return True, "no ready job waits"
    seconds = max((target.store.now() - oldest).total_seconds(), 0.0)
    text = f"the oldest ready job has waited {span(seconds)} (limit {limit:g} s)"
    return seconds <= limit, text


def workers(target: Target, _limit: float) -> tuple[bool, str]:
    """See whether every queue and priority with ready jobs is served, unless the queue is paused."""
    now = target.store.now()
    alive = [worker for worker in target.leases.all() if is_alive(worker, now)]
    unserved = unserved_by(alive, target.catalog)
    if unserved:
        queues = ", ".join(f"{what} ({count:,} ready)" for what, count in sorted(unserved.items()))
        return False, f"no live worker serves {queues}: start one with `tomqueue run`"
    return True, f"{len(alive)} live; every queue with ready jobs is served"


def unserved_by(alive: Sequence[WorkerRow], catalog: Catalog) -> Counter[str]:
    """Count the ready jobs that nobody serves: by queue, or by its priorities where it is served for others."""
    paused = catalog.queues.states()
    found: Counter[str] = Counter()
    for (queue, stored), count in catalog.queues.ready_by_priority().items():
        rank, serving = nearest_rank(stored), [worker for worker in alive if serves(worker, queue)]
        if not paused.get(queue) and not any(takes(worker, rank) for worker in serving):
            found[f"{Priority.of_rank(rank)} jobs of {queue}" if serving else queue] += count
    return found


def keys(target: Target, _limit: float) -> tuple[bool, str]:
    """See whether jobs are parked that are encrypted with a key which is not here."""
    here = target.keyring.ids
    missing = {key: count for key, count in Sealed(target.store).parked_keys().items() if key not in here}
    if missing:
        jobs = ", ".join(f"{count:,} with the key {key}" for key, count in sorted(missing.items()))
        cure = "start a worker with it in encryption_keys (TOMQUEUE_ENCRYPTION_KEYS)"
        return False, f"parked jobs are encrypted ({jobs}), and that is not here: {cure}"
    known = f" (here: {', '.join(here)})" if here else ""
    return True, f"no parked job needs a key that is not here{known}"


def bounds(settings: Settings, dialect: str) -> list[Bound]:
    """Return how soon things happen at the latest, as the settings say."""
    look = settings.poll_interval if dialect == "sqlite" else settings.server_poll_interval
    freed = settings.lease + SWEEP
    texts = {
        "heartbeat": (settings.heartbeat, "a worker's lease is renewed every {:g} s"),
        "lease": (settings.lease, "a worker is believed to be alive for {:g} s after its last heartbeat"),
        "grace": (settings.grace, "a running job gets {:g} s to end at a shutdown or time-out"),
        "news": (look, "a free worker looks for new jobs every {:g} s"),
        "child_killed": (CHILD_FREED, "a worker process is killed: its jobs are ready again in {:g} s"),
        "host_lost": (freed, "a host is lost: its jobs are ready again in {:g} s"),
    }
    if settings.broker_url:
        texts["news_lost"] = (NEWS_LOST, "the news of a job is lost: it starts within {:g} s of its turn")
    return [Bound(code=code, seconds=value, text=text.format(value)) for code, (value, text) in texts.items()]
