"""Promise I10: what the next job costs does not grow with the table. Counted, never timed.

SQLite counts steps of its virtual machine, MariaDB rows that its handlers read, PostgreSQL pages that the plans of the
same statements touch. A b-tree of a million rows is two levels deeper than one of a thousand, and rows of a batch may
lie on more pages: PostgreSQL may touch three pages more for each probe of an index.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import psycopg
import pytest
from sqlalchemy import Connection, event, text

from tests.conformance.filling import fill, fill_held
from tests.conformance.jobs import PAST, ago, insert, new, take, want
from tomqueue.definition import Limit
from tomqueue.job import Claimed
from tomqueue.store import postgres_link
from tomqueue.store.base import Delete, Release, Want
from tomqueue.store.parked import unpark
from tomqueue.store.sql import SqlStore

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.parametrize("kind", ["sqlite", "postgres", "mariadb"], indirect=True),
]

THOUSAND, MILLION = 1_000, 1_000_000
BATCH = 10
RANKS = [("default", rank) for rank in range(4)]


class Counter:
    """A number that only grows while it is being looked at."""

    value = 0

    def add(self, number: int) -> None:
        """Count."""
        self.value += number


Meter = Callable[[SqlStore, pytest.MonkeyPatch, Counter], AbstractContextManager[None]]


@contextmanager
def sqlite_steps(store: SqlStore, _patch: pytest.MonkeyPatch, counter: Counter) -> Iterator[None]:
    """Count the steps of SQLite's virtual machine."""
    link = store._links.get()
    link.set_progress_handler(lambda: counter.add(1), 1)
    yield
    link.set_progress_handler(None, 0)


@contextmanager
def mariadb_reads(store: SqlStore, _patch: pytest.MonkeyPatch, counter: Counter) -> Iterator[None]:
    """Count the rows and index entries that MariaDB's handlers read in the store's own session."""

    def reads() -> int:
        with store._links.get().cursor() as cursor:
            cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
            return sum(int(value) for _, value in cursor.fetchall())

    own = -reads() + reads()  # what it costs to look
    before = reads()
    yield
    counter.add(reads() - before - own)


@contextmanager
def postgres_pages(_store: SqlStore, patch: pytest.MonkeyPatch, counter: Counter) -> Iterator[None]:
    """Count the pages that PostgreSQL touches: each statement is explained, undone, and then run."""
    run = postgres_link.run

    def explained(link: Any, statement: str, parameters: Sequence[Any] = ()) -> Any:
        transaction = link.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        if transaction:
            link.execute("SAVEPOINT meter")
        explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}".encode()
        plan = link.execute(explain, parameters).fetchone()[0][0]["Plan"]
        if transaction:
            link.execute("ROLLBACK TO SAVEPOINT meter")
        counter.add(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
        return run(link, statement, parameters)

    with patch.context() as within:
        within.setattr(postgres_link, "run", explained)
        yield


METERS: dict[str, Meter] = {"sqlite": sqlite_steps, "postgresql": postgres_pages, "mysql": mariadb_reads}
PROBES = 12
"""Most index probes of one call: four for the first row of each priority, one for the pick, the claim of ten rows on
its pages; four for what is due, and four for what is next."""


class Cost(Protocol):
    """Says what a call costs."""

    def __call__(self, call: Callable[[], Any], /) -> int:
        """Count what ``call`` does."""


@pytest.fixture
def cost(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> Cost:
    """Give a function that says what a call costs."""
    meter = METERS[store.engine.dialect.name]

    def counted(call: Callable[[], Any]) -> int:
        counter = Counter()
        with meter(store, monkeypatch, counter):
            call()
        return counter.value

    return counted


def bound(store: SqlStore, small: int) -> int:
    """Return what a call may cost on a large table when it costs ``small`` on a small one."""
    deeper = 3 * PROBES if store.engine.dialect.name == "postgresql" else 0
    return small + small // 20 + deeper


def costs_of_a_turn(store: SqlStore, cost: Cost) -> dict[str, int]:
    """Measure what a worker does again and again: a look that finds ten, their ends, a due look."""
    insert(store, *(new(run_at=PAST) for _ in range(2 * BATCH)))
    wanted: Want = want(limit=BATCH, worker=1)
    claimed: list[Claimed] = []
    costs = {
        "due look": cost(lambda: store.announce(BATCH)),
        "take": cost(lambda: claimed.extend(take(store, wanted, 7))),
        "take past the mark": cost(lambda: claimed.extend(take(store, wanted, 7))),
        "claim by key": 0,
        "empty look": cost(lambda: take(store, want("empty", limit=BATCH))),
        "look for lost news": cost(lambda: take(store, want(limit=BATCH, before=dict.fromkeys(RANKS, PAST)))),
        "take of lost news": 0,
    }
    assert len(claimed) == 2 * BATCH
    lost = want(limit=BATCH, before=dict.fromkeys(RANKS, ago(store, 1800)))
    costs["take of lost news"] = cost(lambda: claimed.extend(take(store, lost, 7)))
    assert len(claimed) == 3 * BATCH
    endings = [Delete(job.id, 7) for job in claimed[1:]]
    costs["finish"] = cost(lambda: store.finish(endings))
    costs["retry"] = cost(lambda: store.finish([Release(id=claimed[0].id, token=7, attempts=1)]))
    costs["claim by key"] = cost(lambda: store.claim([claimed[0].id], 1, 8))
    store.finish([Delete(claimed[0].id, 8)])
    store.announce()
    return costs


def test_a_turn_costs_the_same_in_a_small_and_a_large_table(store: SqlStore, cost: Cost) -> None:
    """With a thousand times the rows that are ready, future and failed, a turn reads as much."""
    fill(store, ready=THOUSAND, future=THOUSAND, failed=100)
    small = costs_of_a_turn(store, cost)
    fill(store, ready=MILLION, future=MILLION, failed=MILLION // 10)
    large = costs_of_a_turn(store, cost)
    assert {what: large[what] for what in small if large[what] > bound(store, small[what])} == {}, (small, large)


def test_held_jobs_lie_in_nobodys_way(store: SqlStore, cost: Cost) -> None:
    """With a hundred thousand rows that wait for one limit a turn of another queue reads as much."""
    fill(store, ready=THOUSAND, future=THOUSAND, failed=100)
    small = costs_of_a_turn(store, cost)
    fill_held(store, MILLION // 10)
    large = costs_of_a_turn(store, cost)
    assert {what: large[what] for what in small if large[what] > bound(store, small[what])} == {}, (small, large)


def test_letting_the_next_one_in_costs_the_same(store: SqlStore) -> None:
    """By the plans of its statements: each reads the index of the limits, and sorts nothing of it."""
    store.know_limits([Limit(name="report", concurrency=1)])
    fill_held(store, MILLION // 10)
    insert(store, new(ties={"limit_key": "report"}, held=True))
    explain = "EXPLAIN QUERY PLAN " if store.engine.dialect.name == "sqlite" else "EXPLAIN "
    plans: list[str] = []

    def explained(_conn: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT") and "_jobs" in statement and "FOR UPDATE" not in statement:
            cursor.execute(explain + statement, parameters)
            plans.append(str(cursor.fetchall()))

    event.listen(store.engine, "before_cursor_execute", explained)
    store.write(lambda connection: store.limits.admit(connection, "report"))
    (job,) = take(store)
    store.finish([Delete(job.id, job.token, job.tied)])
    counted = [plan for plan in plans if "tomqueue_jobs_limited" in plan]
    assert len(counted) >= 3, plans
    assert not any("Seq Scan" in plan or "SCAN tomqueue_jobs" in plan for plan in plans), plans


def test_jobs_whose_turn_has_not_come_lie_in_no_way_of_their_limit(store: SqlStore) -> None:
    """With a hundred thousand rows of a workflow that will count in a limit the next one comes in as cheaply."""
    store.know_limits([Limit(name="report", concurrency=1)])
    few = store.write(lambda connection: rows_read(connection, lambda: store.limits.admit(connection, "report")))
    fill_held(store, MILLION // 10, step=2)
    many = store.write(lambda connection: rows_read(connection, lambda: store.limits.admit(connection, "report")))
    assert many <= few + SOME_STEPS


SOME_STEPS = 100
"""Of the virtual machine, where a plan is made anew; a row that is read costs several."""


def rows_read(connection: Connection, call: Callable[[], Any]) -> int:
    """Count what a call reads in a transaction: rows, on SQLite steps of the virtual machine."""
    if connection.dialect.name == "sqlite":
        counter, link = Counter(), connection.connection.driver_connection
        assert isinstance(link, sqlite3.Connection)
        link.set_progress_handler(lambda: counter.add(1), 1)
        call()
        link.set_progress_handler(None, 0)
        return counter.value
    before = reads_so_far(connection)
    call()
    return reads_so_far(connection) - before


def reads_so_far(connection: Connection) -> int:
    """Return how many rows a server has read in a transaction, or in its session."""
    if connection.dialect.name == "postgresql":
        columns = "sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))"
        return int(connection.execute(text(f"SELECT {columns} FROM pg_stat_xact_user_tables")).scalar_one())
    return sum(int(value) for _, value in connection.execute(text("SHOW SESSION STATUS LIKE 'Handler_read%'")))


def test_a_starting_worker_reads_parked_jobs_only(store: SqlStore) -> None:
    """What a starting worker asks is a range of the due index, whatever else is in the table."""
    fill(store, ready=20_000, future=20_000, failed=20_000)
    explain = "EXPLAIN QUERY PLAN " if store.engine.dialect.name == "sqlite" else "EXPLAIN "
    plans: list[str] = []

    def explained(_conn: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT") and "parked_at" in statement:
            cursor.execute(explain + statement, parameters)
            plans.append(str(cursor.fetchall()))

    event.listen(store.engine, "before_cursor_execute", explained)
    assert unpark(store, ["greet"]) == []
    (plan,) = plans
    assert "tomqueue_jobs_due" in plan


@pytest.mark.parametrize("workers", [1, 24])
def test_claimed_rows_at_the_head_are_not_read_again(store: SqlStore, cost: Cost, workers: int) -> None:
    """Past its mark a worker reads neither its own claims nor, twice, those of others."""
    fill(store, ready=20_000, future=1, failed=1)
    fresh = cost(lambda: take(store, want(limit=BATCH, worker=99), 99))
    wanted = [want(limit=256, worker=worker) for worker in range(workers)]
    for turn in wanted:
        assert len(take(store, turn, turn.worker + 1)) == 256
    for turn in (wanted[-1], wanted[0]):
        turn.limit = BATCH
        take(store, turn, 50)  # reads the claims of the others once
        again = cost(lambda turn=turn: take(store, turn, 51))  # type: ignore[misc]
        assert again <= bound(store, fresh), (fresh, again)
