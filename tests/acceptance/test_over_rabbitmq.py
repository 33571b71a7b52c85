"""The whole system as in production: jobs on PostgreSQL and MariaDB, news by RabbitMQ, the installed command."""

import secrets
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pika.exceptions import ChannelClosedByBroker
from sqlalchemy import text

from tests.acceptance.over_rabbitmq import MORE, NEWCOMER, Letter, Load, declare, first_words, moment
from tests.acceptance.site import APP, Running, Site, field_of, wait_until
from tests.database_server import PLANS, restartable
from tests.news import raw_channel
from tests.processes import is_alive
from tests.rabbitmq_server import Broker, Options, rabbitmq
from tests.servers import fresh_database
from tomqueue import Priority, State
from tomqueue.daemon.spec import Kind
from tomqueue.store.leases import Leases
from tomqueue.transport.topology import Topology

CONSUMER_TIMEOUT = 6.0
"""Seconds after which this broker closes the channel of who does not acknowledge; it looks every second."""
STRESS = 100_000


@pytest.fixture(scope="module")
def node() -> Iterator[Broker]:
    """Give a node that loses patience with consumers soon."""
    impatient = f"[{{rabbit, [{{consumer_timeout, {CONSUMER_TIMEOUT * 1000:.0f}}}, {{channel_tick_interval, 1000}}]}}]."
    with rabbitmq(Options(advanced=impatient)) as running:
        yield running


@pytest.fixture(params=["postgres_url", "mariadb_url"])
def site(request: pytest.FixtureRequest, tmp_path: Path, broker: Broker) -> Iterator[Site]:
    """Make a site on a fresh database of a server, with the broker."""
    made = make_site(tmp_path, request.getfixturevalue(request.param), broker)
    yield made
    made.tq.close()


@pytest.fixture
def sites(tmp_path: Path, postgres_url: str, mariadb_url: str, broker: Broker) -> Iterator[list[Site]]:
    """Make a site on each, for tests that mostly wait for the broker."""
    made = []
    for name, url in (("postgres", postgres_url), ("mariadb", mariadb_url)):
        folder = tmp_path / name
        folder.mkdir()
        made.append(make_site(folder, url, broker))
    yield made
    for site in made:
        site.tq.close()


def make_site(folder: Path, database_url: str, broker: Broker, **settings: Any) -> Site:
    """Make a site with short times and names of its own at the broker."""
    chosen = {"heartbeat": 0.5, "lease": 3, "grace": 3, "broker_url": broker.url, **settings}
    made = Site(folder, database_url, more=MORE, prefix=f"site-{secrets.token_hex(4)}", **chosen)
    declare(made)
    made.run("migrate")
    return made


def test_jobs_of_every_kind_run(site: Site) -> None:
    """Success, failure, retries after their pause, a job of a class, one of a new queue and one by plain SQL."""
    with site.started("run", "-p", "2") as running:
        site.enqueue("note", "success")
        failing = site.enqueue("fails")
        site.enqueue("flaky", "flaky")
        site.tq.enqueue(Letter("hello", ["a@x", "b@x"]))  # type: ignore[call-arg] # made a dataclass by its declaration
        site.wait_for_lines(1, "success")
        site.enqueue("note", "discovered", queue="brand-new")
        site.wait_for_lines(1, "discovered")
        insert_by_plain_sql(site, "plain")
        site.wait_for_lines(1, "plain")
        tries = site.wait_for_lines(3, "flaky")
        site.wait_for_lines(1, "sent hello")
        wait_until(lambda: site.tq.jobs.count() == 1, "all to be done but the one that fails")
        assert "is away" not in running.log
    assert [field_of(line, "attempt") for line in tries] == [1, 2, 3]
    assert all(after - before >= 0.5 for before, after in zip(map(moment, tries), map(moment, tries[1:]), strict=False))
    assert Counter(site.lines("letter")) == Counter(["letter hello a@x", "letter hello b@x"])
    failed = site.tq.jobs.get(failing)
    assert (failed.state, failed.attempts) == (State.FAILED, 1)
    assert "ValueError: as it must" in (failed.last_error or "")


def insert_by_plain_sql(site: Site, note: str) -> None:
    """Insert a row as other software does."""
    store = site.tq.tools().store
    now = {"postgresql": "statement_timestamp()"}.get(store.engine.dialect.name, "UTC_TIMESTAMP(6)")
    columns = "queue, priority, name, payload, run_at, created_at, updated_at"
    values = f"'by-sql', 1, 'note', :payload, {now}, {now}, {now}"
    with store.engine.begin() as connection:
        connection.execute(
            text(f"INSERT INTO {store.jobs} ({columns}) VALUES ({values})"), {"payload": f'{{"text":"{note}"}}'}
        )


def test_future_jobs_run_at_their_time_also_after_their_announcer_is_killed(site: Site) -> None:
    """Never before it; another deferred process takes over, and then stops in order."""
    with site.started("work", "-p", "1"), site.started("deferred") as leader:
        due = time.time() + 1
        site.enqueue("timed", "first", delay=1)
        assert moment(site.wait_for_lines(1, "first")[0]) >= due
        with site.started("deferred") as other:
            wait_until(lambda: len(announcers(site)) == 2, "the other to stand by")
            (child,) = leader.children()
            leader.send(signal.SIGKILL)
            leader.wait()
            wait_until(lambda: not is_alive(child), "the leader to be gone")
            due = time.time() + 1
            site.enqueue("timed", "second", delay=1)
            assert moment(site.wait_for_lines(1, "second")[0]) >= due
            end_in_order(other)


def announcers(site: Site) -> list[int]:
    """Return the ids of the deferred processes that live."""
    return [row.id for row in Leases(site.tq.tools().store).all() if row.kind == Kind.DEFERRED]


def test_a_job_may_outlast_the_brokers_patience(sites: list[Site]) -> None:
    """It runs once, the connection stays, and so does the news of the jobs that wait behind it."""
    with ExitStack() as stack:
        workers = [stack.enter_context(site.started("work", "-p", "1")) for site in sites]
        for site in sites:
            site.enqueue("slow", "long", CONSUMER_TIMEOUT + 3)
        for site in sites:
            site.wait_for_lines(1, "begin long")
            for number in range(5):
                site.enqueue("note", f"behind{number}")
        for site, worker in zip(sites, workers, strict=True):
            site.wait_for_lines(5, "behind")
            site.wait_until_empty()
            end_in_order(worker)
            assert "is away" not in worker.log
    for site in sites:
        assert len(site.lines("begin long")) == len(site.lines("end long")) == 1
        assert Counter(first_words(site.lines("behind"))) == Counter(f"behind{number}" for number in range(5))


def end_in_order(running: Running) -> None:
    """Tell a command to end, and see that it does so in order."""
    running.send(signal.SIGTERM)
    assert running.wait() == 0


def test_the_most_urgent_goes_first_and_a_worker_serves_its_queues_only(site: Site) -> None:
    """Whatever was enqueued first; the jobs of other queues wait for a worker that serves them."""
    with site.started("work", "-p", "1", "--queues", "mailers,reports"):
        for queue in ("mailers", "reports"):  # the first job of a new queue waits until workers look for new queues
            site.enqueue("note", "known", queue=queue)
            wait_until(lambda queue=queue: is_consumed(site, queue), "a consumer")  # type: ignore[misc]
        site.wait_for_lines(2, "known")
        site.enqueue("slow", "gate", 2, queue="mailers")
        site.wait_for_lines(1, "begin")
        site.enqueue("note", "elsewhere", priority="high")
        for priority in ("bulk", "low", "normal", "high"):
            for queue in ("mailers", "reports"):
                site.enqueue("note", f"prio-{priority}", priority=priority, queue=queue)
        order = first_words(site.wait_for_lines(8, "prio"))
        assert order == [f"prio-{priority}" for priority in ("high", "normal", "low", "bulk") for _ in range(2)]
        assert not site.lines("elsewhere")
        with site.started("work", "-p", "1"):
            site.wait_for_lines(1, "elsewhere")


def is_consumed(site: Site, queue: str) -> bool:
    """Say whether a worker waits for the news of a queue."""
    settings = site.tq.settings
    name = Topology(settings.prefix).queue(queue, Priority.BULK.rank)
    with raw_channel(settings.broker_url) as channel:
        try:
            return bool(channel.queue_declare(name, passive=True).method.consumer_count)
        except ChannelClosedByBroker:  # there is no such queue yet
            return False


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_hundred_thousand_jobs_run_once_each(site: Site) -> None:
    """Over four worker processes, which all take part, while the jobs are enqueued; TERM then ends all in order."""
    ledger = site.out.with_name("ledger")
    definition: Any = site.tq.registry.find("count")
    with site.started("run", "-p", "4") as running:
        for start in range(0, STRESS, 10_000):
            site.tq.enqueue_many([definition.prepare(number) for number in range(start, start + 10_000)])
        wait_until(lambda: ledger.read_bytes().count(b"\n") >= STRESS, "every job to run", patience=200)
        site.wait_until_empty()
        end_in_order(running)
    ran = [line.split() for line in ledger.read_bytes().splitlines()]
    assert Counter(int(number) for number, _pid in ran) == Counter(range(STRESS))
    assert len({pid for _number, pid in ran}) == 4


@pytest.mark.slow
def test_the_broker_is_restarted_and_killed(sites: list[Site], broker: Broker) -> None:
    """While idle and under load: jobs go on without it, workers return to it, and each job runs once."""
    with ExitStack() as stack:
        crews = [stack.enter_context(site.started("run", "-p", "2")) for site in sites]
        each_runs(sites, "before")
        broker.stop()
        each_runs(sites, "without")
        broker.start()
        for crew in crews:
            crew.wait_for_times(2, "is back (consumer)")
        loads = [stack.enter_context(Load(site).running()) for site in sites]
        each_gets_on(loads)
        broker.kill()
        each_gets_on(loads)
        broker.start()
        for crew in crews:
            crew.wait_for_times(4, "is back (consumer)")
        each_gets_on(loads)
        for load in loads:
            load.stop()
        for load, crew in zip(loads, crews, strict=True):
            load.each_ran_once()
            end_in_order(crew)


def each_gets_on(loads: list[Load]) -> None:
    """Wait until every site ran more of its jobs."""
    for load in loads:
        load.more(100)


def each_runs(sites: list[Site], note: str) -> None:
    """Enqueue a job at each site and wait until it ran."""
    for site in sites:
        site.enqueue("note", note)
    for site in sites:
        site.wait_for_lines(1, note)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(PLANS))
def test_the_database_is_restarted_and_killed_under_load(name: str, tmp_path: Path, broker: Broker) -> None:
    """Workers and the deferred process outlive it and go on; no job is lost, and few run twice."""
    with restartable(name) as server, fresh_database(server.url) as url:
        site = make_site(tmp_path, url, broker)
        slow: Any = site.tq.registry.find("slow")
        site.tq.enqueue_many([slow.prepare(f"load{number}", 0.01) for number in range(1000)])
        with site.started("run", "-p", "2") as running:
            site.wait_for_lines(100, "end")
            supervisor = running.process.pid
            for how in (server.stop, server.kill):
                how()
                server.start()
                site.wait_for_lines(len(site.lines("end")) + 100, "end")
            site.enqueue("timed", "future", delay=1)
            site.wait_for_lines(1, "future")
            site.wait_until_empty()
            assert is_alive(supervisor)
            end_in_order(running)
        site.tq.close()
    ran = Counter(line.split()[1] for line in site.lines("end"))
    assert set(ran) == {f"load{number}" for number in range(1000)}
    # What had run when its finish could not be told may run again; more than two workers' batches would be a bug.
    assert sum(ran.values()) - len(ran) <= 2 * 2 * site.tq.settings.max_batch


def test_a_rolling_deploy(site: Site) -> None:
    """A job that the old worker does not know is parked by it, never lost, and run by a worker of the new release."""
    with site.started("run", "-p", "1") as old:
        site.enqueue("note", "known")
        pid = field_of(site.wait_for_lines(1, "known")[0], "pid")
        job = site.enqueue("newcomer")
        wait_until(lambda: site.tq.jobs.get(job).state is State.PARKED, "the old worker to park it")
        site.module.write_text(APP + MORE + NEWCOMER)
        with site.started("run", "-p", "1"):
            assert field_of(site.wait_for_lines(1, "newcomer")[0], "pid") != pid
            end_in_order(old)
    assert len(site.lines("newcomer")) == 1


def test_term_drains(site: Site) -> None:
    """What runs ends or is given back uncharged, what waits stays; a worker that comes later runs it all."""
    site.enqueue("slow", "short", 1, queue="a")
    with (
        site.started("work", "-p", "1", "--queues", "a") as one,
        site.started("work", "-p", "1", "--queues", "b") as two,
    ):
        long = site.enqueue("slow", "long", 60, queue="b")
        site.wait_for_lines(2, "begin")
        waiting = site.enqueue("note", "waiting", queue="a")
        for running in (one, two):
            running.send(signal.SIGTERM)
        assert [one.wait(), two.wait()] == [0, 0]
    assert site.lines("end short")
    assert site.lines("interrupted long")
    for job in map(site.tq.jobs.get, (long, waiting)):
        assert (job.state, job.attempts) == (State.READY, 0)
    site.tq.jobs.delete(long)
    with site.started("work", "-p", "1"):
        site.wait_for_lines(1, "waiting")
