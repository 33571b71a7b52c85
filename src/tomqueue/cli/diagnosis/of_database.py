"""What ``tomqueue doctor`` examines in the database. Each examination returns what it found, with the cure."""

from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta

from tomqueue.cli import checks
from tomqueue.cli.diagnosis.finding import Diagnosis, Level
from tomqueue.cli.target import Target
from tomqueue.errors import StoreError
from tomqueue.store.health import Health
from tomqueue.store.schedules import SEEN_EVERY, ScheduleRow, ScheduleTable
from tomqueue.store.sealed import Sealed
from tomqueue.times import span, when

__all__ = ["DATABASE", "database", "tables"]

CLOCKS_APART = 1.0
LONG = timedelta(minutes=5)
FAR_BEHIND = 100_000
"""Transactions."""
OVERDUE = 10.0
OVERDUE_TICK = 60.0
"""Less is a restart, or a busy database; from then on a tick counts as missed."""
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


def periodic(target: Target) -> Iterator[Diagnosis]:
    """Find schedules whose tick is due and that nobody enqueues."""
    now = target.store.now()
    late = [row for row in ScheduleTable(target.store).all() if is_overdue(row, now)]
    for row in late:
        yield why_overdue(row, now, None if target.registry is None else target.registry.schedules())
    if not late:
        yield Diagnosis(Level.OK, "no periodic job is overdue")


def is_overdue(row: ScheduleRow, now: datetime) -> bool:
    """Say whether a tick should have become a job by now."""
    due = None if row.paused_at is not None else row.next_run_at
    return due is not None and (now - due).total_seconds() > OVERDUE_TICK


def why_overdue(row: ScheduleRow, now: datetime, declared: Collection[str] | None) -> Diagnosis:
    """Say why nobody enqueues a schedule. ``declared`` is None where the application is not known."""
    assert row.next_run_at is not None
    assert row.seen_at is not None
    text = f"{row.name} has been due since {when(row.next_run_at, now)} and nobody enqueues it"
    if (now - row.seen_at).total_seconds() < 2 * SEEN_EVERY:
        cure = "see the log of the workers that declare it: a layer or an enqueue hook raises"
        return Diagnosis(Level.PROBLEM, f"{text}, although a worker knows it", cure)
    text += f": no worker that declares it has been seen since {when(row.seen_at, now)}"
    if declared is None or row.name in declared:
        return Diagnosis(Level.PROBLEM, text, "start `tomqueue run` with the application that declares it")
    cure = "start the application that does; if the job is gone for good, so is this row after 30 days"
    return Diagnosis(Level.WARNING, f"{text}, and this application does not declare it", cure)


def rotation(target: Target) -> Iterator[Diagnosis]:
    """Find jobs under keys that were put back, or taken out; where nothing is encrypted no row is read."""
    here = target.keyring.ids
    counts = Sealed(target.store).keys() if here else {}
    for key, count in sorted(counts.items()):
        if key not in here:
            text = f"{count:,} jobs are encrypted with the key {key}, which is not here"
            yield Diagnosis(Level.WARNING, text, "keep it in encryption_keys until no job needs it: they are parked")
        elif key != here[0]:
            text = f"{count:,} jobs are encrypted with the key {key}, which is not the first one"
            yield Diagnosis(Level.WARNING, text, "run `tomqueue jobs reencrypt` before you take it out")
    if not set(counts) - set(here[:1]):
        yield Diagnosis(Level.OK, "every encrypted job has the first key" if here else "there are no encryption_keys")


DATABASE: dict[str, Look] = {
    "database": database,
    "tables": tables,
    "version": version,
    "clock": clock,
    "snapshots": snapshots,
    "claims": claims,
    "due": due,
    "schedules": periodic,
    "waiting": shared(checks.waiting, "start more workers, or see `tomqueue explain ID` for one of them"),
    "workers": shared(checks.workers, "start `tomqueue run` with these queues and priorities"),
    "keys": shared(checks.keys, "give the workers that key: it parks what it cannot decrypt, and releases it then"),
    "rotation": rotation,
}
