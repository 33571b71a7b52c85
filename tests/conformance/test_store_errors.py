"""Conformance of the store's errors: what a database says becomes what a worker can act on."""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

import pytest
from sqlalchemy import Connection, make_url, select, text

from tests.conformance.jobs import SERVERS, insert, new, row, take
from tests.harness import PATIENCE, happens
from tests.servers import administering
from tomqueue.errors import OutcomeUnknown, StoreError, StoreUnavailable
from tomqueue.settings import Settings
from tomqueue.store import transactions
from tomqueue.store.atomic import AtomicTransaction
from tomqueue.store.base import Delete, Hold
from tomqueue.store.catalog import Catalog, Filter
from tomqueue.store.open import open_store
from tomqueue.store.sql import SqlStore


def execute(link: Any, statement: str) -> Any:
    """Run a statement on a driver's connection; return the first value it answers."""
    cursor = link.cursor()
    cursor.execute(statement)
    found = cursor.fetchone() if cursor.description else None
    cursor.close()
    return found and found[0]


KILL = {
    "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({}, 10000)"),
    "mysql": ("SELECT connection_id()", "KILL {}"),
}
"""How to ask for the number of a session, and how to end it."""
WAITS = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE pid = {} AND wait_event_type = 'Lock'",
    "mysql": "SELECT count(*) FROM information_schema.processlist WHERE id = {} AND state LIKE 'Waiting for table%'",
}
LOCK_TABLE = {
    "postgresql": ("BEGIN", "LOCK TABLE tomqueue_jobs IN ACCESS EXCLUSIVE MODE"),
    "mysql": ("LOCK TABLES tomqueue_jobs WRITE",),
}


def kill_session(store: SqlStore, link: Any = None) -> None:
    """Let the server end the session of a connection (the store's own), as a restart would."""
    link = link or store._links.get()
    which, end = KILL[store.engine.dialect.name]
    with store.engine.connect() as other:
        other.execute(text(end.format(execute(link, which))))


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.insert([new()]),
        take,
        lambda store: store.announce(),
        lambda store: store.claim([1], 1, 1),
        lambda store: store.now(),
    ],
    ids=["insert", "take", "announce", "claim", "now"],
)
def test_a_session_that_ended_is_replaced(store: SqlStore, call: Callable[[SqlStore], Any]) -> None:
    """After a restart of the server the next call is served by a new connection: nothing had been changed."""
    kill_session(store)
    call(store)


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_an_insert_after_a_broken_connection_is_done_once(store: SqlStore) -> None:
    """What is tried again on a new connection was not done on the old one."""
    kill_session(store)
    store.insert([new()])
    assert Catalog(store).count(Filter()) == 1


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_an_insert_whose_session_the_server_ends_is_done_once(url: str, store: SqlStore) -> None:
    """The server says that it did not do it, so it is tried again: the caller hears nothing of a restart."""
    dialect = store.engine.dialect.name
    which, end = KILL[dialect]
    store.insert([new()])  # its queue is known from now on
    sessions: SimpleQueue[Any] = SimpleQueue()

    def enqueue() -> None:
        sessions.put(execute(store._links.get(), which))
        store.insert([new()])

    thread = threading.Thread(target=enqueue)
    with administering(make_url(url)) as observer, administering(make_url(url)) as other:
        for statement in LOCK_TABLE[dialect]:
            other.execute(text(statement))
        thread.start()
        session = sessions.get(timeout=PATIENCE)
        assert happens(lambda: observer.execute(text(WAITS[dialect].format(session))).scalar())
        observer.execute(text(end.format(session)))
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert Catalog(store).count(Filter()) == 2


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_a_commit_that_nobody_confirmed_is_said_to_be_unknown(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that breaks during COMMIT is never tried again blindly, and the store goes on with a new one."""
    insert(store, new())
    original = store._end

    def ends_and_dies(link: Any, endings: Any) -> list[Hold]:
        held = original(link, endings)
        kill_session(store)
        return held

    with monkeypatch.context() as patch:
        patch.setattr(store, "_end", ends_and_dies)
        store.claim([1], 1, 1)
        with pytest.raises(OutcomeUnknown, match="committing"):
            store.finish([Delete(1, 1)])
    assert row(store, 1) is not None
    assert store.finish([Delete(1, 1)]) == [Hold.OURS]


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_a_lock_is_not_waited_for_without_end(kind: str, url: str, store: SqlStore, monkeypatch: Any) -> None:
    """A finish that another transaction keeps from its row says so after the setting's time; it can be tried again."""
    monkeypatch.setattr(transactions, "TRANSIENT_RETRIES", 1)
    (job,) = insert(store, new())
    take(store, token=7)
    hasty = open_store(Settings(database_url=url, database_timeout=1.0))
    with store.engine.connect() as other, other.begin():
        other.execute(select(store.tables.jobs.c.id).with_for_update())
        with pytest.raises(StoreUnavailable, match="nothing was changed"):
            hasty.finish([Delete(job, 7)])
    assert hasty.finish([Delete(job, 7)]) == [Hold.OURS]
    hasty.close()


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_a_locked_table_is_not_waited_for_without_end(kind: str, url: str, store: SqlStore, monkeypatch: Any) -> None:
    """Nor is one that somebody holds as a whole, as a migration does."""
    monkeypatch.setattr(transactions, "TRANSIENT_RETRIES", 1)
    hasty = open_store(Settings(database_url=url, database_timeout=1.0))
    with administering(make_url(url)) as other:
        for statement in LOCK_TABLE[store.engine.dialect.name]:
            other.execute(text(statement))
        with pytest.raises(StoreUnavailable, match="lock"):
            hasty.insert([new()])
    hasty.insert([new()])
    hasty.close()


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_a_server_that_is_gone_without_a_word_is_noticed(store: SqlStore) -> None:
    """The kernel asks for it on every connection of ours, also on those that renew leases."""
    with store.connected() as connection:
        links: list[Any] = [store._links.get(), connection.connection.dbapi_connection]
        for link in links:
            descriptor = link.fileno() if hasattr(link, "fileno") else link._sock.fileno()
            with socket.socket(fileno=os.dup(descriptor)) as peer:
                assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_a_writer_of_sqlite_is_not_waited_for_without_end(sqlite_url: str) -> None:
    """SQLite has one lock for all of its file: the same holds for that."""
    store = open_store(Settings(database_url=sqlite_url, database_timeout=0.05))
    with store.engine.connect() as other, other.begin():
        with pytest.raises(StoreUnavailable, match="lock"):
            store.insert([new()])
    store.close()


def test_a_database_that_is_read_only_is_unavailable(store: SqlStore) -> None:
    """A server that failed over, or a file without rights, is nobody's mistake: it is tried again later."""
    read_only = {
        "sqlite": "PRAGMA query_only = ON",
        "postgresql": "SET default_transaction_read_only = on",
        "mysql": "SET SESSION TRANSACTION READ ONLY",
    }
    execute(store._links.get(), read_only[store.engine.dialect.name])
    with pytest.raises(StoreUnavailable, match="read-only"):
        store.insert([new()])


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_a_server_that_is_not_there_is_unavailable(store: SqlStore) -> None:
    """Nobody listens: the store says so, for what is hot and what is cold."""
    gone = open_store(Settings(database_url=store.engine.url.set(port=1).render_as_string(hide_password=False)))
    for call in (lambda: gone.insert([new()]), gone.now, gone.announce, lambda: Catalog(gone).get(1)):
        with pytest.raises(StoreUnavailable) as caught:
            call()
        assert str(store.engine.url.password) not in str(caught.value)
    gone.close()


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
@pytest.mark.parametrize("use", [lambda it: it.connection, lambda it: it.session().connection()], ids=["core", "orm"])
def test_an_atomic_job_whose_session_ended_says_so(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, use: Callable[[AtomicTransaction], Connection]
) -> None:
    """Also when the loss shows only as it is rolled back, because something else failed first."""
    (job_id,) = insert(store, new())
    (claimed,) = take(store)
    transaction = AtomicTransaction(store)
    link = use(transaction).connection.driver_connection
    kill_session(store, link)

    def away() -> Any:
        raise StoreUnavailable("it is away")

    with monkeypatch.context() as broken:
        broken.setattr(store, "now", away)
        with pytest.raises(StoreUnavailable):
            transaction.commit(Delete(claimed.id, 1))
    assert row(store, job_id).claim_token == 1
    with store.connected() as again:
        again.execute(text("SELECT 1"))


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_our_sessions_read_what_is_committed(store: SqlStore) -> None:
    """Whatever the server's default is, our own sessions are READ COMMITTED and speak UTC."""
    questions = {
        "postgresql": ("SHOW transaction_isolation", "SHOW TimeZone"),
        "mariadb": ("SELECT @@tx_isolation", "SELECT @@time_zone"),
        "mysql": ("SELECT @@transaction_isolation", "SELECT @@time_zone"),
    }
    link, is_mariadb = store._links.get(), getattr(store.engine.dialect, "is_mariadb", False)
    asked = questions["mariadb" if is_mariadb else store.engine.dialect.name]
    isolation, zone = (execute(link, question) for question in asked)
    assert isolation.lower().replace("-", " ") == "read committed"
    assert zone in {"UTC", "+00:00"}


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_a_cold_transaction_that_met_a_deadlock_is_tried_again(store: SqlStore) -> None:
    """Two that lock the same rows in opposite order both come through."""
    ids = insert(store, new(), new())
    together = threading.Barrier(2)
    tries: list[int] = []

    def change_both(first: int, second: int) -> None:
        def work(connection: Connection) -> None:
            tries.append(first)
            jobs = store.tables.jobs
            connection.execute(jobs.update().where(jobs.c.id == first).values(parks=jobs.c.parks + 1))
            with suppress(threading.BrokenBarrierError):  # the second time, nobody comes
                together.wait(PATIENCE)
            together.abort()
            connection.execute(jobs.update().where(jobs.c.id == second).values(parks=jobs.c.parks + 1))

        store.write(work)

    threads = [threading.Thread(target=change_both, args=order) for order in (ids, ids[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row(store, row_id).parks for row_id in ids] == [2, 2]
    assert len(tries) == 3


def test_an_error_that_trying_again_does_not_cure_is_raised_at_once(store: SqlStore) -> None:
    """The work runs once, and nothing of it is kept."""
    (job,) = insert(store, new())
    tries: list[int] = []

    def work(connection: Connection) -> None:
        tries.append(1)
        jobs = store.tables.jobs
        connection.execute(jobs.update().values(parks=7))
        connection.execute(text("SELECT no_such_function_here()"))

    with pytest.raises(StoreError):
        store.write(work)
    assert (len(tries), row(store, job).parks) == (1, 0)
