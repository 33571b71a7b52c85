"""Conformance of the catalog: what a person asks of the jobs gives the same answers on every database."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from tests.conformance.jobs import FUTURE, HIGH, PAST, ago, change, insert, names, new, row, take, want
from tomqueue.errors import JobNotFound, JobStateError
from tomqueue.job import State
from tomqueue.priority import Priority
from tomqueue.settings import Settings
from tomqueue.store.base import Release
from tomqueue.store.catalog import Catalog, Filter
from tomqueue.store.open import open_store
from tomqueue.store.parked import unpark
from tomqueue.store.sql import SqlStore
from tomqueue.store.stats import StatsRow


@pytest.fixture
def in_each_state(store: SqlStore) -> dict[State, int]:
    """Give one job in each state: the first columns of each row say more than one thing, the order decides."""
    ids = dict(zip(State, insert(store, *(new(str(state)) for state in State)), strict=True))
    change(store, ids[State.FAILED], failed_at=PAST, parked_at=PAST, run_at=FUTURE)
    change(store, ids[State.RUNNING], locked_by=9, claim_token=9, parked_at=PAST)
    change(store, ids[State.HELD], held=True, parked_at=PAST)
    change(store, ids[State.PARKED], parked_at=PAST, run_at=FUTURE)
    change(store, ids[State.SCHEDULED], run_at=FUTURE, announced_at=None)
    return ids


def test_a_job_is_read_as_it_is(store: SqlStore, catalog: Catalog) -> None:
    """Every column of the row is on the job, times aware and in UTC."""
    (inserted,) = store.insert([new("greet", "mail", HIGH, payload='["😀"]', max_attempts=3, expires_at=FUTURE)])
    take(store, want("mail", worker=5))
    change(store, inserted.id, last_error="é😀", unique_key="key", suspect=True, crashes=1)
    job = catalog.get(inserted.id)
    assert (job.id, job.queue, job.priority, job.name) == (inserted.id, "mail", Priority.HIGH, "greet")
    assert (job.arguments, job.max_attempts, job.attempts, job.crashes) == (["😀"], 3, 1, 1)
    assert (job.run_at, job.created_at, job.expires_at) == (inserted.run_at, inserted.created_at, FUTURE)
    assert (job.state, job.locked_by, job.suspect, job.held) == (State.RUNNING, 5, True, False)
    assert (job.last_error, job.unique_key) == ("é😀", "key")
    assert job.run_at.utcoffset() == timedelta()


def test_a_job_that_is_gone_is_not_found(catalog: Catalog) -> None:
    """Whatever is asked of a job that is not there says so."""
    for ask in (catalog.get, catalog.retry, catalog.cancel, catalog.delete):
        with pytest.raises(JobNotFound, match="17"):
            ask(17)


def test_each_state_is_found_and_counted(catalog: Catalog, in_each_state: dict[State, int]) -> None:
    """A job is in one state only: by get, find and count alike."""
    for state, job_id in in_each_state.items():
        assert catalog.get(job_id).state is state
        assert [job.id for job in catalog.find(Filter(state=state))] == [job_id]
        assert catalog.count(Filter(state=state)) == 1
    (queue,) = catalog.queues.all()
    assert queue.counts == dict.fromkeys(State, 1)


def test_jobs_are_found_by_queue_name_and_age(store: SqlStore, catalog: Catalog) -> None:
    """Conditions add up; all of them count and find the same."""
    old, young, other = insert(store, new("a", "x"), new("a", "x"), new("b", "y"))
    change(store, old, created_at=ago(store, 100))
    for which, expected in [
        (Filter(queue="x"), [old, young]),
        (Filter(name="b"), [other]),
        (Filter(older_than=timedelta(seconds=50)), [old]),
        (Filter(queue="x", name="b"), []),
        (Filter(), [old, young, other]),
    ]:
        assert [job.id for job in catalog.find(which)] == expected
        assert catalog.count(which) == len(expected)


def test_many_jobs_are_found_in_pieces(store: SqlStore, catalog: Catalog) -> None:
    """More jobs than a piece come once each in the order of their ids, from a given one on and up to a limit."""
    ids = insert(store, *(new() for _ in range(1201)))
    assert [job.id for job in catalog.find(Filter())] == ids
    assert [job.id for job in catalog.find(Filter(), limit=501, after=ids[99])] == ids[100:601]
    assert [job.id for job in catalog.find(Filter(), limit=0)] == []


@pytest.mark.parametrize("state", [State.FAILED, State.PARKED, State.SCHEDULED, State.READY])
def test_a_retried_job_runs_again(
    store: SqlStore, catalog: Catalog, in_each_state: dict[State, int], state: State
) -> None:
    """A retry gives all attempts back and makes the job due: announced, it is taken."""
    job_id = in_each_state[state]
    change(store, job_id, attempts=25, crashes=3, parks=9, suspect=True, expires_at=PAST)
    job = catalog.retry(job_id)
    assert (job.attempts, job.crashes, job.parks, job.suspect, job.expires_at) == (0, 0, 0, False, None)
    assert job.announced_at is job.failed_at is job.parked_at is None
    store.announce()
    assert job_id in {claimed.id for claimed in take(store)}


def test_a_cancelled_job_is_kept(store: SqlStore, catalog: Catalog, in_each_state: dict[State, int]) -> None:
    """A job that waits is failed with the reason; one that has failed says why not."""
    with pytest.raises(JobStateError, match="failed and cannot be cancelled"):
        catalog.cancel(in_each_state[State.FAILED])
    for state in (State.HELD, State.PARKED, State.SCHEDULED, State.READY):
        job = catalog.cancel(in_each_state[state], "not needed")
        assert (job.state, job.last_error, job.announced_at) == (State.FAILED, "not needed", None)


def test_a_running_job_cannot_be_retried_or_deleted(catalog: Catalog, in_each_state: dict[State, int]) -> None:
    """A running job belongs to its worker; a held one waits for something that a retry does not bring."""
    with pytest.raises(JobStateError, match="held"):
        catalog.retry(in_each_state[State.HELD])
    running = in_each_state[State.RUNNING]
    for refuse in (catalog.retry, catalog.delete):
        with pytest.raises(JobStateError, match="running"):
            refuse(running)
    catalog.delete(in_each_state[State.FAILED])
    assert catalog.delete_all(list(in_each_state.values())) == 4
    assert [job.id for job in catalog.find(Filter())] == [running]


def test_many_are_changed_at_once(catalog: Catalog, in_each_state: dict[State, int]) -> None:
    """The answer says how many allowed it."""
    ids = list(in_each_state.values())
    assert catalog.cancel_all(ids, "all") == 5  # the one that runs is asked to end
    assert catalog.count(Filter(state=State.FAILED)) == 5
    assert catalog.retry_all(ids) == 4  # not the one that is held, nor the one that runs
    assert catalog.retry_all([]) == catalog.cancel_all([]) == catalog.delete_all([]) == 0


def test_a_queue_can_be_paused(store: SqlStore, catalog: Catalog) -> None:
    """A pause says since when; the store itself still gives what the worker asks for."""
    insert(store, new(queue="a"), new(queue="b"))
    before = store.now()
    catalog.queues.pause("a")
    assert catalog.queues.states() == {"a": True, "b": False}
    paused = catalog.queues.all()[0].paused_at
    assert paused is not None
    assert before <= paused <= store.now()
    catalog.queues.resume("a")
    assert catalog.queues.states() == {"a": False, "b": False}
    assert names(take(store, want("a"))) == ["greet"]


def test_an_unknown_queue_is_not_found(store: SqlStore, catalog: Catalog) -> None:
    """A slip of the pen names the queues that there are."""
    insert(store, new(queue="mail"))
    with pytest.raises(JobNotFound, match="'mial'; known queues: mail"):
        catalog.queues.pause("mial")


def test_the_oldest_ready_job_is_of_a_queue_that_runs(store: SqlStore, catalog: Catalog) -> None:
    """Future, failed and paused jobs do not wait; of the others the oldest counts, announced or not."""
    assert catalog.queues.oldest_ready() is None
    insert(store, new(run_at=FUTURE), new(queue="paused", run_at=PAST))
    catalog.queues.pause("paused")
    assert catalog.queues.oldest_ready() is None
    oldest = ago(store, 100)
    insert(store, new(), new(run_at=oldest))
    assert catalog.queues.oldest_ready() == oldest


def test_a_starting_worker_releases_what_it_knows(store: SqlStore, catalog: Catalog) -> None:
    """Parked jobs of the given names are due at once; others, failed and claimed ones are left alone."""
    known, other, failed, fresh = insert(store, new("known"), new("other"), new("known"), new("known"))
    for token, job in enumerate((known, other)):
        store.claim([job], 1, token)
        back_off = store.now() + timedelta(minutes=4)
        store.finish([Release(id=job, token=token, attempts=0, parked=True, parks=1, run_at=back_off)])
    change(store, failed, failed_at=PAST, parked_at=PAST, announced_at=None)
    assert unpark(store, ["known", "more"]) == [(known, "default", 1)]
    assert unpark(store, ["known"]) == []
    assert [catalog.get(job).state for job in (known, other, failed, fresh)] == [
        State.READY,
        State.PARKED,
        State.FAILED,
        State.READY,
    ]
    store.announce()
    assert [claimed.id for claimed in take(store)] == [fresh, known]


def test_counters_add_up_by_minute(store: SqlStore, url: str) -> None:
    """Workers that count in the same minute, each in a process of its own, lose no count."""
    minute = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
    other = open_store(Settings(database_url=url))
    errors: list[Exception] = []

    def count(catalog: Catalog) -> None:
        try:
            for i in range(20):
                at = minute + timedelta(minutes=i % 2)
                catalog.stats.add([StatsRow(minute=at, queue=queue, finished=1, retried=2, failed=3) for queue in "ab"])
        except Exception as error:  # noqa: BLE001 - shown by the test
            errors.append(error)

    threads = [threading.Thread(target=count, args=(Catalog(of),)) for of in (store, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert errors == []
    found = Catalog(store).stats.since(minute)
    assert [(one.minute, one.finished, one.retried, one.failed) for one in found] == [
        (minute + timedelta(minutes=i), 20, 40, 60) for i in (0, 0, 1, 1)
    ]
    assert {one.queue for one in found} == {"a", "b"}
    assert len(Catalog(store).stats.since(minute + timedelta(seconds=1))) == 2


def test_a_row_is_read_while_another_transaction_writes_it(store: SqlStore, catalog: Catalog) -> None:
    """A look waits for nobody."""
    (job,) = insert(store, new())
    with store.engine.connect() as connection, connection.begin():
        connection.execute(store.tables.jobs.update().values(priority=0))
        assert catalog.get(job).priority is Priority.NORMAL
        assert row(store, job).priority == 1


def test_pieces_are_of_the_jobs_that_are_there(store: SqlStore, catalog: Catalog) -> None:
    """Every job that fits is in one piece; one that comes meanwhile is in none."""
    ids = insert(store, *(new("a" if i % 2 else "b") for i in range(1210)))
    pieces = catalog.pieces(Filter(name="a"))
    first = next(pieces)
    insert(store, new("a"))
    assert first + [job for piece in pieces for job in piece] == ids[1::2]


def test_the_jobs_ahead_are_counted(store: SqlStore, catalog: Catalog) -> None:
    """More urgent ones, and earlier ones of the same priority, of the same queue, are ahead."""
    high, first, second, _ = insert(store, new(priority=HIGH), new(), new(), new(queue="other", priority=HIGH))
    insert(store, new(delay=3600, priority=HIGH))
    assert [catalog.ahead(catalog.get(job)) for job in (high, first, second)] == [0, 1, 2]


def test_ready_jobs_are_counted_by_queue(store: SqlStore, catalog: Catalog) -> None:
    """Queues that are paused, and jobs that are not ready, do not count."""
    insert(store, new(queue="a"), new(queue="a"), new(queue="b"), new(queue="c", delay=3600))
    catalog.queues.pause("b")
    assert catalog.queues.ready_counts() == {"a": 2}


def test_old_counters_are_deleted_in_pieces(store: SqlStore, catalog: Catalog) -> None:
    """Those of minutes before a time, the oldest first; the answer says whether there may be more."""
    minute = store.now().replace(second=0, microsecond=0)
    minutes = [minute - timedelta(days=days) for days in (9, 8, 7, 0)]
    catalog.stats.add(
        [StatsRow(minute=at, queue=queue, finished=1, retried=0, failed=0) for at in minutes for queue in "ab"]
    )
    before = minute - timedelta(days=7, hours=12)
    assert catalog.stats.prune(before, 2) == 2
    assert [found.minute for found in catalog.stats.since(PAST)] == [at for at in minutes[1:] for _ in "ab"]
    assert catalog.stats.prune(before, 100) == 2
    assert catalog.stats.prune(before, 100) == 0
    assert [found.minute for found in catalog.stats.since(PAST)] == [at for at in minutes[2:] for _ in "ab"]
