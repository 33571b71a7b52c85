"""News that RabbitMQ loses, while other news keeps every slot busy: the jobs run all the same."""

import threading
from datetime import timedelta
from typing import Self

import msgspec
import pytest

from tests.harness import PATIENCE, happens, store_of, working
from tests.news import is_served, raw_channel
from tomqueue import TomQueue
from tomqueue.job import NewJob
from tomqueue.transport.rabbitmq.consumer import RabbitConsumer
from tomqueue.worker.worker import Worker

QUICKLY = {
    "worker.lost_news.LOOK_EVERY": 0.1,
    "worker.lost_news.OVERTAKEN": timedelta(seconds=1),
    "worker.lost_news.HELD": timedelta(seconds=1),
    "worker.lost_news.UNDER_WAY": timedelta(seconds=1),
    "transport.rabbitmq.silence.QUIET": 0.5,
}


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it take a second to count as lost."""
    for name, value in QUICKLY.items():
        monkeypatch.setattr(f"tomqueue.{name}", value)


@pytest.fixture(autouse=True)
def singly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each job have a message of its own, which can be lost alone."""
    monkeypatch.setattr("tomqueue.transport.rabbitmq.outbox.MOST_JOBS", 1)


@pytest.fixture
def lost(tq: TomQueue) -> list[int]:
    """Give a list that grows by the id of each job that is found behind its news."""
    found: list[int] = []
    tq.on("news.lost", lambda job: found.append(job.id))
    return found


def served_by(worker: Worker) -> set[str]:
    """Return the queues that the broker delivers to a worker."""
    assert isinstance(worker._consumer, RabbitConsumer)
    return {queue for queue, _ in worker._consumer._subscription._consumers}


class Producer:
    """Enqueues jobs without end, so many that four slots are never idle."""

    def __init__(self, tq: TomQueue, seconds: float = 0.02) -> None:
        self.ran: list[int] = []
        self.enqueued = 0
        self.allowance = 100
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

        @tq.job(name="busy")
        def busy(number: int) -> None:
            self._over.wait(seconds)
            self.ran.append(number)

        self._job = busy

    def __enter__(self) -> Self:
        self._thread.start()
        assert self.goes_on()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._over.set()
        self._thread.join(PATIENCE)

    def goes_on(self, jobs: int = 3) -> bool:
        """Say whether more of its jobs run."""
        before = len(self.ran)
        return happens(lambda: len(self.ran) > before + jobs)

    def _run(self) -> None:
        while not self._over.wait(0.005):
            if self.enqueued - len(self.ran) < self.allowance:
                self._job.enqueue(self.enqueued)
                self.enqueued += 1


@pytest.mark.parametrize("place", ["default.high", "mailers.normal", "default.normal"])
def test_a_queue_is_purged_while_every_slot_is_busy(
    tq: TomQueue, rabbitmq_url: str, rabbitmq_prefix: str, lost: list[int], place: str
) -> None:
    """Its jobs start: by its silence or, where more news of the same queue and priority comes, by the stamp of that."""
    queue, _, priority = place.partition(".")
    ran: list[int] = []

    @tq.job(queue=queue, priority=priority)
    def note(number: int) -> None:
        ran.append(number)

    with working(tq.tools(), threads=4) as worker, Producer(tq) as producer:
        tq.tools().store.know_queues([queue])
        assert happens(lambda: queue in served_by(worker))
        tq.tools().catalog.queues.pause(queue)
        assert happens(lambda: queue not in served_by(worker))
        jobs = [note.enqueue(number) for number in range(10)]
        assert tq.tools().publisher.flush(PATIENCE) == 0
        with raw_channel(rabbitmq_url) as channel:
            purged = channel.queue_purge(f"{rabbitmq_prefix}.{place}").method.message_count
        assert purged >= 10
        producer.allowance += purged
        tq.tools().catalog.queues.resume(queue)
        assert happens(lambda: len(ran) == 10)
        assert producer.goes_on()
    assert {job.id for job in jobs} <= set(lost)


def test_messages_that_another_consumer_takes(
    tq: TomQueue, rabbitmq_url: str, rabbitmq_prefix: str, lost: list[int]
) -> None:
    """It acks some of them and keeps what it was sent beside them; the others come by their own news."""
    ran: list[int] = []

    @tq.job
    def note(number: int) -> None:
        ran.append(number)

    queue = f"{rabbitmq_prefix}.default.normal"
    jobs = [note.enqueue(number) for number in range(30)]
    assert tq.tools().publisher.flush(PATIENCE) == 0
    taken = []
    with raw_channel(rabbitmq_url) as channel:
        for _ in range(10):
            method, _, body = channel.basic_get(queue)
            channel.basic_ack(method.delivery_tag)
            taken.append(msgspec.json.decode(body)["job_id"])
    assert taken == [job.id for job in jobs[:10]]
    tq.tools().catalog.queues.pause("default")
    with working(tq.tools(), threads=4) as worker:
        assert happens(lambda: is_served(worker))
        tq.tools().catalog.queues.resume("default")
        with Producer(tq) as producer:
            assert happens(lambda: len(ran) == 30)
            assert producer.goes_on()
    assert lost == taken


def test_a_worker_that_never_has_a_free_slot_for_long(tq: TomQueue, lost: list[int]) -> None:
    """It closes its channel during each job; what it hears in between tells it that another queue is empty."""
    ran: list[str] = []

    @tq.job(name="note", queue="mailers")
    def note(text: str) -> None:
        ran.append(text)

    with working(tq.tools()) as worker, Producer(tq, seconds=0.4) as producer:
        tq.tools().store.know_queues(["mailers"])
        assert happens(lambda: "mailers" in served_by(worker))
        assert happens(lambda: worker._intake._let_go)
        job = NewJob(name="note", queue="mailers", priority=1, payload='{"text":"untold"}')
        (untold,) = store_of(tq).insert([job])
        assert happens(lambda: ran == ["untold"])
        assert producer.goes_on()
    assert lost == [untold.id]
