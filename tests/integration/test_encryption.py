"""Jobs whose arguments are encrypted in the database: every kind of job, every database, every way a key can miss."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.harness import change, happens, make_due, record_events, row, work, working
from tomqueue import State, TomQueue, chain
from tomqueue.job import checksum_of
from tomqueue.payload import Keyring, new_key
from tomqueue.settings import Settings
from tomqueue.store.migrate import migrate
from tomqueue.store.open import open_store
from tomqueue.testing import in_transaction, on_own_database

SECRET = "hunter2"
OLD, NEW = new_key(), new_key()
Opens = Callable[[str], TomQueue]


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def opens(request: pytest.FixtureRequest) -> Iterator[Opens]:
    """Give what opens an application with these keys, on one kind of database after the other."""
    url = str(request.getfixturevalue(f"{request.param}_url"))
    store = open_store(Settings(database_url=url))
    migrate(store.engine, store.tables)
    store.close()
    opened: list[TomQueue] = []

    def open_with(keys: str) -> TomQueue:
        opened.append(TomQueue(url, encryption_keys=keys))
        return opened[-1]

    yield open_with
    for tq in opened:
        tq.close()


def declare(
    tq: TomQueue, ran: list[Any], begun: threading.Event | None = None, go: threading.Event | None = None
) -> Any:
    """Declare a job whose argument is a secret; number 0 waits for ``go``."""

    @tq.job(name="pay", encrypt=True)
    def pay(card: str, number: int = 1) -> None:
        if number == 0 and begun is not None and go is not None:
            begun.set()
            go.wait(20)
        ran.append((card, number))

    return pay


def test_a_job_without_its_key_waits_for_a_worker_that_has_it(opens: Opens) -> None:
    """Parked, uncharged, with the reason; a worker with the key releases it as it starts, and none deletes it."""
    new, old, ran = opens(f"{NEW},{OLD}"), opens(OLD), list[Any]()
    job = declare(new, ran).enqueue(SECRET).id
    declare(old, ran)
    events = record_events(old)
    work(old)
    make_due(old, job)
    work(old)
    found = old.jobs.get(job)
    assert (found.state, found.attempts, found.parks, found.failed_at) == (State.PARKED, 0, 2, None)
    assert f"pay: the arguments are encrypted with the key '{Keyring(NEW).ids[0]}'" in str(found.last_error)
    assert events.count("job.parked") == 2
    assert "job.failed" not in events
    work(new)
    assert ran == [(SECRET, 1)]
    assert row(new, job) is None


def test_jobs_are_reencrypted_while_workers_run(opens: Opens) -> None:
    """Each runs once, with its arguments; what runs keeps its key and is told of; failed ones get the new key, too."""
    before, tq, ran = opens(OLD), opens(f"{NEW},{OLD}"), list[Any]()
    begun, go = threading.Event(), threading.Event()
    old, new = declare(before, ran), declare(tq, ran, begun, go)
    before.enqueue_many([old.prepare(SECRET, number) for number in range(130)])
    failed = old.enqueue(SECRET, 1000).id
    tq.jobs.cancel(failed)
    later = new.using(delay=3600).enqueue(SECRET, 2000).id
    events = record_events(tq)
    with working(tq.tools()):
        assert begun.wait(20)
        done = tq.jobs.reencrypt()
        assert done.running >= 1
        assert (done.jobs + done.running, done.unknown_keys, done.unreadable) == (131, {}, 0)
        assert row(tq, failed).payload.startswith(f"enc:v1:{Keyring(NEW).ids[0]}:")
        assert tq.jobs.get(failed).state is State.FAILED
        go.set()
        assert happens(lambda: len(ran) == 130)
        assert happens(lambda: tq.jobs.count(state=State.READY) + tq.jobs.count(state=State.RUNNING) == 0)
    assert sorted(ran) == [(SECRET, number) for number in range(130)]
    assert not {"job.parked", "job.failed", "job.retried"} & set(events)
    assert tq.jobs.reencrypt() == (0, 0, {}, 0)
    only_new = opens(NEW)
    declare(only_new, ran)
    for job in (failed, later):
        only_new.jobs.retry(job)
    work(only_new)
    assert ran[-2:] == [(SECRET, 1000), (SECRET, 2000)]


def test_a_claim_in_between_is_left_alone(opens: Opens) -> None:
    """A row that a worker takes, or a person changes, after it was read keeps what it has."""
    before, tq, ran = opens(OLD), opens(f"{NEW},{OLD}"), list[Any]()
    jobs = [declare(before, ran).enqueue(SECRET).id for _ in range(2)]
    declare(tq, ran)
    sealed = Keyring.seal

    def claimed_meanwhile(keyring: Keyring, name: str, payload: str) -> str:
        change(before, jobs[0], locked_by=1, claim_token=1)
        return sealed(keyring, name, payload)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Keyring, "seal", claimed_meanwhile)
        assert tq.jobs.reencrypt() == (1, 1, {}, 0)
    assert row(tq, jobs[0]).payload.startswith(f"enc:v1:{Keyring(OLD).ids[0]}:")
    assert row(tq, jobs[1]).announced_at is None


def test_what_is_limited_linked_and_kept_stays_encrypted(opens: Opens) -> None:
    """In the row and in the history; what is held gets the new key as well, and lets the next one in as ever."""
    old, tq, ran = opens(OLD), opens(f"{NEW},{OLD}"), list[Any]()
    counted: dict[str, Any] = {"concurrency": 1, "concurrency_key": lambda number: number, "keep_completed": True}

    def declare_counted(app: TomQueue) -> Any:
        @app.job(name="counted", encrypt=True, redact=("card",), **counted)
        def job(card: str, number: int) -> None:
            ran.append((card, number))

        return job

    before, after = declare_counted(old), declare_counted(tq)
    jobs = [before.enqueue(SECRET, 7), before.enqueue(SECRET, 7)]
    jobs += old.enqueue(chain(before.prepare(SECRET, 1), before.prepare(SECRET, 2))).jobs
    kept = next(one for one in jobs if one.state is State.HELD)
    assert kept.arguments == "[encrypted]"
    assert tq.jobs.reencrypt().jobs == 4
    jobs.append(after.enqueue(SECRET, 7))
    only_new = opens(NEW)
    declare_counted(only_new)
    with working(only_new.tools()):
        assert happens(lambda: only_new.history.count() == 5)
    assert sorted(ran) == [(SECRET, 1), (SECRET, 2), (SECRET, 7), (SECRET, 7), (SECRET, 7)]
    assert {one.id for one in jobs} == {one.id for one in only_new.history.list()}
    for one in only_new.history.list():
        assert one.payload.startswith(f"enc:v1:{Keyring(NEW).ids[0]}:")
        assert one.arguments == "[encrypted]"
        assert only_new.history.arguments(one.id, reveal=True)["card"] == "[redacted]"


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[TomQueue]:
    """Give an application that encrypts everything."""
    tq = TomQueue(f"sqlite:///{tmp_path / 'jobs.db'}", encryption_keys=NEW, encrypt=True)
    yield tq
    tq.close()


def test_every_kind_of_job_is_encrypted(vault: TomQueue, tmp_path: Path) -> None:
    """Functions, classes, methods, periodic and atomic ones, one by one or many: nothing of it is in the file."""
    tq, ran = vault, list[Any]()
    send = declare(tq, ran)

    @tq.job(name="Mail")
    @dataclass
    class Mail:
        text: str

        def process(self) -> None:
            ran.append(self.text)

    @tq.target(name="Card")
    @dataclass
    class Card:
        number: str

        def charge(self, pin: str) -> None:
            ran.append((self.number, pin))

    @tq.job(name="tick", every=timedelta(hours=1))
    def tick(secret: str = SECRET) -> None:
        ran.append(secret)

    @tq.job(name="atomic", atomic=True)
    def atomic(secret: str) -> None:
        ran.append(secret)

    jobs = [
        send.enqueue(SECRET), tq.enqueue(Mail(SECRET)), tq.delay(Card(SECRET)).charge(f"{SECRET}1"),
        *tq.enqueue_many([send.prepare(SECRET, 2), tq.prepare(Mail(SECRET))]), tq.enqueue(tick.without_arguments()),
        atomic.enqueue(SECRET),
    ]  # fmt: skip
    assert all(job.payload.startswith("enc:v1:") and job.arguments == "[encrypted]" for job in jobs)
    assert tq.jobs.arguments(jobs[2].id, reveal=True) == {
        "target": {"number": SECRET},
        "arguments": {"pin": f"{SECRET}1"},
    }
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"enc:v1:" in files
    assert SECRET.encode() not in files
    work(tq)
    expected = [(SECRET, 1), SECRET, (SECRET, f"{SECRET}1"), (SECRET, 2), SECRET, SECRET, SECRET]
    assert ran == expected
    tq.delay_jobs = False
    inline = send.enqueue("here and now")
    assert ran[-1] == ("here and now", 1)
    assert inline.arguments == {"card": "here and now"}


def test_a_changed_payload_is_parked(vault: TomQueue, caplog: pytest.LogCaptureFixture) -> None:
    """So is one of another job's row, which a person may have put there; the log quotes nothing."""
    ran: list[Any] = []
    pay = declare(vault, ran)
    vault.job(name="refund")(lambda card, number=1: ran.append("refunded"))
    changed, moved = pay.enqueue(SECRET), pay.enqueue(SECRET)
    change(vault, changed.id, payload=f"{changed.payload[:-4]}AAAA")
    change(vault, moved.id, name="refund")
    work(vault)
    assert [vault.jobs.get(job.id).state for job in (changed, moved)] == [State.PARKED, State.PARKED]
    assert "or are of a job of another name" in str(vault.jobs.get(moved.id).last_error)
    assert ran == []
    assert SECRET not in caplog.text


def test_what_was_enqueued_before_and_after_is_read(vault: TomQueue, tmp_path: Path) -> None:
    """The row says whether it is encrypted, not the declaration: deploys overlap."""
    ran: list[Any] = []
    pay = declare(vault, ran)
    plain = pay.enqueue(SECRET, 1)
    change(vault, plain.id, payload='{"card":"from before","number":1}')
    pay.enqueue(SECRET, 2)
    unreadable = pay.enqueue(SECRET, 3)
    change(vault, unreadable.id, payload=vault.keyring.seal("pay", '{"card":7,"hunter2":1}'))
    other = TomQueue(f"sqlite:///{tmp_path / 'jobs.db'}", encryption_keys=NEW)

    @other.job(name="pay")
    def not_encrypted_any_more(card: str, number: int = 1) -> None:
        ran.append((card, number))

    work(other)
    other.close()
    assert ran == [("from before", 1), (SECRET, 2)]
    assert vault.jobs.get(unreadable.id).state is State.PARKED
    assert SECRET not in str(vault.jobs.get(unreadable.id).last_error)


def test_the_size_is_that_of_the_arguments(tmp_path: Path) -> None:
    """Not of what is stored: encryption makes no job too large."""
    tq = TomQueue(f"sqlite:///{tmp_path / 'jobs.db'}", encryption_keys=NEW, max_payload_bytes=40)
    pay = declare(tq, [])
    assert len(pay.enqueue("x" * 20).payload) > 40
    tq.close()


def test_news_of_an_encrypted_job_tells_nothing(vault: TomQueue) -> None:
    """The checksum is of what is stored, which is another for the same arguments each time."""
    kit = on_own_database(vault)
    pay = declare(vault, [])
    with kit.lose_news() as lost:
        one, two = pay.enqueue(SECRET), pay.enqueue(SECRET)
    for job, news in zip((one, two), lost.notifications, strict=True):
        assert news.checksum == checksum_of(job.id, job.queue, job.priority.rank, job.name, row(vault, job.id).payload)
    assert one.payload != two.payload


def test_the_testing_kit_reads_everything(vault: TomQueue) -> None:
    """A test may see what nobody else does: what is encrypted, and what is redacted."""
    ran: list[Any] = []
    pay = declare(vault, ran)

    @vault.job(name="login", encrypt=False, redact=("password",))
    def login(name: str, password: str) -> None:
        ran.append(password)

    def look(kit: Any) -> None:
        pay.enqueue(SECRET, 2)
        login.enqueue("Ada", SECRET)
        assert kit.assert_enqueued(pay, (SECRET, 2), count=1)[0].arguments == {"card": SECRET, "number": 2}
        assert kit.assert_enqueued(login, {"password": SECRET})[0].arguments == {"name": "Ada", "password": SECRET}
        kit.assert_not_enqueued(login, {"password": "other"})
        with pytest.raises(AssertionError, match=SECRET):
            kit.assert_enqueued(pay, ("other",))
        assert [one.arguments for one in kit.drain()] == [
            {"card": SECRET, "number": 2}, {"name": "Ada", "password": SECRET},
        ]  # fmt: skip

    look(on_own_database(vault))
    with vault.tools().store.own_engine().connect() as connection, connection.begin() as transaction:
        with in_transaction(vault, connection) as kit:
            look(kit)
        transaction.rollback()
    assert ran == [(SECRET, 2), SECRET] * 2
