"""What ``tomqueue doctor`` examines. Each examination returns what it found, with the cure; this list is the page."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from tomqueue.cli import checks
from tomqueue.cli.target import Target
from tomqueue.errors import BrokerUnavailable, SettingsError, StoreError
from tomqueue.explain import is_alive
from tomqueue.store.health import Health
from tomqueue.times import span
from tomqueue.transport.rabbitmq import Inspection

__all__ = ["Diagnosis", "Level", "examine"]

CLOCKS_APART = 1.0
LONG = timedelta(minutes=5)
OVERDUE = 10.0
LARGE_WAL = 256 * 2**20
OLDEST_BROKER = (3, 10)
WAITING_LIMIT = 300.0


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was examined, and what to do about it."""

    level: Level
    text: str
    cure: str | None = None


Look = Callable[[Target], Iterator[Diagnosis]]
BrokerLook = Callable[[Target, Inspection], Iterator[Diagnosis]]


def examine(target: Target) -> Iterator[tuple[str, Diagnosis]]:
    """Examine the database, then the broker. An examination that cannot be made says so, and the next follows."""
    for name, look in DATABASE.items():
        for found in guarded(lambda look=look: look(target)):  # type: ignore[misc]
            yield name, found
            if found.level is Level.PROBLEM and look in {database, tables}:
                return
    try:
        with target.broker() as broker:
            if broker is None:
                yield "broker", Diagnosis(Level.OK, "no broker: workers ask the database (setting broker_url)")
                return
            for name, seek in BROKER.items():
                for found in guarded(lambda seek=seek: seek(target, broker)):  # type: ignore[misc]
                    yield name, found
    except (BrokerUnavailable, SettingsError) as error:
        cure = "start it, or correct broker_url: until then jobs are enqueued and run without it, a little later"
        yield "broker", Diagnosis(Level.PROBLEM, str(error), cure)


def guarded(look: Callable[[], Iterator[Diagnosis]]) -> Iterator[Diagnosis]:
    """Make an examination; what keeps it from being made is a warning."""
    try:
        yield from look()
    except (StoreError, BrokerUnavailable) as error:
        yield Diagnosis(Level.WARNING, f"could not be examined: {error}")


def shared(look: Callable[[Target, float], tuple[bool, str]], cure: str) -> Look:
    """Return a look of ``tomqueue check`` as an examination."""

    def act(target: Target) -> Iterator[Diagnosis]:
        try:
            ok, text = look(target, WAITING_LIMIT)
        except StoreError as error:
            ok, text = False, str(error)
        yield Diagnosis(Level.OK, text) if ok else Diagnosis(Level.PROBLEM, text, cure)

    return act


database = shared(checks.database, "start the database, or correct database_url")
tables = shared(checks.tables, "run `tomqueue migrate`")


def version(target: Target) -> Iterator[Diagnosis]:
    """Say which database answers."""
    yield Diagnosis(Level.OK, Health(target.store).version())


def clock(target: Target) -> Iterator[Diagnosis]:
    """Compare the database's clock, by which everything is due, with this host's."""
    before = datetime.now(UTC)
    shown = target.store.now()
    after = datetime.now(UTC)
    apart = (shown - (before + (after - before) / 2)).total_seconds()
    text = f"the database's clock is {abs(apart):.3f} s {'ahead of' if apart > 0 else 'behind'} this host's"
    if abs(apart) <= CLOCKS_APART:
        yield Diagnosis(Level.OK, text)
    else:
        yield Diagnosis(Level.WARNING, text, "let NTP set both; times that this host computes (run_at) are off by that")


def snapshots(target: Target) -> Iterator[Diagnosis]:
    """Find transactions that keep deleted rows in the indexes, and a log that grows."""
    health = Health(target.store)
    long = health.long_transactions(LONG)
    for one in long:
        text = f"{one.who} has a transaction open for {span(one.seconds)}: finished jobs stay in the indexes meanwhile"
        yield Diagnosis(Level.WARNING, text, "end it; set idle_in_transaction_session_timeout or its like")
    if (size := health.wal_bytes()) > LARGE_WAL:
        text = f"SQLite's write-ahead log has {size / 2**20:.0f} MiB: a reader keeps it from being emptied"
        yield Diagnosis(Level.WARNING, text, "end long reads of the file")
    elif not long:
        yield Diagnosis(Level.OK, f"no transaction is older than {span(LONG.total_seconds())}")


def claims(target: Target) -> Iterator[Diagnosis]:
    """Find rows that a worker claimed that does not exist any more."""
    orphans = target.leases.orphans()
    if not orphans:
        yield Diagnosis(Level.OK, "every claimed job has a living worker")
        return
    text = f"jobs are claimed by {len(orphans):,} workers that have no lease"
    yield Diagnosis(Level.PROBLEM, text, "start `tomqueue run`: a supervisor frees them within its lease")


def due(target: Target) -> Iterator[Diagnosis]:
    """Find jobs whose time has come and that nobody announces."""
    count, seconds = Health(target.store).overdue()
    if seconds <= OVERDUE:
        yield Diagnosis(Level.OK, "no due job waits to be announced")
        return
    text = f"{count:,} jobs are due and nobody announces them, the oldest for {span(seconds)}"
    yield Diagnosis(Level.PROBLEM, text, "start `tomqueue run`, or `tomqueue deferred` beside `tomqueue work`")


DATABASE: dict[str, Look] = {
    "database": database,
    "tables": tables,
    "version": version,
    "clock": clock,
    "snapshots": snapshots,
    "claims": claims,
    "due": due,
    "waiting": shared(checks.waiting, "start more workers, or see `tomqueue explain ID` for one of them"),
    "workers": shared(checks.workers, "start `tomqueue run` with these queues"),
}


def node(_target: Target, broker: Inspection) -> Iterator[Diagnosis]:
    """Say which broker answers, and how fast."""
    found = broker.node()
    text = (
        f"{found.product} {found.version} ({found.cluster}) at {found.place} answers in {found.seconds * 1000:.1f} ms"
    )
    numbers = tuple(int(part) for part in found.version.split(".")[:2] if part.isdigit())
    if numbers and numbers < OLDEST_BROKER:
        yield Diagnosis(Level.WARNING, text, "TomQueue is tested with RabbitMQ 3.10 and newer: upgrade it")
    else:
        yield Diagnosis(Level.OK, text)


def topology(target: Target, broker: Inspection) -> Iterator[Diagnosis]:
    """Compare what is declared with what the settings say."""
    queues = list(target.catalog.queue_states())
    different = broker.different(queues)
    for name, words in different:
        cure = "stop what uses it, delete it at the broker, start again and run `tomqueue republish`"
        yield Diagnosis(Level.PROBLEM, f"{name} is declared otherwise (settings queue_type, prefix): {words}", cure)
    missing = broker.missing(queues)
    if missing:
        text = f"not declared yet: {', '.join(missing)}"
        yield Diagnosis(Level.WARNING, text, "a worker or the next enqueue declares them; jobs that are ready by then: "
                        "`tomqueue republish`")  # fmt: skip
    if not different and not missing:
        yield Diagnosis(Level.OK, f"exchanges and queues of {len(queues)} known queues are as the settings say")


def alarm(_target: Target, broker: Inspection) -> Iterator[Diagnosis]:
    """See whether the broker takes news."""
    reason = broker.alarm()
    if reason is None:
        yield Diagnosis(Level.OK, "no alarm: it takes news")
    else:
        text = f"it takes no news: {reason}"
        yield Diagnosis(
            Level.PROBLEM,
            text,
            "give it memory or disk, or its user the right to write; jobs are enqueued and run without it meanwhile",
        )


def news(target: Target, broker: Inspection) -> Iterator[Diagnosis]:
    """Compare what is ready here with what waits there."""
    ready = target.catalog.ready_counts()
    depths = broker.depths(ready)
    silent = [queue for queue in ready if not any(depths[one].messages for one in depths if one[0] == queue)]
    if not silent:
        yield Diagnosis(Level.OK, "the broker has news of every queue with ready jobs")
        return
    text = f"jobs are ready and the broker has no news of them in {', '.join(sorted(silent))}"
    cure = "a moment later a worker has taken them; if not: `tomqueue republish`"
    yield Diagnosis(Level.WARNING, text, cure)


def unseen(_target: Target, _broker: Inspection) -> Iterator[Diagnosis]:
    """Say what cannot be seen over AMQP."""
    yield Diagnosis(
        Level.OK,
        "not visible over AMQP, and not needed for jobs: the broker's clock (only the database's counts), and "
        "consumer_timeout (a message is acked when its job starts)",
    )


def leader(target: Target, _broker: Inspection) -> Iterator[Diagnosis]:
    """See whether a deferred process lives."""
    now = target.store.now()
    if any(worker.kind == "deferred" and is_alive(worker, now) for worker in target.leases.all()):
        yield Diagnosis(Level.OK, "a deferred process lives")
    else:
        text = "no deferred process lives: scheduled and retried jobs are found by idle workers only"
        yield Diagnosis(Level.WARNING, text, "start `tomqueue run`, or `tomqueue deferred` beside `tomqueue work`")


BROKER: dict[str, BrokerLook] = {
    "broker": node,
    "topology": topology,
    "news": news,
    "deferred": leader,
    "unseen": unseen,
    "alarm": alarm,
}
