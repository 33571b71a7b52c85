"""What goes wrong around the deferred process: nothing ends it, nothing is lost, and it does not run hot."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from tests.conformance.jobs import NORMAL, PAST, insert, new, row
from tests.processes import freeze
from tests.server_admin import ServerAdmin
from tomqueue.daemon import deferred as module
from tomqueue.daemon import leadership
from tomqueue.errors import OutcomeUnknown, StoreUnavailable
from tomqueue.service import boot_time
from tomqueue.store.sql import SqlStore
from tomqueue.transport import announcer
from tomqueue.transport.base import Notification


@pytest.mark.parametrize("kind", ["postgres"], indirect=True)
def test_a_database_that_was_away_is_made_up_for(site: Any) -> None:
    """What fell due meanwhile is announced when it is back; the reports are few, and none is the last."""
    first = insert(site.store, new(run_at=PAST))
    with site.running():
        site.wait_for_all(first)
        meanwhile = insert(site.store, new(delay=0.5), new(delay=0.6))
        with ServerAdmin(site.url).closed():
            site.wait_for(lambda: len(site.errors) >= 3)
        site.wait_for(lambda: set(meanwhile) <= set(site.ids))
        after = insert(site.store, new(delay=0.2))
        site.wait_for_all(first + meanwhile + after)
    assert all(isinstance(error, StoreUnavailable | OutcomeUnknown) for error in site.errors)


@pytest.mark.parametrize("kind", ["postgres", "mariadb"], indirect=True)
def test_sessions_that_are_ended_again_and_again_lose_nothing(site: Any) -> None:
    """Whatever it was doing when its connection broke, every row is announced, and its news is published."""
    admin = ServerAdmin(site.url)
    ids = insert(site.store, *(new(delay=0.01 * number) for number in range(1, 200)))
    with site.running():
        for goal in range(20, 200, 45):
            site.wait_for(lambda goal=goal: len(site.published) >= goal)
            admin.end_sessions()
        site.wait_for(lambda: set(site.ids) == set(ids))
    assert {row(site.store, job).announced_at is None for job in ids} == {False}


@pytest.mark.parametrize("stamped", [True, False], ids=["committed", "not committed"])
def test_after_an_unknown_outcome_each_is_published_once(
    site: Any, monkeypatch: pytest.MonkeyPatch, stamped: bool
) -> None:
    """The rows are read by key: those that carry the stamp are published, the others announced anew."""
    monkeypatch.setattr(announcer, "DOUBT", 0.5)
    broken = threading.Event()
    real = site.store._at_once

    def break_once(work: Callable[[Any], Any]) -> Any:
        if broken.is_set():
            return real(work)
        broken.set()
        if stamped:
            real(work)
        raise OutcomeUnknown("the connection broke")

    site.store._at_once = break_once
    ids = insert(site.store, *(new(run_at=PAST) for _ in range(5)))
    deferred = site.deferred()
    with site.running(deferred):
        site.wait_for_all(ids)
        site.wait_for(lambda: not deferred._announcer._doubts)
        later = insert(site.store, new(delay=0.1))
        site.wait_for_all(ids + later)
    assert [type(error) for error in site.errors] == [OutcomeUnknown]


def test_a_commit_that_comes_late_is_found(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server may commit after the client lost it: the rows are read again until no more can come of it."""
    store: SqlStore = site.store
    (job,) = insert(store, new(run_at=PAST))
    lost: list[Any] = []

    def lose(work: Callable[[Any], Any]) -> Any:
        lost.append(work)
        raise OutcomeUnknown("the connection broke")

    with monkeypatch.context() as patch:
        patch.setattr(store, "_at_once", lose)
        announces = announcer.Announcer(store, site, store.now)
        with pytest.raises(OutcomeUnknown):
            announces.announce([job])
    announces.settle()
    assert site.published == []
    store._at_once(lost[0])
    announces._settle_at = 0.0
    announces.settle()
    announces.settle()
    assert [(news.job_id, news.stamp) for news in site.published] == [(job, row(store, job).announced_at)]


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_an_error_that_stays_is_reported_ever_more_seldom(site: Any) -> None:
    """The pauses double up to five seconds; the first success ends them."""
    deferred = site.deferred()
    pauses: list[float] = []

    class Halt:
        def is_set(self) -> bool:
            return len(pauses) == 9

        def wait(self, seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 8:
                deferred._turn = lambda: 0.7

    deferred._halt = Halt()
    deferred._turn = lambda: 1 / 0
    deferred.run()
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 0.7]
    assert [type(error) for error in site.errors] == [ZeroDivisionError] * 8


def test_a_publisher_that_fails_ends_nothing(site: Any) -> None:
    """It promises not to raise; if it does, that is reported and the next rows are announced."""
    publish = site.publish

    def fail(_notifications: Sequence[Notification]) -> None:
        site.publish = publish
        raise RuntimeError("no")

    site.publish = fail
    insert(site.store, new(run_at=PAST))
    with site.running():
        site.wait_for(lambda: site.errors)
        (later,) = insert(site.store, new(run_at=PAST))
        site.wait_for(lambda: later in site.ids)


@pytest.mark.parametrize("kind", ["postgres", "mariadb"], indirect=True)
def test_rows_that_somebody_holds_keep_nobody_waiting(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are announced meanwhile; they are when they are free; and they are not tried without a pause."""
    monkeypatch.setattr(module, "MOST_OF_EACH", 4)
    jobs = site.store.tables.jobs
    locked = insert(site.store, *(new(priority=NORMAL, run_at=PAST) for _ in range(4)))
    tries: list[Sequence[int]] = []
    real = site.store.announce_news

    def count(ids: Sequence[int]) -> Any:
        tries.append(ids)
        return real(ids)

    site.store.announce_news = count
    with site.store.engine.connect() as other, other.begin():
        other.execute(select(jobs.c.id).where(jobs.c.id.in_(locked)).with_for_update())
        with site.running():
            site.wait_for(lambda: len(tries) >= 2)
            began, before = boot_time(), len(tries)
            urgent = insert(site.store, new(priority=0, delay=0.1))
            site.wait_for(lambda: urgent[0] in site.ids)
            assert len(tries) - before <= 2 + 2 * (boot_time() - began) / module.LOOK_AGAIN
            other.rollback()
            site.wait_for_all(locked + urgent)


def test_an_end_is_the_end_at_once_and_lets_another_lead(site: Any) -> None:
    """Also in the middle of a long pause."""
    with site.running() as deferred:
        site.wait_for(lambda: deferred._look_at)
        began = boot_time()
        deferred._look_at = began + 3600
    assert site.leadership().leads()
    assert site.errors == []


def test_one_follows_another_that_died(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for the end of the lease, then announces what fell due meanwhile."""
    lost = site.leadership(heartbeat=0.4, lease=1.5)
    assert lost.leads()  # and renews no more
    ids = insert(site.store, new(run_at=PAST), new(delay=0.5))
    with site.running(site.deferred(leadership=site.leadership(heartbeat=0.4, lease=1.5))):
        site.wait_for_all(ids)
    monkeypatch.setattr(lost, "_try_at", boot_time() + 3600)
    assert not lost.leads()


def test_the_lease_is_distrusted_before_another_may_take_it(site: Any) -> None:
    """When the next one leads the one before does not believe that it leads, whatever it was doing meanwhile."""
    first, second = (site.leadership(heartbeat=0.4, lease=3.0) for _ in range(2))
    assert first.leads()
    assert not second.leads()
    assert 0 < second.next_try() <= 0.4
    site.wait_for(second.leads)
    assert boot_time() >= first._trusted_until
    assert not first.leads()


def test_one_that_stands_by_asks_every_second(site: Any) -> None:
    """So a leader that resigns is followed at once, however seldom leases are renewed."""
    first, second = site.leadership(), site.leadership()
    assert first.leads()
    assert not second.leads()
    assert second.next_try() <= leadership.ASK_EVERY < first.next_try()
    first.resign()
    assert not second.leads()  # it has just asked
    site.wait_for(second.leads)


def test_one_that_lost_the_lead_announces_no_more(site: Any) -> None:
    """It forgets what it has loaded, and begins anew when it leads again."""
    instant = site.store.now() + timedelta(seconds=0.2)
    (job,) = insert(site.store, new(run_at=instant))
    lead = site.leadership()
    deferred = site.deferred(leadership=lead)
    with site.not_yet(deferred):
        deferred._turn()
    assert len(deferred._due) == 1
    lead._trusted_until = 0.0
    deferred._turn()
    assert len(deferred._due) == 0
    site.wait_for(lambda: site.store.now() > instant)
    deferred._turn()
    assert site.ids == []
    lead._try_at = 0.0
    deferred._turn()
    assert site.ids == [job]


LEAD = """
import sys, time
from tomqueue.daemon.leadership import Leadership
from tomqueue.settings import Settings
from tomqueue.store.leases import Leases
from tomqueue.store.open import open_store

lead = Leadership(Leases(open_store(Settings(database_url=sys.argv[1]))), heartbeat=0.4, lease=1.5)
while True:
    print(int(lead.leads()), flush=True)
    time.sleep(0.05)
"""


@pytest.mark.parametrize("kind", ["postgres"], indirect=True)
def test_a_leader_that_was_frozen_knows_that_it_leads_no_more(site: Any) -> None:
    """Its clock went on while it stood still."""
    command = [sys.executable, "-c", LEAD, site.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as frozen:
        try:
            assert frozen.stdout is not None
            assert frozen.stdout.readline() == "1\n"
            freeze(frozen.pid)
            second = site.leadership(heartbeat=0.4, lease=20.0)
            site.wait_for(second.leads)
            threading.Thread(target=frozen.send_signal, args=(signal.SIGCONT,)).start()
            said = [frozen.stdout.readline() for _ in range(60)]
        finally:
            frozen.kill()
    assert said[-1] == "0\n"
    assert "1\n" not in said[said.index("0\n") :]
