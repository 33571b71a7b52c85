"""A worker that serves some priorities only, however it learns of its work."""

from tests.harness import change, happens, make_due, pushing, record_events, row, store_of, work, working
from tomqueue import TomQueue
from tomqueue.transport.base import Notification
from tomqueue.transport.memory import MemoryTransport

ALL = ("high", "normal", "low", "bulk")


def enqueue(tq: TomQueue, ran: list[str], *, delay: float = 0) -> dict[str, int]:
    """Enqueue a job of every priority; return their ids."""

    @tq.job(name="note")
    def note(text: str) -> None:
        ran.append(text)

    return {priority: note.using(priority=priority, delay=delay).enqueue(priority).id for priority in ALL}


def test_the_database_is_asked_for_them_only(tq: TomQueue) -> None:
    """Also for what was due later, or retried; the rest stays as it is."""
    ran: list[str] = []
    enqueue(tq, ran)
    later = enqueue(tq, ran, delay=3600)
    for job in later.values():
        make_due(tq, job)
    work(tq, first_rank=1, last_rank=2)
    assert ran == ["normal", "normal", "low", "low"]
    assert [job.priority for job in tq.jobs.list()] == ["high", "bulk"] * 2
    work(tq, last_rank=0)
    assert ran[4:] == ["high", "high"]


def test_news_of_others_is_left_to_others(tq: TomQueue) -> None:
    """What was announced of another priority stays in its line."""
    ran: list[str] = []
    ids = enqueue(tq, ran)
    transport = MemoryTransport()
    for rank, job in enumerate(ids.values()):
        transport.publisher().publish([Notification(job, "default", rank, row(tq, job).announced_at)])
    with working(pushing(tq, transport), first_rank=2):
        assert happens(lambda: len(ran) == 2)
    assert ran == ["low", "bulk"]
    assert [len(transport.lines["default", rank]) for rank in range(4)] == [1, 1, 0, 0]


def test_what_has_no_news_is_found_in_its_priorities(tq: TomQueue) -> None:
    """A look into the database behind the broker takes what the worker serves, and nothing else."""
    ran: list[str] = []
    ids = enqueue(tq, ran)
    for job in ids.values():
        change(tq, job, announced_at=store_of(tq).now().replace(year=2020))
    events = record_events(tq)
    with working(pushing(tq, MemoryTransport()), last_rank=1):
        assert happens(lambda: len(ran) == 2)
    assert sorted(ran) == ["high", "normal"]
    assert events.count("news.lost") == 2


def test_parked_jobs_of_others_are_released_for_them(tq: TomQueue) -> None:
    """A starting worker takes those of its own priorities at once; the others are ready for who serves them."""
    ran: list[str] = []
    ids = enqueue(tq, ran)
    now = store_of(tq).now()
    for job in ids.values():
        change(tq, job, parked_at=now, parks=1, announced_at=None, run_at=now.replace(year=now.year + 1))
        change(tq, job, run_at=now)
    work(tq, first_rank=3)
    assert ran == ["bulk"]
    assert {job.state for job in tq.jobs.list()} == {"ready"}
