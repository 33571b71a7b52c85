"""Jobs whose news was lost run all the same, while other news keeps every slot busy as well."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta

import pytest

from tests.harness import PATIENCE, change, happens, make_worker, pushing, row, run_here, store_of, working
from tomqueue import TomQueue
from tomqueue.job import Job
from tomqueue.transport.base import Notification
from tomqueue.transport.memory import MemoryConsumer, MemoryTransport
from tomqueue.worker import lost_news
from tomqueue.worker.worker import Worker

AGES_AGO = timedelta(hours=1)


@pytest.fixture
def transport() -> MemoryTransport:
    """Give a transport without news."""
    return MemoryTransport()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers look all the time; what is younger than a minute is not old, however slow the machine is."""
    monkeypatch.setattr("tomqueue.worker.lost_news.LOOK_EVERY", 0.02)
    monkeypatch.setattr("tomqueue.worker.lost_news.UNDER_WAY", timedelta(minutes=1))
    monkeypatch.setattr("tomqueue.worker.lost_news.OVERTAKEN", timedelta(minutes=1))
    monkeypatch.setattr("tomqueue.worker.lost_news.HELD", timedelta(minutes=1))


@pytest.fixture
def never_empty(hasty: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no line be known to be empty, and what was overtaken be taken soon."""
    monkeypatch.setattr("tomqueue.worker.lost_news.HELD", timedelta(seconds=0.1))
    monkeypatch.setattr(MemoryConsumer, "empty_at", lambda _consumer: {})


@pytest.fixture
def lost(tq: TomQueue) -> list[int]:
    """Give a list that grows by the id of each job that is found behind its news."""
    found: list[int] = []
    tq.on("news.lost", lambda job: found.append(job.id))
    return found


def age(tq: TomQueue, *jobs: Job) -> None:
    """Have jobs been announced long ago."""
    table = store_of(tq).tables.jobs
    with store_of(tq).writing() as connection:
        meant = table.c.id.in_([job.id for job in jobs])
        connection.execute(table.update().where(meant).values(announced_at=store_of(tq).now() - AGES_AGO))


class Flood:
    """News that never ends: each job tells of the next, of one queue and priority."""

    def __init__(self, tq: TomQueue, transport: MemoryTransport, queue: str, priority: str) -> None:
        self.ran = 0
        self._publisher = transport.publisher()

        @tq.job(name="flood", queue=queue, priority=priority)
        def flood() -> None:
            self.ran += 1
            if not self._over.is_set():
                self.swell()

        self._job = flood
        self._over = threading.Event()

    def swell(self) -> None:
        """Tell of one more job."""
        job = self._job.enqueue()
        assert job.announced_at is not None
        self._publisher.publish([Notification(job.id, job.queue, job.priority.rank, job.announced_at)])

    def goes_on(self, jobs: int = 20) -> bool:
        """Say whether so many more jobs run."""
        before = self.ran
        return happens(lambda: self.ran > before + jobs)

    def end(self) -> None:
        """Let it run out."""
        self._over.set()


Flooded = Callable[..., AbstractContextManager[Flood]]


@pytest.fixture
def flooded(tq: TomQueue, transport: MemoryTransport) -> Flooded:
    """Give a context in which a worker is kept busy by news."""

    @contextmanager
    def act(queue: str = "default", priority: str = "normal", queues: tuple[str, ...] = ()) -> Iterator[Flood]:
        flood = Flood(tq, transport, queue, priority)
        for _ in range(3):
            flood.swell()
        with working(pushing(tq, transport), queues=queues):
            assert flood.goes_on()
            yield flood
            flood.end()

    return act


@pytest.mark.usefixtures("never_empty")
def test_what_was_overtaken_by_later_news_runs(tq: TomQueue, flooded: Flooded, lost: list[int]) -> None:
    """The worker is never idle; what is only a little older than the news is left alone."""
    ran: list[str] = []

    @tq.job
    def note(text: str) -> None:
        ran.append(text)

    old, young = note.enqueue("old"), note.enqueue("young")
    age(tq, old)
    with flooded() as flood:
        assert happens(lambda: ran == ["old"])
        assert flood.goes_on()
        assert ran == ["old"]
        assert row(tq, young.id).attempts == 0
    assert lost == [old.id]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("queue", ["default", "mailers"])
def test_a_line_that_is_empty_has_lost_what_is_old(tq: TomQueue, flooded: Flooded, lost: list[int], queue: str) -> None:
    """Of another queue, or more urgent, than what keeps the worker busy."""
    ran: list[str] = []

    @tq.job(queue=queue, priority="high")
    def note(text: str) -> None:
        ran.append(text)

    old, young = note.enqueue("old"), note.enqueue("young")
    age(tq, old)
    with flooded() as flood:
        assert happens(lambda: ran == ["old"])
        assert flood.goes_on()
    assert (ran, lost) == (["old"], [old.id])
    assert row(tq, young.id).attempts == 0


@pytest.mark.usefixtures("hasty")
def test_what_is_less_urgent_waits_for_its_turn(tq: TomQueue, flooded: Flooded) -> None:
    """Lost or not: while more urgent news keeps every slot busy, it does not run; then it does."""
    ran: list[int] = []

    @tq.job(priority="low")
    def note() -> None:
        ran.append(1)

    age(tq, note.enqueue())
    with flooded() as flood:
        assert flood.goes_on(100)
        assert ran == []
        flood.end()
        assert happens(lambda: ran == [1])


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("why", ["paused", "another's"])
def test_only_queues_that_are_served_are_looked_at(tq: TomQueue, flooded: Flooded, why: str) -> None:
    """A paused one, and one that this worker was not told to serve, keep their jobs."""

    @tq.job(queue="other")
    def note() -> None:
        raise AssertionError

    job = note.enqueue()
    age(tq, job)
    if why == "paused":
        tq.tools().catalog.queues.pause("other")
    with flooded(queues=() if why == "paused" else ("default",)) as flood:
        assert flood.goes_on(50)
    assert row(tq, job.id).attempts == 0


@pytest.mark.usefixtures("hasty")
def test_much_that_was_lost_and_news_take_turns(
    tq: TomQueue, flooded: Flooded, lost: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look is followed by the next while it is worth it, and neither has to wait for the other."""
    ran: list[int] = []

    @tq.job(queue="mailers")
    def note(number: int) -> None:
        ran.append(number)

    jobs = tq.enqueue_many(note.prepare(number) for number in range(300))
    age(tq, *jobs)
    tq.on("news.lost", lambda job: job.id == jobs[0].id and monkeypatch.setattr(lost_news, "LOOK_EVERY", 3600.0))
    monkeypatch.setattr(lost_news, "IDLE_LOOK_EVERY", 3600.0)
    with flooded() as flood:
        assert happens(lambda: ran)
        before = flood.ran
        assert happens(lambda: len(ran) == 300)
        assert flood.ran > before
        assert flood.goes_on()
    assert ran == sorted(ran)
    assert lost == [job.id for job in jobs]


@pytest.mark.usefixtures("hasty")
def test_what_is_given_back_needs_no_new_news(tq: TomQueue, transport: MemoryTransport) -> None:
    """It keeps its stamp, by which the next worker finds it: nothing is announced again."""
    began, go_on, workers = threading.Event(), threading.Event(), list[Worker]()

    @tq.job
    def note() -> None:
        if not began.is_set() and len(workers[0]._claims._waiting) > 5:
            began.set()
            assert go_on.wait(PATIENCE)

    jobs = tq.enqueue_many(note.prepare() for _ in range(2000))
    age(tq, *jobs)
    (stamp,) = {job.announced_at for job in tq.jobs.list(limit=None)}
    worker = make_worker(pushing(tq, transport), until_idle=False)
    workers.append(worker)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        assert began.wait(PATIENCE)
        assert happens(lambda: len(tq.jobs.list(state="running")) == 1)
        assert {job.announced_at for job in tq.jobs.list(limit=None)} == {stamp}
        go_on.set()
        assert happens(lambda: not tq.jobs.list())
    finally:
        go_on.set()
        worker.stop()
        thread.join(PATIENCE)


@pytest.mark.usefixtures("hasty")
def test_suspects_are_taken_one_after_the_other(tq: TomQueue, transport: MemoryTransport, lost: list[int]) -> None:
    """Each alone, and no look is waited for between them."""
    together: list[int] = []
    running: list[int] = []

    @tq.job
    def note(number: int) -> None:
        running.append(number)
        together.append(len(running))
        running.remove(number)

    jobs = tq.enqueue_many(note.prepare(number) for number in range(5))
    age(tq, *jobs)
    for job in jobs:
        change(tq, job.id, suspect=True)
    with working(pushing(tq, transport), threads=2):
        assert happens(lambda: not tq.jobs.list())
    assert together == [1] * 5
    assert lost == [job.id for job in jobs]


@pytest.mark.usefixtures("never_empty")
def test_stamps_of_the_future_say_nothing(tq: TomQueue, transport: MemoryTransport, lost: list[int]) -> None:
    """News is not trusted: what it says of a time to come is taken for now."""

    @tq.job
    def note() -> None: ...

    told, untold = note.enqueue(), note.enqueue()
    ages_ahead = store_of(tq).now() + AGES_AGO
    with working(pushing(tq, transport)) as worker:
        transport.publisher().publish([Notification(told.id, "default", 1, ages_ahead)])
        assert happens(lambda: row(tq, told.id) is None)
        looks = worker._intake._lost
        assert happens(lambda: looks._samples[0][1])
        assert looks._over()["default", 1] < store_of(tq).now()
    assert row(tq, untold.id).attempts == 0
    assert lost == []


def test_working_off_waits_for_no_news(tq: TomQueue, transport: MemoryTransport) -> None:
    """A worker that ends when nothing is ready takes what is ready, however young."""
    ran: list[int] = []

    @tq.job
    def note() -> None:
        ran.append(1)

    note.enqueue()
    run_here(make_worker(pushing(tq, transport)))
    assert ran == [1]
