"""Conformance of the schedules: what is written of them, and that a tick is one job whoever races for it."""

import threading
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import inspect, select, text, update

from tests.conformance.jobs import insert, new
from tomqueue.definition import Misfire, Schedule, turn_of
from tomqueue.errors import JobNotFound, SchemaError
from tomqueue.store.catalog import Catalog, Filter
from tomqueue.store.migrate import check_schema, installed_version, migrate
from tomqueue.store.schedules import FORGOTTEN_AFTER, UNATTENDED_AFTER, ScheduleState, ScheduleTable
from tomqueue.store.schema import SCHEMA_VERSION
from tomqueue.store.sql import SqlStore

MINUTELY = Schedule(cron="* * * * *", timezone="Europe/Berlin", misfire=Misfire.ALL)
YEARLY = Schedule(cron="0 0 1 1 *", timezone="UTC")
OFTEN = Schedule(every=timedelta(seconds=90, microseconds=5), misfire=Misfire.SKIP)


@pytest.fixture
def table(store: SqlStore) -> ScheduleTable:
    """Give the schedules."""
    return ScheduleTable(store)


def change(store: SqlStore, name: str, **values: Any) -> None:
    """Change a schedule's row by plain SQL."""
    schedules = store.tables.schedules
    with store.writing() as connection:
        connection.execute(update(schedules).where(schedules.c.name == name).values(values))


def made_due(store: SqlStore, table: ScheduleTable, name: str, ago: timedelta) -> datetime:
    """Let a schedule have been due since then, to the minute; return when."""
    due = (store.now() - ago).replace(second=0, microsecond=0)
    change(store, name, next_run_at=due)
    return due


def tick(store: SqlStore, table: ScheduleTable, name: str, most: int = 100) -> bool:
    """Enqueue what is due of a schedule, a job for each tick."""
    row = table.get(name)
    assert row.next_run_at is not None
    turn = turn_of(row.schedule, row.next_run_at, store.now(), most)
    return table.tick(
        row, turn, lambda connection: store.insert([new(meta=str(at)) for at in turn.ticks], connection)
    )  # fmt: skip


def ticks_of(store: SqlStore) -> list[str]:
    """Return the ticks that became jobs."""
    jobs = store.tables.jobs
    with store.reading() as connection:
        return list(connection.execute(select(jobs.c.meta).order_by(jobs.c.id)).scalars())


def test_schedules_are_written_as_they_are_declared(store: SqlStore, table: ScheduleTable) -> None:
    """What they say comes back, and the next tick is ahead; the first of ``every`` is one span away."""
    before = store.now()
    table.declare({"often": OFTEN, "minutely": MINUTELY})
    minutely, often = table.all()
    assert (minutely.schedule, often.schedule) == (MINUTELY, OFTEN)
    assert (minutely.state, minutely.last_run_at, minutely.paused_at) == (ScheduleState.ACTIVE, None, None)
    assert minutely.next_run_at is not None
    assert before < minutely.next_run_at <= store.now() + timedelta(minutes=1)
    assert often.next_run_at is not None
    assert before <= often.next_run_at - timedelta(seconds=90, microseconds=5) <= store.now()
    assert table.upcoming() == sorted([(minutely.next_run_at, "minutely"), (often.next_run_at, "often")])


def test_declaring_again_changes_what_is_different(store: SqlStore, table: ScheduleTable) -> None:
    """The same keeps its next tick; another line goes on from now; what is due already stays, as does a pause."""
    table.declare({"a": OFTEN, "b": YEARLY})
    first = table.get("a").next_run_at
    table.declare({"a": OFTEN})
    assert table.get("a").next_run_at == first
    table.pause("b")
    table.declare({"b": MINUTELY})
    changed = table.get("b")
    assert (changed.schedule, changed.state) == (MINUTELY, ScheduleState.PAUSED)
    assert changed.next_run_at is not None
    assert changed.next_run_at <= store.now() + timedelta(minutes=1)
    due = made_due(store, table, "b", timedelta(minutes=5))
    table.declare({"b": YEARLY})
    assert table.get("b").next_run_at == due


def test_many_that_start_at_once_declare_one_row_each(store: SqlStore, table: ScheduleTable) -> None:
    """Nobody fails because another was quicker to insert."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(6)

    def declare() -> None:
        barrier.wait()
        try:
            table.declare({"a": OFTEN, "b": YEARLY})
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            errors.append(error)

    run_together([declare] * 6)
    assert errors == []
    assert [row.name for row in table.all()] == ["a", "b"]


def run_together(works: list[Any]) -> None:
    """Run each in a thread, to the end of all."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_tick_is_one_job_and_moves_the_schedule_on(store: SqlStore, table: ScheduleTable) -> None:
    """Both are one transaction; whoever still has the old row in hand changes nothing."""
    table.declare({"minutely": MINUTELY})
    due = made_due(store, table, "minutely", timedelta(seconds=1))
    old = table.get("minutely")
    assert tick(store, table, "minutely")
    after = table.get("minutely")
    assert after.next_run_at is not None
    assert after.last_run_at is not None
    assert due <= after.last_run_at < after.next_run_at
    assert not table.tick(old, turn_of(MINUTELY, due, store.now(), 1), lambda _: pytest.fail("enqueued twice"))
    assert len(ticks_of(store)) == len(set(ticks_of(store)))


def test_a_paused_or_changed_schedule_does_not_tick(store: SqlStore, table: ScheduleTable) -> None:
    """Also for one who read the row before."""
    table.declare({"a": MINUTELY, "b": MINUTELY})
    for name in ("a", "b"):
        made_due(store, table, name, timedelta(minutes=3))
    rows = {name: table.get(name) for name in ("a", "b")}
    table.pause("a")
    table.declare({"b": YEARLY})
    for row in rows.values():
        assert row.next_run_at is not None
        turn = turn_of(row.schedule, row.next_run_at, store.now(), 1)
        assert not table.tick(row, turn, lambda _: pytest.fail("enqueued"))


def test_a_tick_that_cannot_be_enqueued_is_still_due(store: SqlStore, table: ScheduleTable) -> None:
    """A layer that raises, or a crash: the schedule has not moved on, and no job is left."""
    table.declare({"minutely": MINUTELY})
    due = made_due(store, table, "minutely", timedelta(minutes=1))
    row = table.get("minutely")

    def enqueue(connection: Any) -> None:
        store.insert([new()], connection)
        raise LookupError("a layer")

    with pytest.raises(LookupError):
        table.tick(row, turn_of(MINUTELY, due, store.now(), 1), enqueue)
    assert table.get("minutely") == row
    assert Catalog(store).count(Filter()) == 0


def test_a_race_for_missed_ticks_makes_each_once(store: SqlStore, table: ScheduleTable) -> None:
    """Eight processes (here: threads with connections of their own) work off an hour of missed minutes."""
    table.declare({"minutely": MINUTELY})
    due = made_due(store, table, "minutely", timedelta(hours=1))
    until = store.now()
    barrier = threading.Barrier(8)
    errors: list[BaseException] = []

    def work() -> None:
        barrier.wait()
        try:
            while table.upcoming()[0][0] <= until:
                tick(store, table, "minutely", most=3)
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            errors.append(error)

    run_together([work] * 8)
    assert errors == []
    wanted = Counter(str(due + timedelta(minutes=minute)) for minute in range(61))
    found = Counter(ticks_of(store))
    assert wanted <= found  # a minute may have begun meanwhile
    assert set(found.values()) == {1}
    assert len(found) <= len(wanted) + 2


def test_a_pause_leaves_out_what_was_due(store: SqlStore, table: ScheduleTable) -> None:
    """After it the schedule goes on with the next tick; to resume what is not paused changes nothing."""
    table.declare({"a": MINUTELY, "b": MINUTELY})
    due = made_due(store, table, "b", timedelta(minutes=10))
    table.pause("a")
    made_due(store, table, "a", timedelta(minutes=10))
    assert table.get("a").state is ScheduleState.PAUSED
    assert table.upcoming() == [(due, "b")]
    table.resume("a")
    table.resume("b")
    resumed = table.get("a")
    assert resumed.state is ScheduleState.ACTIVE
    assert resumed.next_run_at is not None
    assert resumed.next_run_at > store.now() - timedelta(seconds=5)
    assert table.get("b").next_run_at == due
    for change_it in (table.pause, table.resume):
        with pytest.raises(JobNotFound, match="no schedule is called 'c'; known schedules: a, b"):
            change_it("c")


def test_what_nobody_declares_is_marked_and_forgotten_in_the_end(store: SqlStore, table: ScheduleTable) -> None:
    """A rolling deploy keeps it, and so does a pause by a person."""
    table.declare({"kept": YEARLY, "old": YEARLY, "paused": YEARLY})
    table.pause("paused")
    for name in ("kept", "old", "paused"):
        change(store, name, seen_at=store.now() - UNATTENDED_AFTER - timedelta(seconds=1))
    assert table.get("old").state is ScheduleState.UNATTENDED
    table.seen(["kept"])
    assert table.get("kept").state is ScheduleState.ACTIVE
    for name in ("old", "paused"):
        change(store, name, seen_at=store.now() - FORGOTTEN_AFTER - timedelta(seconds=1))
    table.seen(["kept"])
    assert [row.name for row in table.all()] == ["kept", "paused"]


def test_a_policy_that_nobody_knows_stops_nothing_else(store: SqlStore, table: ScheduleTable) -> None:
    """Rows are data: one that a newer version or a person wrote is listed, and says what is wrong once due."""
    table.declare({"a": YEARLY})
    change(store, "a", misfire="twice", timezone="Mars/Olympus")
    (row,) = table.all()
    assert (row.misfire, row.timezone) == ("twice", "Mars/Olympus")
    with pytest.raises(ValueError, match="twice"):
        _ = row.schedule
    change(store, "a", misfire="once")
    with pytest.raises(ValueError, match="is no time zone"):
        table.get("a").schedule.after(store.now(), store.now())


def test_tables_of_version_1_are_upgraded(store: SqlStore) -> None:
    """They are refused until ``tomqueue migrate``, which keeps what is in them; an interrupted one can be repeated."""
    (kept,) = insert(store, new())
    with store.writing() as connection:
        store.tables.schedules.drop(connection)
        connection.execute(update(store.tables.version).values(version=1))
    with store.reading() as connection:
        with pytest.raises(SchemaError, match=r"the tables have version 1, .* run `tomqueue migrate`"):
            check_schema(connection, store.tables)
    assert migrate(store.engine, store.tables) == (1, SCHEMA_VERSION)
    assert migrate(store.engine, store.tables) == (SCHEMA_VERSION, SCHEMA_VERSION)
    with store.writing() as connection:  # made, and then the server died: MySQL commits each table by itself
        connection.execute(update(store.tables.version).values(version=1))
    assert migrate(store.engine, store.tables) == (1, SCHEMA_VERSION)
    ScheduleTable(store).declare({"a": YEARLY})
    with store.reading() as connection:
        assert installed_version(connection, store.tables) == SCHEMA_VERSION
        assert inspect(connection).has_table("tomqueue_schedules")
        assert connection.execute(text("SELECT count(*) FROM tomqueue_jobs")).scalar() == 1
    assert Catalog(store).get(kept).name == "greet"
