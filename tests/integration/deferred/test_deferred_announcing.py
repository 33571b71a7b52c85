"""What the deferred process announces: everything that falls due, once, at its time, as it is by then."""

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from tests.conformance.jobs import BULK, FUTURE, HIGH, LOW, NORMAL, PAST, change, insert, new, row
from tomqueue.daemon import deferred as module
from tomqueue.daemon.deferred import Deferred
from tomqueue.job import checksum_of
from tomqueue.store.announcing import LARGE
from tomqueue.store.catalog import Catalog
from tomqueue.transport.base import Notification


class Always:
    """A leadership that everybody has: the moment when two believe that they lead."""

    def leads(self) -> bool:
        return True

    def next_try(self) -> float:
        return 0.0

    def resign(self) -> None:
        pass


def test_each_is_announced_once_and_never_before_its_time(site: Any) -> None:
    """By the database's clock; its notification carries the stamp and the checksum of its row."""
    ids = insert(site.store, *(new(delay=0.02 * number, payload=f"[{number}]") for number in range(1, 60)))
    with site.running():
        site.wait_for_all(ids)
    for news in site.published:
        job = row(site.store, news.job_id)
        assert job.run_at <= job.announced_at == news.stamp
        assert news.checksum == checksum_of(job.id, job.queue, job.priority, job.name, job.payload)
    assert site.errors == []


def test_the_most_urgent_goes_first(site: Any) -> None:
    """Of what is due already, and of what falls due at one instant."""
    order = (BULK, HIGH, LOW, NORMAL)
    late = insert(site.store, *(new(priority=priority, run_at=PAST) for priority in order))
    deferred = site.deferred()
    deferred._turn()
    assert site.ids == [late[1], late[3], late[2], late[0]]
    instant = site.store.now() + timedelta(seconds=0.2)
    timely = insert(site.store, *(new(priority=priority, run_at=instant) for priority in order))
    deferred._look_at = 0.0
    with site.not_yet(deferred):
        deferred._turn()
    site.wait_for(lambda: site.store.now() > instant)
    deferred._turn()
    assert site.ids[4:] == [timely[1], timely[3], timely[2], timely[0]]


def test_what_was_changed_after_it_was_loaded_is_announced_as_it_is_now(site: Any) -> None:
    """Cancelled, claimed, failed, held and postponed rows are left alone; an edited one goes where it belongs now."""
    instant = site.store.now() + timedelta(seconds=0.2)
    ids = insert(site.store, *(new(run_at=instant) for _ in range(7)))
    cancelled, claimed, failed, held, postponed, edited, parked = ids
    deferred = site.deferred()
    with site.not_yet(deferred):
        deferred._turn()
    assert len(deferred._due) == 7
    with site.store.writing() as connection:
        connection.execute(site.store.tables.jobs.delete().where(site.store.tables.jobs.c.id == cancelled))
    change(site.store, claimed, locked_by=9, claim_token=9)
    change(site.store, failed, failed_at=PAST)
    change(site.store, held, held=True)
    change(site.store, postponed, run_at=FUTURE)
    change(site.store, edited, queue="mailers", priority=HIGH)
    change(site.store, parked, parked_at=PAST, parks=1)
    site.wait_for(lambda: site.store.now() > instant)
    deferred._look_at = math.inf  # what it has loaded is all that it knows
    deferred._turn()
    assert sorted(site.ids) == sorted([edited, parked])
    assert {(news.queue, news.priority) for news in site.published if news.job_id == edited} == {("mailers", HIGH)}
    assert row(site.store, parked).parked_at is None


def test_what_comes_late_is_found_in_time(site: Any) -> None:
    """A short delay, a retry within the horizon, an edit that makes due, a row without any time: by the next look."""
    moved = insert(site.store, new(run_at=FUTURE))
    first = insert(site.store, new(run_at=PAST))
    with site.running():
        site.wait_for_all(first)
        short = insert(site.store, new(delay=0.3), new(delay=1.1))
        change(site.store, *moved, run_at=PAST)
        site.wait_for_all(first + short + moved)


def test_a_row_by_plain_sql_makes_its_queue_known(site: Any) -> None:
    """Its news does not wait for that."""
    now = site.store.now()
    values = {"queue": "by-hand", "priority": 1, "name": "greet", "payload": "{}", "run_at": now}
    with site.store.writing() as connection:
        connection.execute(site.store.tables.jobs.insert().values(**values, created_at=now, updated_at=now))
    with site.running():
        site.wait_for(lambda: Catalog(site.store).queues.states() == {"by-hand": False})
    assert [news.queue for news in site.published] == ["by-hand"]


def test_a_large_payload_is_announced_without_a_checksum(site: Any) -> None:
    """Which is no opinion: the row decides."""
    insert(site.store, new(payload='"' + "x" * LARGE + '"', run_at=PAST))
    with site.running():
        site.wait_for(lambda: site.published)
    assert [news.checksum for news in site.published] == [""]


def test_a_crowd_goes_through_in_pieces(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many fall due at one instant, no more are held than the limit says, and none is lost at its edge."""
    monkeypatch.setattr(module, "MOST_OF_EACH", 20)
    monkeypatch.setattr(module, "PIECE", 7)
    instant = site.store.now() + timedelta(seconds=0.5)
    ids = insert(site.store, *(new(priority=number % 2, run_at=instant) for number in range(300)))
    deferred = site.deferred()
    held: list[int] = []
    publish = site.publish

    def watch(notifications: Sequence[Notification]) -> None:
        held.append(len(deferred._due))
        publish(notifications)

    site.publish = watch
    with site.running(deferred):
        site.wait_for_all(ids)
    assert 0 < max(held) <= 2 * 20


def test_an_urgent_one_overtakes_a_crowd(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that falls due while many less urgent ones are being announced waits for a piece, not for all."""
    monkeypatch.setattr(module, "PIECE", 10)
    insert(site.store, *(new(priority=BULK, run_at=PAST) for _ in range(400)))
    deferred = site.deferred()
    publish = site.publish
    urgent: list[int] = []

    def interrupt(notifications: Sequence[Notification]) -> None:
        publish(notifications)
        if not urgent:
            urgent.extend(insert(site.store, new(priority=HIGH, run_at=PAST)))
            deferred._look_at = 0.0  # the look of the next quarter of a second

    site.publish = interrupt
    with site.running(deferred):
        site.wait_for(lambda: len(site.published) == 401)
    assert site.ids.index(urgent[0]) == 10


def test_two_that_believe_they_lead_announce_each_row_once(site: Any) -> None:
    """They share the rows by the condition of their UPDATE."""
    instant = site.store.now() + timedelta(seconds=0.5)
    jobs = [new(run_at=instant) for _ in range(500)] + [new(run_at=PAST) for _ in range(500)]
    ids = insert(site.store, *jobs)
    other = site.open()
    pair: list[Deferred] = [site.deferred(leadership=Always()), site.deferred(other, Always())]
    with site.running(pair[0]), site.running(pair[1]):
        site.wait_for(lambda: len(site.published) >= len(ids))
    other.close()
    assert sorted(site.ids) == ids
    assert site.errors == []
