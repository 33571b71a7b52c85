"""Workers inside the application's own process: work_off, and start_worker."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness import PATIENCE, Reporter, happens, make_app, record_events, row, store_of
from tomqueue import Discard, JobContext, JobInterrupted, Retry, Snooze, State, TomQueue
from tomqueue.daemon.in_process import InProcessWorker
from tomqueue.errors import LeaseLost, SettingsError
from tomqueue.settings import Settings
from tomqueue.stack import Layer
from tomqueue.store.leases import Leases
from tomqueue.store.migrate import migrate
from tomqueue.store.open import open_store
from tomqueue.worker.attempt import Attempt


def leases_of(tq: TomQueue) -> Leases:
    """Return the leases of an application's workers."""
    return Leases(store_of(tq))


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def anywhere(request: pytest.FixtureRequest) -> Iterator[TomQueue]:
    """Give an application on one kind of database after the other."""
    url = str(request.getfixturevalue(f"{request.param}_url"))
    store = open_store(Settings(database_url=url))
    migrate(store.engine, store.tables)
    store.close()
    tq = TomQueue(url)
    yield tq
    tq.close()


def test_it_works_off_what_is_ready_on_every_database(anywhere: TomQueue) -> None:
    """It runs everything in this very thread, most urgent first, counts how it ended, and leaves no lease behind."""
    tq, ran = anywhere, []

    @tq.job
    def note(number: int) -> None:
        ran.append((number, threading.current_thread()))

    @tq.job(max_attempts=1)
    def fail() -> None:
        raise ValueError("as it must")

    for number in range(3):
        note.enqueue(number)
    note.using(priority="high").enqueue(9)
    fail.enqueue()
    assert tq.work_off() == (4, 1)
    assert ran == [(number, threading.current_thread()) for number in (9, 0, 1, 2)]
    assert [job.state for job in tq.jobs.list()] == [State.FAILED]
    assert leases_of(tq).all() == []
    assert tq.work_off() == (0, 0)


def test_a_worker_of_this_process_runs_jobs_on_every_database(anywhere: TomQueue) -> None:
    """It has a lease while it runs, and none afterwards."""
    tq, ran = anywhere, threading.Event()

    @tq.job
    def note() -> None:
        ran.set()

    with tq.start_worker() as worker:
        (lease,) = leases_of(tq).all()
        assert lease.name.endswith(f"pid:{os.getpid()} (in process)")
        note.enqueue()
        assert ran.wait(PATIENCE)
        assert happens(lambda: tq.jobs.count() == 0)
    assert not worker.running
    assert leases_of(tq).all() == []


def test_n_bounds_what_is_run(tq: TomQueue) -> None:
    """What was claimed ahead of the bound is given back, uncharged, and keeps its place."""

    @tq.job
    def note(number: int) -> None: ...

    jobs = [note.enqueue(number) for number in range(10)]
    assert tq.work_off(4) == (4, 0)
    left = tq.jobs.list()
    assert [job.id for job in left] == [job.id for job in jobs[4:]]
    assert {(job.state, job.attempts) for job in left} == {(State.READY, 0)}


def test_verdicts_are_counted_as_what_they_are(tq: TomQueue) -> None:
    """Retry and Discard are failed attempts, Snooze is no attempt."""

    @tq.job
    def decide(verdict: str) -> None:
        raise {"retry": Retry(delay=60), "snooze": Snooze(60), "discard": Discard("enough")}[verdict]

    for verdict in ("retry", "snooze", "discard"):
        decide.enqueue(verdict)
    assert tq.work_off() == (0, 2)


def test_only_the_named_queues(tq: TomQueue) -> None:
    """The others are left alone."""

    @tq.job
    def note() -> None: ...

    note.using(queue="a").enqueue()
    other = note.using(queue="b").enqueue()
    assert tq.work_off(queues=["a"]) == (1, 0)
    assert [job.id for job in tq.jobs.list()] == [other.id]


@pytest.mark.parametrize("call", [
    lambda tq: tq.work_off(0), lambda tq: tq.start_worker(threads=0), lambda tq: tq.start_worker(threads=1000),
    lambda tq: tq.work_off(queues=["no such name!"]),
])  # fmt: skip
def test_numbers_and_names_that_cannot_be(tq: TomQueue, call: Callable[[TomQueue], object]) -> None:
    """They are refused where they are written, and nothing is begun."""
    with pytest.raises(SettingsError):
        call(tq)
    assert leases_of(tq).all() == []


@pytest.mark.parametrize("came", [KeyboardInterrupt, GeneratorExit, pytest.fail.Exception])
def test_what_comes_from_outside_of_a_job_reaches_the_caller(tq: TomQueue, came: type[BaseException]) -> None:
    """The job that ran then is given back, uncharged; Ctrl-C is no failure of its."""

    @tq.job
    def note() -> None:
        raise came

    job = note.enqueue()
    note.enqueue()
    with pytest.raises(came):
        tq.work_off()
    assert [(one.id, one.attempts) for one in tq.jobs.list(state="ready")] == [(job.id, 0), (job.id + 1, 0)]
    assert leases_of(tq).all() == []


def test_an_async_job_that_is_cancelled_has_failed(tq: TomQueue) -> None:
    """CancelledError is no Exception, and all the same the job's own."""

    @tq.job
    async def cancelled() -> None:
        raise asyncio.CancelledError

    cancelled.enqueue()
    assert tq.work_off() == (0, 1)


def test_an_interrupt_between_two_jobs_leaves_nothing_claimed(tq: TomQueue) -> None:
    """It may come anywhere in this thread, here in an observer's place; what is claimed is given back."""

    @tq.job
    def note() -> None: ...

    for _ in range(5):
        note.enqueue()
    tq.worker_layers.insert(interrupt_the_third(), before="Pop")
    with pytest.raises(KeyboardInterrupt):
        tq.work_off()
    assert {(one.state, one.attempts) for one in tq.jobs.list()} == {(State.READY, 0)}
    assert leases_of(tq).all() == []


def interrupt_the_third() -> Layer[Attempt, bool]:
    """Return a layer in which Ctrl-C comes at the third turn."""
    turns = iter(range(100))

    def layer(attempt: Attempt, proceed: Callable[[Attempt], bool]) -> bool:
        if next(turns) == 2:
            raise KeyboardInterrupt
        return proceed(attempt)

    return layer


def test_the_alarm_of_the_application_stays_its_own(tq: TomQueue) -> None:
    """No signal handler is touched: a test runner's time-out, or the application's, is heard during a job."""
    heard: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _frame: heard.append(number))
    try:

        @tq.job
        def note() -> None:
            os.kill(os.getpid(), signal.SIGALRM)

        note.enqueue()
        assert tq.work_off() == (1, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert heard == [signal.SIGALRM]


def test_a_job_may_run_too_long_in_a_thread_that_runs_python(tq: TomQueue) -> None:
    """JobTimeout is raised in it all the same."""

    @tq.job(max_run_time=0.1, max_attempts=1)
    def spin() -> None:
        while True:
            pass

    job = spin.enqueue()
    assert tq.work_off() == (0, 1)
    assert "JobTimeout" in tq.jobs.get(job.id).last_error  # type: ignore[operator]


def test_stop_gives_back_what_runs_longer_than_the_grace_time(tmp_path: Path) -> None:
    """It is interrupted, may clean up, and is not charged (I8)."""
    tq = make_app(tmp_path / "jobs.db", grace=2.5)
    began, cleaned = threading.Event(), threading.Event()

    @tq.job
    def wait() -> None:
        began.set()
        try:
            while True:
                pass
        except JobInterrupted:
            cleaned.set()
            raise

    job = wait.enqueue()
    worker = tq.start_worker()
    assert began.wait(PATIENCE)
    assert worker.stop()
    assert cleaned.is_set()
    after = tq.jobs.get(job.id)
    assert (after.state, after.attempts, after.crashes) == (State.READY, 0, 0)
    tq.close()


def test_a_job_that_hangs_cannot_be_killed_and_keeps_its_claim(tmp_path: Path) -> None:
    """``stop`` says so; the lease goes on, so that nobody runs the job a second time beside it."""
    tq = make_app(tmp_path / "jobs.db", grace=0.1)
    began, let_go = threading.Event(), threading.Event()

    @tq.job
    def hang() -> None:
        began.set()
        while not let_go.is_set():
            with suppress(JobInterrupted):
                let_go.wait(0.05)

    job = hang.enqueue()
    worker = tq.start_worker()
    assert began.wait(PATIENCE)
    assert not worker.stop(timeout=0.5)
    assert worker.running
    assert tq.jobs.get(job.id).state is State.RUNNING
    assert len(leases_of(tq).all()) == 1
    let_go.set()
    assert happens(lambda: not worker.running)
    assert leases_of(tq).all() == []
    tq.close()


def test_after_a_lost_lease_another_begins(tq: TomQueue) -> None:
    """Its job is interrupted and its outcome is never written; the next lease takes jobs again."""
    attempts: list[int] = []
    began = threading.Event()

    @tq.job
    def wait(ctx: JobContext) -> None:
        attempts.append(ctx.attempt)
        began.set()
        while len(attempts) == 1:
            pass

    tq.exception_reporter = reporter = Reporter()
    job = wait.enqueue()
    with tq.start_worker():
        assert began.wait(PATIENCE)
        worker = row(tq, job.id).locked_by
        leases = leases_of(tq)
        assert leases.bury(worker, 20.0, known_dead=True)  # as another one's sweep would
        leases.free_all(worker)
        leases.remove(worker)
        assert happens(lambda: tq.jobs.count() == 0)
    assert attempts == [1, 1]  # the second is no retry: the first was given back by whoever took the lease
    assert any(isinstance(error, LeaseLost) for error in reporter.errors)


def test_several_threads(tq: TomQueue) -> None:
    """As many jobs run at a time; all of them end at stop."""
    together = threading.Barrier(3)

    @tq.job
    def meet() -> None:
        together.wait(PATIENCE)

    for _ in range(3):
        meet.enqueue()
    with tq.start_worker(threads=3) as worker:
        assert happens(lambda: tq.jobs.count() == 0)
    assert not worker.running


def test_on_sqlite_the_kernel_says_that_it_lives(tq: TomQueue, tmp_path: Path) -> None:
    """A sweep of another supervisor leaves its rows alone while it lives, and a child that it forks does not count."""
    worker = tq.start_worker()
    (lease,) = leases_of(tq).all()
    locks = store_of(tq).live_locks()
    assert locks is not None
    assert locks.is_held(lease.supervisor)
    reader, writer = os.pipe()
    child = fork_that_waits(reader, writer)
    worker.stop()
    assert not locks.is_held(lease.supervisor)
    assert not list(tmp_path.glob("*.lock"))
    os.write(writer, b"x")
    os.waitpid(child, 0)
    os.close(reader)
    os.close(writer)


def fork_that_waits(reader: int, writer: int) -> int:
    """Fork a child that lives until somebody writes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    return child


def test_the_events_are_those_of_any_worker(tq: TomQueue) -> None:
    """An observer need not know where a job ran."""
    seen = record_events(tq)

    @tq.job
    def note() -> None: ...

    note.enqueue()
    tq.work_off()
    assert seen == ["job.enqueued", "worker.started", "job.started", "job.finished", "worker.stopped"]


def test_a_second_stop_is_harmless(tq: TomQueue) -> None:
    """Also one before anything ran."""
    worker = tq.start_worker()
    assert isinstance(worker, InProcessWorker)
    assert worker.stop()
    assert worker.stop()


def test_an_application_that_forgets_to_stop_it_ends_all_the_same(tmp_path: Path) -> None:
    """Its worker is drained at the end of the program, and its jobs are not lost."""
    program = (
        "import sys; from tomqueue import TomQueue\n"
        "tq = TomQueue(sys.argv[1])\n"
        "@tq.job(name='note')\n"
        "def note(): print('ran', flush=True)\n"
        "worker = tq.start_worker(threads=2)\n"
        "note.enqueue()\n"
        "while tq.jobs.count(): pass\n"
    )
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    done = subprocess.run(
        [sys.executable, "-c", program, url], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr
    assert not list(tmp_path.glob("*.lock"))


def test_the_publisher_of_the_application_stays_open(rabbitmq_url: str, rabbitmq_prefix: str, tmp_path: Path) -> None:
    """A worker closes its publisher at its end: in one process that must be its own."""
    tq = make_app(tmp_path / "jobs.db", broker_url=rabbitmq_url, prefix=rabbitmq_prefix)

    @tq.job
    def note() -> None: ...

    note.enqueue()
    assert tq.work_off() == (1, 0)
    note.enqueue()
    assert tq.tools().publisher.flush(PATIENCE) == 0
    with tq.start_worker():
        assert happens(lambda: tq.jobs.count() == 0)
    note.enqueue()
    assert tq.tools().publisher.connect(PATIENCE)
    tq.close()
