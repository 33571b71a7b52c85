"""Three nodes: quorum queues outlive one that dies or stands still, classic ones wait for theirs, no news is lost."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select, update

from tests.harness import happens, make_app, working
from tests.news import (
    PATIENCE,
    STAMP,
    all_are_here,
    arriving,
    connected,
    ids,
    is_sent,
    is_served,
    news,
    publish_singly,
    rabbit,
)
from tests.rabbitmq_cluster import Cluster, rabbitmq_cluster
from tests.rabbitmq_server import Broker
from tomqueue import TomQueue
from tomqueue.job import NewJob
from tomqueue.store.sql import SqlStore
from tomqueue.transport.rabbitmq import RabbitTransport, absent, publication
from tomqueue.transport.rabbitmq.consumer import RabbitConsumer
from tomqueue.transport.rabbitmq.publisher import RabbitPublisher

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

QUEUES = ["default", "mailers"]


@pytest.fixture(scope="module")
def three() -> Iterator[Cluster]:
    """Give a cluster whose nodes the tests kill."""
    with rabbitmq_cluster() as running:
        yield running


@pytest.fixture
def cluster(three: Cluster) -> Cluster:
    """Give that cluster, all of it running."""
    three.start()
    return three


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch, cluster: Cluster) -> Broker:
    """Give the node that everything of ours speaks to: nodes are tried in the order of the URL."""
    monkeypatch.setattr(random, "shuffle", list[str].reverse)
    return cluster.nodes[0]


@pytest.fixture
def transport(store: SqlStore, cluster: Cluster, prefix: str) -> RabbitTransport:
    """Give the transport over the cluster, on quorum queues."""
    return rabbit(store, cluster.url, prefix, queue_type="quorum")


@pytest.fixture
def led_by(store: SqlStore, prefix: str) -> Callable[[Broker], None]:
    """Give what has a node lead the queues: they are declared by way of it."""

    def declare(node: Broker) -> None:
        connected(rabbit(store, node.url, prefix, queue_type="quorum").consumer(lambda: QUEUES)).close()

    return declare


def insert(store: SqlStore, number: int) -> list[int]:
    """Insert rows whose news is just to be published."""
    found = store.insert([NewJob(name="greet", queue="default", priority=1, payload="{}") for _ in range(number)])
    with store.writing() as writing:
        writing.execute(update(store.tables.jobs).values(announced_at=STAMP))
    return [row.id for row in found]


def to_be_announced(store: SqlStore) -> set[int]:
    """Return the rows that the deferred process would announce again."""
    jobs = store.tables.jobs
    with store.reading() as reading:
        return set(reading.execute(select(jobs.c.id).where(jobs.c.announced_at.is_(None))).scalars())


def take(consumer: RabbitConsumer, seen: set[int], until: Callable[[], bool]) -> None:
    """Take and ack what arrives."""
    while not until():  # pytest's time-out ends it
        for delivery in consumer.receive(100):
            seen.add(delivery.notification.job_id)
            consumer.ack(delivery)
        consumer.wait(0.05)


@contextmanager
def load(send: Callable[[int], object]) -> Iterator[list[int]]:
    """Send numbers, one by one, until the block ends; give what was sent."""
    sent, stopping = list[int](), threading.Event()

    def run() -> None:
        while not stopping.wait(0.002):
            send(len(sent))
            sent.append(len(sent))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield sent
    finally:
        stopping.set()
        thread.join(PATIENCE)


def test_quorum_queues_do_what_others_do(publisher: RabbitPublisher, consumer: RabbitConsumer) -> None:
    """News arrives in order of urgency, within a priority in order of publishing, and what is put back comes again."""
    publish_singly(
        publisher, *(news(number, priority=priority) for number, priority in ((1, 3), (2, 1), (3, 1), (4, 0)))
    )
    all_are_here(consumer, 4)
    held = arriving(consumer, 4)
    assert ids(held) == [4, 2, 3, 1]
    assert consumer.requeue(held[0])
    for delivery in held[1:]:
        consumer.ack(delivery)
    assert ids(arriving(consumer, 1)) == [4]


@pytest.mark.usefixtures("ours")
def test_a_leader_elsewhere_is_killed_under_load(
    request: pytest.FixtureRequest, store: SqlStore, cluster: Cluster, led_by: Callable[[Broker], None]
) -> None:
    """Both sides keep their connections and go on by themselves; all news arrives, or will be sent again."""
    led_by(cluster.nodes[1])
    consumer: RabbitConsumer = request.getfixturevalue("consumer")
    publisher: RabbitPublisher = request.getfixturevalue("publisher")
    jobs, seen = insert(store, 10_000), set[int]()
    with load(lambda number: publisher.publish([news(jobs[number])])) as sent:
        take(consumer, seen, lambda: len(seen) > 100)
        cluster.nodes[1].kill()
        before = len(sent)
        take(consumer, seen, lambda: len(seen) > before + 300)
    left = set(jobs[: len(sent)])
    take(consumer, seen, lambda: left <= seen | to_be_announced(store))
    assert happens(lambda: is_sent(publisher))
    connected(consumer)


@pytest.fixture
def tq(tmp_path: Path, cluster: Cluster, prefix: str) -> Iterator[TomQueue]:
    """Give an application over the cluster."""
    url = f"{cluster.url}?heartbeat=1"
    app = make_app(tmp_path / "app.db", broker_url=url, prefix=prefix, queue_type="quorum")
    yield app
    app.close()


def test_jobs_go_on_whatever_happens_to_our_node(
    tq: TomQueue, cluster: Cluster, ours: Broker, led_by: Callable[[Broker], None]
) -> None:
    """It stands still, then the next is killed, which leads the queues: both sides move on, and each job runs once."""
    ran = Counter[int]()

    @tq.job
    def note(number: int) -> None:
        ran[number] += 1

    led_by(cluster.nodes[1])
    with working(tq.tools()) as worker, load(note.enqueue) as sent:

        def moves_on() -> bool:
            """Say whether jobs that are enqueued from now on run by news."""
            before = len(sent)
            return happens(lambda: is_served(worker)) and happens(lambda: len(ran) > before + 100)

        assert moves_on()
        with ours.frozen():
            assert happens(lambda: not is_served(worker))
            assert moves_on()
        cluster.nodes[1].kill()
        assert happens(lambda: not is_served(worker))
        assert moves_on()
    with working(tq.tools()):
        assert happens(lambda: len(ran) == len(sent))
    assert set(ran.values()) == {1}


def test_without_a_majority_publishing_waits(
    store: SqlStore, cluster: Cluster, publisher: RabbitPublisher, consumer: RabbitConsumer
) -> None:
    """It returns at once, nothing is lost, and the news arrives when there is a majority again."""
    jobs, seen = insert(store, 51), set[int]()
    publisher.publish([news(jobs[0])])
    take(consumer, seen, lambda: len(seen) == 1)
    for node in cluster.nodes[1:]:
        node.kill()
    for job in jobs[1:]:
        publisher.publish([news(job)])
    assert not is_sent(publisher)
    cluster.start()
    connected(consumer)
    take(consumer, seen, lambda: set(jobs) <= seen | to_be_announced(store))
    assert happens(lambda: is_sent(publisher))


@pytest.mark.usefixtures("ours")
def test_a_classic_queue_waits_for_its_node(
    monkeypatch: pytest.MonkeyPatch, store: SqlStore, cluster: Cluster, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Meanwhile workers ask the database; other queues go on, on the same connections; then it is served again."""
    monkeypatch.setattr(publication, "CONFIRM_SECONDS", 1.0)
    monkeypatch.setattr(absent, "LONGEST_PAUSE", 1.0)
    home = cluster.nodes[1]
    connected(rabbit(store, home.url, prefix).consumer(lambda: ["default"])).close()
    transport = rabbit(store, cluster.url, prefix)
    consumer, publisher = connected(transport.consumer(lambda: QUEUES)), transport.publisher()
    assert isinstance(consumer, RabbitConsumer)
    (job,) = insert(store, 1)
    publisher.publish([news(job + 1)])
    assert ids(arriving(consumer, 1)) == [job + 1]
    home.kill()
    assert happens(lambda: consumer.asks_database)
    publisher.publish([news(job), news(job + 2, "mailers")])
    assert ids(arriving(consumer, 1)) == [job + 2]
    assert happens(lambda: to_be_announced(store) == {job})
    home.start()
    connected(consumer)
    publisher.publish([news(job + 3)])
    assert happens(lambda: job + 3 in ids(consumer.receive(10)))
    assert "is away" not in caplog.text
    for text in ("on a node that is down", "again"):
        lines = [record.message for record in caplog.records if text in record.message]
        assert len([line for line in lines if f"{prefix}.default.normal " in line]) == 2, lines
    consumer.close()
    publisher.close()
