"""A job that this worker cannot read waits for one that can, and is never lost."""

from pathlib import Path

import pytest

from tests.harness import change, make_app, make_due, pause_of, record_events, row, work
from tomqueue import State, TomQueue


def declare(tq: TomQueue, ran: list[object]) -> int:
    """Declare a job and enqueue it."""

    @tq.job(name="greet")
    def greet(name: str) -> None:
        ran.append(name)

    return greet.enqueue("Ada").id


def test_an_unknown_name_is_parked(tmp_path: Path) -> None:
    """Uncharged, with a pause that grows; a worker that knows the name releases it as it starts."""
    new, ran = make_app(tmp_path / "jobs.db"), list[object]()
    job = declare(new, ran)
    old = make_app(tmp_path / "jobs.db")
    old.job(name="greets")(lambda: None)
    events = record_events(old)
    for parks, pause in enumerate((5, 10, 20), start=1):
        make_due(old, job)
        work(old)
        found = row(old, job)
        assert (found.parks, found.attempts, found.locked_by) == (parks, 0, None)
        assert pause_of(old, job) == pytest.approx(pause, abs=1)
    parked = old.jobs.get(job)
    assert parked.state is State.PARKED
    assert "did you mean 'greets'?" in str(parked.last_error)
    assert events.count("job.parked") == 3
    work(new)
    assert ran == ["Ada"]
    assert row(new, job) is None
    old.close()
    new.close()


def test_a_starting_worker_takes_what_it_releases(tmp_path: Path) -> None:
    """Before others hear of it, who would only park it again; but nothing of a queue that it does not serve."""
    new, old, ran = make_app(tmp_path / "jobs.db"), make_app(tmp_path / "jobs.db"), list[object]()
    job, other = declare(new, ran), declare(new, ran)
    work(old)
    change(new, other, queue="other")
    claimed: list[bool] = []
    new.on("worker.started", lambda: claimed.extend(row(new, one).locked_by is not None for one in (job, other)))
    work(new, queues=("default",))
    assert claimed == [True, False]
    assert ran == ["Ada"]
    old.close()
    new.close()


def test_the_pause_of_a_parked_job_is_at_most_five_minutes(tq: TomQueue) -> None:
    """However often it was parked."""
    job = declare(tq, [])
    change(tq, job, name="gone", parks=1000)
    work(tq)
    assert pause_of(tq, job) == pytest.approx(300, abs=1)


@pytest.mark.parametrize("payload", ["{}", '{"name":7}', "no JSON", '{"name":"a","more":1}', "[" * 5000, "\x00", ""])
def test_unreadable_arguments_are_parked(tq: TomQueue, payload: str) -> None:
    """A payload that does not fit waits; corrected, it runs."""
    ran: list[object] = []
    job = declare(tq, ran)
    change(tq, job, payload=payload)
    work(tq)
    assert tq.jobs.get(job).state is State.PARKED
    assert ran == []
    change(tq, job, payload='{"name":"Eve"}')
    make_due(tq, job)
    work(tq)
    assert ran == ["Eve"]


def test_arguments_stay_out_of_the_log(tq: TomQueue, caplog: pytest.LogCaptureFixture) -> None:
    """The text is kept in the row, where it is needed, and nowhere else."""
    job = declare(tq, [])
    change(tq, job, payload='{"name":"hunter2","hunter3":1}')
    work(tq)
    assert f"job {job} greet (attempt 1) is parked" in caplog.text
    assert "hunter" not in caplog.text
