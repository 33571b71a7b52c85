"""The kit on a database that commits: news that is lost, processes that die, and a file for one test."""

import pytest

from tests.harness import happens, row
from tomqueue import State, TomQueue
from tomqueue.errors import SettingsError
from tomqueue.store.leases import Leases
from tomqueue.testing import NotReached, on_own_database, on_temporary_database


def test_lost_news_loses_no_job(tq: TomQueue) -> None:
    """What was to be published is known to the test; a worker finds the job all the same."""
    kit = on_own_database(tq)

    @tq.job(name="note")
    def note() -> None: ...

    with kit.lose_news() as lost:
        job = note.enqueue()
        later = note.using(delay=60).enqueue()
    assert lost.jobs == [job.id]
    with tq.start_worker():
        assert happens(lambda: [one.id for one in kit.enqueued()] == [later.id])
    note.enqueue()
    assert lost.jobs == [job.id]


def test_a_crash_after_the_job_runs_it_once_more(tq: TomQueue) -> None:
    """The process is really dead, its job is charged as its supervisor would, and nothing is lost (I1, I7)."""
    kit = on_own_database(tq)

    @tq.job(name="note")
    def note() -> None: ...

    job, beside = note.enqueue(), note.enqueue()
    crash = kit.crash_at("worker.after_job")
    assert (crash.point, crash.running) == ("worker.after_job", (job.id,))
    found = tq.jobs.get(job.id)
    assert (found.state, found.attempts, found.crashes) == (State.READY, 1, 1)
    assert "SIGKILL" in (found.last_error or "")
    assert (tq.jobs.get(beside.id).attempts, row(tq, beside.id).locked_by) == (0, None)
    assert [(one.id, one.attempt) for one in kit.drain()] == [(job.id, 2), (beside.id, 1)]
    assert Leases(tq.tools().store).all() == []


@pytest.mark.parametrize(
    ("point", "times"),
    [("worker.after_claim", 1), ("store.before_commit", 3), ("worker.after_finish", 1), ("atomic.before_commit", 1)],
)
def test_a_crash_at_any_step_loses_nothing(tq: TomQueue, point: str, times: int) -> None:
    """Each job has run to its end when all is done, some of them twice; what is atomic counts once."""
    kit = on_own_database(tq)

    @tq.job(name="note", atomic=point.startswith("atomic"))
    def note() -> None: ...

    jobs = [note.enqueue().id for _ in range(5)]
    kit.crash_at(point, times=times)
    left = [job.id for job in kit.enqueued()]
    assert [one.id for one in sorted(kit.drain(), key=lambda one: one.id)] == left
    assert set(left) <= set(jobs)
    assert tq.jobs.count() == 0


def test_a_crash_in_an_enqueue(tq: TomQueue) -> None:
    """Before its commit there is no job, after it there is one."""
    kit = on_own_database(tq)

    @tq.job(name="note")
    def note() -> None: ...

    kit.crash_at("enqueue.before_commit", note.enqueue)
    kit.assert_not_enqueued(note)
    kit.crash_at("enqueue.after_commit", note.enqueue)
    kit.assert_enqueued(note, count=1)


def test_a_crash_that_did_not_come(tq: TomQueue, capfd: pytest.CaptureFixture[str]) -> None:
    """It is no crash that was survived; what went wrong in the process is shown."""
    kit = on_own_database(tq)
    with pytest.raises(NotReached, match=r"worker\.after_job was not reached .* status 0; no job was ready: .*commit"):
        kit.crash_at("worker.after_job")
    with pytest.raises(SettingsError, match=r"no crash point .* worker\.after_job"):
        kit.crash_at("worker.after_lunch")

    def broken() -> None:
        raise ValueError("as it must")

    with pytest.raises(NotReached, match="exited with status 1"):
        kit.crash_at("enqueue.after_commit", broken)
    assert "as it must" in capfd.readouterr().err
    assert Leases(tq.tools().store).all() == []


def test_a_job_that_hangs_in_the_process_that_is_to_die(tq: TomQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed after a while, and its rows are free."""
    kit = on_own_database(tq)

    @tq.job(name="hang")
    def hang() -> None:
        while True:
            pass

    hang.enqueue()
    monkeypatch.setattr("tomqueue.testing.crashing.WITHIN", 1.0)
    with pytest.raises(NotReached, match="hung, and was killed"):
        kit.crash_at("worker.after_job")
    assert [(job.state, job.attempts) for job in kit.enqueued()] == [(State.READY, 0)]


def test_a_temporary_database_keeps_away_from_the_applications() -> None:
    """Its server, schema and broker need not even be there; afterwards all is as before."""
    tq = TomQueue("postgresql://nowhere.invalid/x", schema="jobs", broker_url="amqp://nowhere.invalid/", max_attempts=7)

    @tq.job(name="note")
    def note() -> None: ...

    with on_temporary_database(tq) as kit:
        note.enqueue()
        assert tq.settings.max_attempts == 7
        assert len(kit.drain()) == 1
        with tq.start_worker():
            note.enqueue()
            assert happens(lambda: tq.jobs.count() == 0)
    assert tq.settings.database_url == "postgresql://nowhere.invalid/x"
    assert tq.settings.schema == "jobs"
