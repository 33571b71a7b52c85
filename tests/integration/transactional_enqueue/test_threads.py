"""Many threads: what is announced belongs to a transaction, never to a thread, session class or process."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from tests.integration.transactional_enqueue.application import SERVERS, Application, Order, application
from tomqueue import TomQueue, configure_sqlite

T = TypeVar("T")
THREADS = 16
ROUNDS = 10


def test_exactly_the_committed_jobs_are_announced(app: Application) -> None:
    """16 threads with sessions of their own, half of whose transactions roll back: each job once, or never."""

    def work(thread: int) -> list[int]:
        committed = []
        for turn in range(ROUNDS):
            with Session(app.engine) as session:
                number = thread * ROUNDS + turn
                app.send.using(session=session).enqueue(number)
                session.add(Order(number=number))
                session.flush()
                if turn % 2 == thread % 2:
                    session.commit()
                    committed.append(number)
        return committed

    committed = sorted(number for numbers in in_threads(work, THREADS) for number in numbers)
    assert sorted(app.announced) == app.rows() == committed
    assert len(committed) == THREADS * ROUNDS // 2


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_a_commit_never_announces_anothers_job(app: Application) -> None:
    """Of two interleaved transactions in two threads, each commit tells of its own job only."""
    with Session(app.engine) as first, Session(app.engine) as second, ThreadPoolExecutor(2) as threads:
        threads.submit(app.send.using(session=first).enqueue, 1).result()
        threads.submit(app.send.using(session=second).enqueue, 2).result()
        app.send.using(session=first).enqueue(3)
        threads.submit(second.commit).result()
        assert app.announced == [2]
        threads.submit(first.commit).result()
    assert (app.announced, app.rows()) == ([2, 1, 3], [1, 2, 3])


def test_a_configured_sqlite_engine_is_never_locked(sqlite_url: str) -> None:
    """8 threads read, write and enqueue in sessions, 8 more by a TomQueue of their own: nobody is told "locked"."""
    engine = create_engine(sqlite_url)
    configure_sqlite(engine)
    app = application(sqlite_url, engine)
    engine.dispose()

    def work(thread: int) -> None:
        if thread % 2:
            for turn in range(25):
                number = thread * 100 + turn
                with Session(engine) as session, session.begin():
                    session.get(Order, number - 1)
                    session.add(Order(number=number))
                    app.send.using(session=session).enqueue(number)
            return
        other = TomQueue(sqlite_url)
        send = other.job(name="send")(plain_send)
        for turn in range(25):
            send.enqueue(thread * 100 + turn)
        other.close()

    in_threads(work, 16)
    assert app.rows() == sorted(thread * 100 + turn for thread in range(16) for turn in range(25))
    assert sorted(app.announced) == [number for number in app.rows() if number // 100 % 2]
    app.tq.close()
    engine.dispose()


def plain_send(number: int) -> None:
    """Do nothing."""


def in_threads(work: Callable[[int], T], count: int) -> "list[T]":
    """Run ``work`` in ``count`` threads at once."""
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(work, range(count)))
