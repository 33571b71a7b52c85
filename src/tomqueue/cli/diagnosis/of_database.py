"""What ``tomqueue doctor`` examines in the database. Each examination returns what it found, with the cure."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from tomqueue.cli import checks
from tomqueue.cli.diagnosis.finding import Diagnosis, Level
from tomqueue.cli.diagnosis.of_features import periodic, rotation, workflows
from tomqueue.cli.target import Target
from tomqueue.errors import StoreError
from tomqueue.store.health import Health
from tomqueue.times import span

__all__ = ["DATABASE", "database", "tables"]

CLOCKS_APART = 1.0
LONG = timedelta(minutes=5)
FAR_BEHIND = 100_000
"""Transactions."""
OVERDUE = 10.0
LARGE_WAL = 256 * 2**20
WAITING_LIMIT = 300.0

Look = Callable[[Target], Iterator[Diagnosis]]


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
    behind = health.replicas_behind(FAR_BEHIND)
    for replica in behind:
        text = f"{replica.who} reads as of {replica.transactions:,} transactions ago: finished jobs stay in the indexes"
        yield Diagnosis(Level.WARNING, text, "let it catch up, drop the slot, or set hot_standby_feedback off there")
    if (size := health.wal_bytes()) > LARGE_WAL:
        text = f"SQLite's write-ahead log has {size / 2**20:.0f} MiB: a reader keeps it from being emptied"
        yield Diagnosis(Level.WARNING, text, "end long reads of the file")
    elif not long and not behind:
        whose = "" if health.sees_all_sessions() else " (this user sees its own only: GRANT pg_read_all_stats to it)"
        yield Diagnosis(Level.OK, f"no transaction is older than {span(LONG.total_seconds())}{whose}")


def claims(target: Target) -> Iterator[Diagnosis]:
    """Find rows that a worker claimed that lives no more."""
    orphans, over = target.leases.orphans(), [worker.id for worker in target.leases.expired()]
    held = target.leases.held_by(over) if over else []
    if not orphans and not held:
        yield Diagnosis(Level.OK, "every claimed job has a living worker")
        return
    gone = len(orphans) + len({one.worker for one in held})
    text = f"jobs are claimed by {gone:,} workers that have no lease, or whose lease is over"
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
    "schedules": periodic,
    "workflows": workflows,
    "waiting": shared(checks.waiting, "start more workers, or see `tomqueue explain ID` for one of them"),
    "workers": shared(checks.workers, "start `tomqueue run` with these queues and priorities"),
    "keys": shared(checks.keys, "give the workers that key: it parks what it cannot decrypt, and releases it then"),
    "rotation": rotation,
}
