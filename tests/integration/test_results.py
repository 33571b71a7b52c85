"""Results: what a job returned, for whoever waits for it; and the history of jobs that succeeded."""

import asyncio
import dataclasses
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from tests.harness import Reporter, change, make_app, make_due, row, work
from tomqueue import Discard, JobContext, JobFailed, ResultTimeout, State, TomQueue, chain
from tomqueue.errors import DefinitionError, JobNotFound, ResultNotKept, SettingsError
from tomqueue.store.migrate import migrate


@dataclasses.dataclass
class Report:
    """What a job may return."""

    month: str
    at: datetime


NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def test_the_result_is_what_was_returned(tq: TomQueue) -> None:
    """As the type that the job declares, from the job that was enqueued, one that was read, and by id."""

    @tq.job(result_ttl=timedelta(hours=1))
    def report(month: str) -> Report:
        return Report(month, NOON)

    job = report.enqueue("may")
    read = tq.jobs.get(job.id)
    work(tq)
    expected = Report("may", NOON)
    assert job.result(timeout=0) == read.result(timeout=0) == tq.results.get(job.id, timeout=0) == expected
    assert asyncio.run(job.aresult(timeout=timedelta(0))) == expected
    assert row(tq, job.id) is None


def test_every_kind_of_job_has_a_result(tq: TomQueue) -> None:
    """An async one, an atomic one, a class, one with the context, one that returns nothing."""

    @tq.job(result_ttl=60)
    async def asynchronous() -> int:
        await asyncio.sleep(0)
        return 1

    @tq.job(result_ttl=60, atomic=True)
    def atomic(ctx: JobContext) -> int:
        ctx.connection.exec_driver_sql("CREATE TABLE written (number INTEGER)")
        return 2

    @tq.job(result_ttl=60)
    @dataclasses.dataclass
    class Sum:
        numbers: list[int]

        def process(self) -> int:
            return sum(self.numbers)

    @tq.job(result_ttl=60)
    def nothing() -> None: ...

    jobs = [asynchronous.enqueue(), atomic.enqueue(), tq.enqueue(Sum([1, 2])), *tq.enqueue_many([nothing.prepare()])]
    work(tq)
    assert [job.result(timeout=0) for job in jobs] == [1, 2, 3, None]


def test_the_jobs_of_a_workflow_have_results(tq: TomQueue) -> None:
    """Those that its enqueue returned, and those that are looked up."""

    @tq.job(result_ttl=60)
    def double(number: int) -> int:
        return 2 * number

    workflow = tq.enqueue(chain(double.prepare(1), double.prepare(2)))
    read = tq.workflows.jobs(workflow.id)
    work(tq)
    assert [job.result(timeout=0) for job in (*workflow.jobs, *read)] == [2, 4, 2, 4]


def test_a_result_that_no_database_takes_ends_the_job_too(postgres_url: str) -> None:
    """Its work is done: what is kept is why there is no result, in words that can be stored."""
    tq = TomQueue(postgres_url)
    store = tq.bare_store()
    migrate(store.engine, store.tables)
    store.close()

    class Closed(msgspec.Struct, forbid_unknown_fields=True):
        name: str

    @tq.job(name="report", result_ttl=60)
    def report() -> Closed:
        return {"a\x00b": 1}  # type: ignore[return-value] # what is wrong with it

    job = report.enqueue()
    work(tq)
    with pytest.raises(ResultNotKept, match=r"unknown field `a\\x00b`"):
        job.result(timeout=0)
    tq.close()


def test_a_method_that_is_called_later_has_a_result(tq: TomQueue) -> None:
    """As its declaration says."""

    @tq.target(name="Account")
    @dataclasses.dataclass
    class Account:
        number: int

        @tq.handle_asynchronously(result_ttl=60, keep_completed=True)
        def doubled(self) -> int:
            return 2 * self.number

    job = Account(4).doubled()
    work(tq)
    assert job.result(timeout=0) == 8
    assert tq.history.get(job.id).name == "Account.doubled"


def test_who_waits_is_woken(tq: TomQueue) -> None:
    """A thread and a task wait while a worker runs the job; the event loop goes on."""
    begin = threading.Event()

    @tq.job(result_ttl=60)
    def wait() -> str:
        assert begin.wait(20)
        return "done"

    async def both() -> list[Any]:
        job = await wait.aenqueue()
        waiting = asyncio.gather(job.aresult(20), asyncio.to_thread(job.result, 20))
        await asyncio.sleep(0)
        begin.set()
        return list(await waiting)

    with tq.start_worker():
        assert asyncio.run(both()) == ["done", "done"]


def test_patience_ends(tq: TomQueue) -> None:
    """With an error that is a TimeoutError; the job goes on."""

    @tq.job(result_ttl=60)
    def wait() -> None: ...

    job = wait.enqueue()
    with pytest.raises(ResultTimeout, match=f"job {job.id} has not ended within 0.05 s: it goes on") as told:
        job.result(timeout=0.05)
    assert isinstance(told.value, TimeoutError)
    with pytest.raises(ResultTimeout):
        asyncio.run(job.aresult(timeout=timedelta(seconds=0.05)))
    assert tq.jobs.get(job.id).state is State.READY


def test_a_job_that_fails_says_why(tq: TomQueue) -> None:
    """Who waits does not wait for ever; while it is to be retried it has not ended."""

    @tq.job(name="fail", result_ttl=60, max_attempts=2)
    def fail() -> None:
        raise OSError("no route")

    job = fail.enqueue()
    work(tq)
    with pytest.raises(ResultTimeout):
        job.result(timeout=0)
    make_due(tq, job.id)
    work(tq)
    with pytest.raises(JobFailed, match=f"job {job.id} fail failed: OSError: no route$") as told:
        job.result()
    assert told.value.state == "failed"
    assert (told.value.error or "").startswith("Traceback")


def test_a_job_that_is_discarded_and_deleted_says_why(tq: TomQueue) -> None:
    """Also where failed jobs are not kept."""

    @tq.job(name="drop", result_ttl=60, delete_failed_jobs=True)
    def drop() -> None:
        raise Discard("no such user")

    job = drop.enqueue()
    work(tq)
    assert row(tq, job.id) is None
    with pytest.raises(JobFailed, match="drop failed: no such user"):
        job.result()


@pytest.mark.parametrize(("end", "said"), [("cancel", "was cancelled: cancelled"), ("delete", "was deleted before")])
def test_a_job_that_a_person_ends_says_so(tq: TomQueue, end: str, said: str) -> None:
    """A waiting job that is cancelled, or deleted."""

    @tq.job(name="wait", result_ttl=60)
    def wait() -> None: ...

    job = wait.enqueue()
    getattr(tq.jobs, end)(job.id)
    with pytest.raises(JobFailed, match=said):
        job.result()


def test_a_job_without_result_ttl_says_what_to_do(tq: TomQueue) -> None:
    """At once, whether it waits, has ended, or was read."""

    @tq.job(name="plain")
    def plain() -> int:
        return 1

    job = plain.enqueue()
    asks: list[Callable[[], Any]] = [job.result, tq.jobs.get(job.id).result, lambda: tq.results.get(job.id)]
    for ask in asks:
        with pytest.raises(ResultNotKept, match=r"plain keeps no result: declare it with @tq.job\(result_ttl"):
            ask()
    work(tq)
    with pytest.raises(JobNotFound, match="no result of a job"):
        tq.results.get(job.id)


def circle() -> list[Any]:
    """Return a list that holds itself."""
    made: list[Any] = []
    made.append(made)
    return made


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "an object": (object, "object cannot travel as JSON"),
    "half a pair": (lambda: "\ud800", "half a surrogate pair"),
    "no number": (lambda: float("nan"), "NaN and infinity are not JSON"),
    "a circle": (circle, "contains itself"),
    "a time without annotation": (lambda: NOON, "a value of type datetime would come back as str"),
    "too large": (lambda: "x" * 2000, "2,002 bytes of JSON and the setting max_payload_bytes allows 1,000"),
}


@pytest.fixture
def small(tmp_path: Any) -> Iterator[TomQueue]:
    """Give an application whose payloads are small."""
    app = make_app(tmp_path / "jobs.db", max_payload_bytes=1000)
    yield app
    app.close()


@pytest.mark.parametrize("bad", BAD)
def test_a_result_that_cannot_be_kept_does_not_undo_the_work(small: TomQueue, bad: str) -> None:
    """The job has succeeded; the result says why it is missing, and the reporter as well."""
    make, why = BAD[bad]
    small.exception_reporter = reporter = Reporter()

    @small.job(name="make", result_ttl=60, keep_completed=True)
    def made():  # type: ignore[no-untyped-def] # noqa: ANN202 - what is returned is unknown
        return make()

    job = made.enqueue()
    work(small)
    assert small.history.get(job.id).attempts == 1
    with pytest.raises(ResultNotKept, match=f"job {job.id} make succeeded, but there is no result: .*{why}"):
        job.result()
    (error,) = reporter.errors
    assert why in str(error)


def test_a_result_of_another_type_is_told(tq: TomQueue, reporter: Reporter) -> None:
    """The annotation is what is kept."""

    @tq.job(result_ttl=60)
    def number() -> int:
        return "one"  # type: ignore[return-value] # as programs do

    job = number.enqueue()
    work(tq)
    with pytest.raises(ResultNotKept, match="Expected `int`, got `str`"):
        job.result()
    assert len(reporter.errors) == 1


def test_what_cannot_work_is_refused_where_it_is_declared(tq: TomQueue) -> None:
    """A return annotation that is no JSON, and durations that are none."""
    with pytest.raises(DefinitionError, match="look: it returns Thread, which cannot be kept as JSON: return its key"):

        @tq.job(name="look", result_ttl=60)
        def look() -> threading.Thread:
            raise NotImplementedError

    @tq.job(name="look")
    def unkept() -> threading.Thread:
        raise NotImplementedError

    with pytest.raises(DefinitionError, match="result_ttl=0 must be between"):
        tq.job(name="zero", result_ttl=0)(lambda: None)
    with pytest.raises(DefinitionError, match="keep_completed='ever' must be True, False, or how long"):
        tq.job(name="ever", keep_completed="ever")(lambda: None)  # type: ignore[call-overload]
    with pytest.raises(SettingsError, match="keep_completed=-1"):
        TomQueue("sqlite:///jobs.db", keep_completed=-1)


def test_a_result_of_a_job_that_is_unknown_here_is_plain_json(tq: TomQueue) -> None:
    """Who asks need not know the job; one that knows another type says so."""

    @tq.job(name="report", result_ttl=60)
    def report() -> Report:
        return Report("may", NOON)

    job = report.enqueue()
    work(tq)
    url = tq.settings.database_url
    other = TomQueue(url)
    assert other.results.get(job.id) == {"month": "may", "at": "2030-01-01T12:00:00Z"}

    @other.job(name="report", result_ttl=60)
    def changed() -> int:
        raise NotImplementedError

    with pytest.raises(ResultNotKept, match="its result is not what it declares here"):
        other.results.get(job.id)
    other.close()


def test_a_row_from_before_the_option_has_no_result(tq: TomQueue) -> None:
    """The row decides, as everywhere; a worker that does not know the option yet says so."""

    @tq.job(name="report")
    def report() -> int:
        return 1

    job = report.enqueue()
    change(tq, job.id, result_ttl=60_000_000, tied=True)
    work(tq)
    with pytest.raises(ResultNotKept, match="the worker that ran it did not know of its result_ttl"):
        tq.results.get(job.id)


def test_inline_the_result_is_known_at_once(tq: TomQueue, reporter: Reporter) -> None:
    """It makes the same journey through JSON."""
    tq.delay_jobs = False

    @tq.job(result_ttl=60)
    def pair() -> Any:
        return (1, 2)

    @tq.job(name="bad", result_ttl=60)
    def bad() -> Any:
        return object()

    @tq.job
    def plain() -> int:
        return 1

    assert pair.enqueue().result() == [1, 2]
    assert asyncio.run(pair.enqueue().aresult()) == [1, 2]
    with pytest.raises(ResultNotKept, match="bad succeeded, but what it returned cannot be kept"):
        bad.enqueue().result()
    with pytest.raises(ResultNotKept, match="keeps no result"):
        plain.enqueue().result()
    assert len(reporter.errors) == 1


# History ------------------------------------------------------------------------------------------------


def test_the_setting_keeps_the_history_of_all_and_a_job_may_differ(tmp_path: Any) -> None:
    """For so long, for good, or not at all."""
    tq = make_app(tmp_path / "jobs.db", keep_completed=3600)

    @tq.job(name="usual")
    def usual(number: int) -> None: ...

    @tq.job(name="ever", keep_completed=True)
    def ever() -> None: ...

    @tq.job(name="never", keep_completed=False)
    def never() -> None: ...

    @tq.job(name="days", keep_completed=timedelta(days=2))
    def days() -> None: ...

    jobs = [usual.enqueue(7), ever.enqueue(), never.enqueue(), days.enqueue()]
    work(tq)
    kept = {job.name: job for job in tq.history.list()}
    assert list(kept) == ["days", "ever", "usual"]
    assert kept["usual"].arguments == {"number": 7}
    spans = {name: job.expires_at and job.expires_at - job.finished_at for name, job in kept.items()}
    assert spans == {"usual": timedelta(hours=1), "ever": None, "days": timedelta(days=2)}
    assert (tq.history.count(), tq.history.count(name="ever")) == (3, 1)
    with pytest.raises(JobNotFound, match="is not kept"):
        tq.history.get(jobs[2].id)
    tq.close()


def test_the_errors_of_every_attempt_are_kept(tq: TomQueue) -> None:
    """While the job is there, and beside its history."""

    @tq.job(keep_completed=True)
    def flaky(ctx: JobContext) -> None:
        if ctx.attempt < 3:
            raise OSError(f"no route {ctx.attempt}")

    job = flaky.enqueue()
    for _ in range(3):
        make_due(tq, job.id)
        work(tq)
    first, second = tq.history.errors(job.id)
    assert (first.attempt, second.attempt) == (1, 2)
    assert "OSError: no route 1" in first.error
    assert "OSError: no route 2" in second.error
    assert tq.jobs.errors(job.id) == [first, second]
