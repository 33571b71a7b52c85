"""Conformance of announcing for the news: which rows changed, with what their notifications say."""

import os
import socket
import threading
from datetime import timedelta
from operator import attrgetter
from typing import Any

import pytest
from sqlalchemy import select

from tests.conformance.jobs import BULK, FUTURE, HIGH, LOW, NORMAL, PAST, SERVERS, ago, change, insert, new, row, take
from tomqueue.errors import OutcomeUnknown
from tomqueue.settings import Settings
from tomqueue.store.announcing import LARGE, AnnouncedRow, Place, Upcoming
from tomqueue.store.catalog import Catalog
from tomqueue.store.leases import Leases
from tomqueue.store.open import open_store
from tomqueue.store.sql import SqlStore

UNFIT = [
    {"failed_at": PAST}, {"held": True}, {"locked_by": 9, "claim_token": 9}, {"announced_at": PAST}, {"run_at": FUTURE},
]  # fmt: skip


def test_an_announced_row_is_what_its_notification_says(store: SqlStore) -> None:
    """The row as it is now, and the stamp that it got by the database's clock."""
    (job,) = insert(store, new("greet", "mailers", LOW, payload='{"a": 1}', run_at=PAST))
    before = store.now()
    (announced,) = store.announce_news([job])
    assert announced == AnnouncedRow(row(store, job).announced_at, job, "mailers", LOW, "greet", '{"a": 1}')
    assert before <= announced.stamp <= store.now()
    assert store.announce_news([job, 10**12]) == []
    assert store.announce_news([]) == []


def test_they_come_most_urgent_first_and_then_as_they_were_asked(store: SqlStore) -> None:
    """All of one announcement have one stamp."""
    bulk, second, first, high = insert(
        store, *(new(priority=priority, run_at=PAST) for priority in (BULK, NORMAL, NORMAL, HIGH))
    )
    found = store.announce_news([bulk, first, second, high])
    assert [announced.id for announced in found] == [high, first, second, bulk]
    assert len({announced.stamp for announced in found}) == 1


@pytest.mark.parametrize("values", UNFIT, ids=lambda values: next(iter(values)))
def test_a_row_that_does_not_wait_for_news_is_left_alone(store: SqlStore, values: dict[str, object]) -> None:
    """Failed, held, claimed, announced and future rows are neither stamped nor returned."""
    (job,) = insert(store, new(run_at=PAST))
    change(store, job, **values)
    before = row(store, job)
    assert store.announce_news([job]) == []
    assert row(store, job) == before


def test_a_parked_row_is_released_by_it(store: SqlStore) -> None:
    """After its back-off it is news for whoever can read it."""
    (job,) = insert(store, new(run_at=PAST))
    change(store, job, parked_at=PAST, parks=2)
    assert len(store.announce_news([job])) == 1
    assert row(store, job).parked_at is None


def test_a_large_payload_is_not_read(store: SqlStore) -> None:
    """What is announced at once must not fill the memory."""
    small, large = insert(store, *(new(payload='"' + "x" * size + '"', run_at=PAST) for size in (LARGE - 2, LARGE)))
    payloads = {announced.id: announced.payload for announced in store.announce_news([small, large])}
    assert (len(payloads[small] or ""), payloads[large]) == (LARGE, None)


def test_announcements_that_meet_share_the_rows(store: SqlStore, url: str) -> None:
    """Two leaders at the same moment return each row once, together."""
    ids = insert(store, *(new(run_at=PAST) for _ in range(600)))
    other = open_store(Settings(database_url=url))
    found: list[int] = []

    def announce(leader: SqlStore) -> None:
        for begin in range(0, 600, 30):
            found.extend(announced.id for announced in leader.announce_news(ids[begin : begin + 30]))

    threads = [threading.Thread(target=announce, args=(leader,)) for leader in (store, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    found += [announced.id for announced in store.announce_news(ids)]  # that one passed over, and the other let go
    assert sorted(found) == ids


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_nobody_waits_for_what_another_holds(store: SqlStore) -> None:
    """A locked row is passed over, to be announced or given a new stamp when it is free again."""
    locked, free = insert(store, new(run_at=PAST), new(run_at=PAST))
    with store.engine.connect() as other, other.begin():
        other.execute(select(store.tables.jobs.c.id).where(store.tables.jobs.c.id == locked).with_for_update())
        (announced,) = store.announce_news([locked, free])
    assert announced.id == free
    with store.engine.connect() as other, other.begin():
        other.execute(select(store.tables.jobs.c.id).where(store.tables.jobs.c.id == free).with_for_update())
        assert store.restamp([free], announced.stamp)[1] == []
    assert [one.id for one in store.announce_news([locked, free])] == [locked]


@pytest.mark.parametrize("kind", ["postgres"], indirect=True)
def test_an_answer_that_never_came_is_an_unknown_outcome(store: SqlStore) -> None:
    """A statement that is a transaction of its own may have been committed when its connection breaks."""

    def break_and_ask(link: Any) -> object:
        with socket.socket(fileno=os.dup(link.fileno())) as peer:
            peer.shutdown(socket.SHUT_RDWR)
        return link.execute("SELECT 1")

    with pytest.raises(OutcomeUnknown):
        store._at_once(break_and_ask)
    (job,) = insert(store, new(run_at=PAST))
    assert len(store.announce_news([job])) == 1


@pytest.mark.parametrize("kind", ["postgres"], indirect=True)
def test_what_the_server_ended_instead_is_tried_once_more(store: SqlStore) -> None:
    """It says so by an SQLSTATE: then nothing was committed, and the caller need not hear of a restart."""
    ended: list[object] = []

    def end_once(link: Any) -> object:
        if not ended:
            ended.append(link)
            link.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return link.execute("SELECT 7").fetchone()

    assert store._at_once(end_once) == (7,)


@pytest.mark.parametrize("kind", ["postgres"], indirect=True)
def test_an_announcement_does_not_wait_for_the_disk_and_all_else_does(store: SqlStore) -> None:
    """The setting ends with the statement: the same connection writes claims and finishes as before."""
    (job,) = insert(store, new(run_at=PAST))
    seen = store._at_once(lambda link: store._announce(link, [job], "current_setting('synchronous_commit'), id"))
    assert [values[1:] for values in seen] == [("off", job)]
    assert store._read(lambda link: link.execute("SHOW synchronous_commit").fetchone()) == ("on",)


def test_after_an_unknown_outcome_the_rows_are_read(store: SqlStore) -> None:
    """Those that were announced since it was tried and still wait, of those that it was about."""
    before, ours, claimed, unannounced, other = insert(store, *(new(run_at=PAST) for _ in range(5)))
    store.announce_news([before])
    since = store.now()
    expected = [announced for announced in store.announce_news([ours, claimed, other]) if announced.id == ours]
    store.claim([claimed], worker=1, token=1)
    assert store.announced_since([before, ours, claimed, unannounced], since) == expected


def test_what_is_coming_is_read_by_priority(store: SqlStore) -> None:
    """Due or due soon, most urgent and then the soonest first, and no more of each priority than asked for."""
    soon = store.now() + timedelta(seconds=600)
    jobs = [
        new(priority=BULK, run_at=PAST), new(run_at=soon), new(run_at=ago(store, 60)), new(run_at=ago(store, 90)),
        new(priority=HIGH, run_at=soon), new(run_at=FUTURE), new(),
    ]  # fmt: skip
    bulk, normal_soon, normal, normal_first, high, *_ = insert(store, *jobs)
    assert [one.id for one in store.coming(timedelta(0), 10)] == [normal_first, normal, bulk]
    assert [one.id for one in store.coming(timedelta(hours=1), 10)] == [high, normal_first, normal, normal_soon, bulk]
    assert [one.id for one in store.coming(timedelta(hours=1), 1)] == [high, normal_first, bulk]
    assert store.coming(timedelta(hours=1), 1)[0] == Upcoming(high, soon, HIGH)


@pytest.mark.parametrize("values", UNFIT, ids=lambda values: next(iter(values)))
def test_what_cannot_be_announced_is_not_coming(store: SqlStore, values: dict[str, object]) -> None:
    """Failed, held, claimed, announced and far future rows."""
    (job,) = insert(store, new(run_at=PAST))
    change(store, job, **values)
    assert store.coming(timedelta(hours=1), 10) == []


def test_news_that_waited_too_long_gets_a_new_stamp(store: SqlStore) -> None:
    """Only rows that wait and still have the old one: another's announcement is another's news."""
    ours, claimed, others = insert(store, *(new() for _ in range(3)))
    old = PAST
    change(store, ours, claimed, announced_at=old)
    change(store, claimed, locked_by=9, claim_token=9)
    stamp, changed = store.restamp([ours, claimed, others], old)
    assert (changed, row(store, ours).announced_at, row(store, claimed).announced_at) == ([ours], stamp, old)
    assert store.restamp([ours], old)[1] == []


def test_news_that_was_never_confirmed_is_taken_back(store: SqlStore) -> None:
    """To be announced again; a row that was claimed or got another stamp meanwhile had its news."""
    ours, claimed, others = insert(store, *(new() for _ in range(3)))
    change(store, ours, claimed, announced_at=PAST)
    change(store, claimed, locked_by=9, claim_token=9)
    assert store.unannounce([ours, claimed, others], PAST) == 1
    assert row(store, ours).announced_at is None
    assert take(store) != []  # others: as it was


def test_a_queue_is_written_down_once(store: SqlStore) -> None:
    """A name that is there, by whomever, is no error."""
    store.know_queues({"a", "b"})
    store.know_queues({"b", "c"})
    store._known_queues.clear()
    store.know_queues(["c", "a", "a"])
    store.know_queues([])
    assert sorted(Catalog(store).queues.states()) == ["a", "b", "c"]


def test_one_leads_until_it_resigns_or_its_lease_is_over(store: SqlStore, leases: Leases) -> None:
    """The lease is renewed by its holder alone; it is no worker's."""
    assert leases.lead(1, 60)
    assert not leases.lead(2, 60)
    assert leases.lead(1, -1)  # renewed: over by now
    assert leases.lead(2, 60)
    assert not leases.lead(1, 60)
    leases.resign(1)  # another's lease is not given away
    assert not leases.lead(1, 60)
    leases.resign(2)
    assert leases.lead(1, 60)
    assert leases.all() == leases.expired() == []


def test_of_many_that_want_to_lead_one_does(store: SqlStore, url: str) -> None:
    """Also where there was no leader ever before."""
    stores = [open_store(Settings(database_url=url)) for _ in range(4)]
    start = threading.Barrier(len(stores))
    led: list[bool] = []

    def lead(number: int, own: SqlStore) -> None:
        own.now()
        start.wait()
        led.append(Leases(own).lead(number, 60))

    threads = [threading.Thread(target=lead, args=pair) for pair in enumerate(stores, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for own in stores:
        own.close()
    assert sorted(led) == [False, False, False, True]


def test_the_order_of_a_doubt_is_that_of_urgency(store: SqlStore) -> None:
    """What is published late is published most urgent first."""
    bulk, high = insert(store, new(priority=BULK, run_at=PAST), new(priority=HIGH, run_at=PAST))
    since = store.now()
    found = store.announce_news([bulk, high])
    assert store.announced_since([bulk, high], since) == found == sorted(found, key=attrgetter("priority"))


def test_a_walk_renews_every_waiting_row_once(store: SqlStore) -> None:
    """In the order of their stamps, in pieces, also where many have the same one; the new stamp is of one piece."""
    jobs = insert(store, *(new() for _ in range(7)))
    for job in jobs[:2]:
        change(store, job, announced_at=PAST)
    change(store, jobs[3], held=True)
    change(store, jobs[4], locked_by=9, claim_token=9)
    place: Place | None = Place("default", NORMAL, before=store.now())
    pieces = []
    while place is not None:
        rows, place = store.renew(place, 2)
        pieces.append(rows)
    renewed = [one.id for piece in pieces for one in piece]
    assert renewed[:2] == jobs[:2]
    assert sorted(renewed) == [jobs[0], jobs[1], jobs[2], jobs[5], jobs[6]]
    assert all(row(store, one.id).announced_at == one.stamp for piece in pieces for one in piece)
    assert all(len({one.stamp for one in piece}) <= 1 for piece in pieces)


def test_a_walk_passes_over_what_was_announced_after_it_began(store: SqlStore) -> None:
    """Also what is of another queue or priority, or too young."""
    old, young = insert(store, new(), new())
    insert(store, new("greet", "mailers"), new(priority=HIGH))
    change(store, old, created_at=PAST)
    began = store.now()
    insert(store, new())
    rows, place = store.renew(Place("default", NORMAL, before=began, created_before=began - timedelta(hours=1)), 10)
    assert ([one.id for one in rows], place) == ([old], None)
    rows, _ = store.renew(Place("default", NORMAL, before=began), 10)
    assert [one.id for one in rows] == [young]


@pytest.mark.parametrize(
    ("values", "renewed"), [({"attempts": 1}, 1), ({"announced_at": None}, 0), ({"held": True}, 0)]
)
def test_one_row_is_renewed_if_it_waits(store: SqlStore, values: dict[str, object], renewed: int) -> None:
    """An announced one that nobody runs."""
    (job,) = insert(store, new())
    change(store, job, **values)
    assert len(store.renew_one(job)) == renewed
