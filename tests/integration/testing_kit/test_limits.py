"""The kit and limits: held jobs come in as in production, and time passes for those that wait for it."""

from datetime import timedelta

from tomqueue import State, TomQueue
from tomqueue.testing import Kit


def test_held_jobs_run_in_a_drain(tq: TomQueue, kit: Kit) -> None:
    """One after the other; before it they are enqueued like any other."""

    @tq.job(name="one", concurrency=1, concurrency_key=lambda key: key)
    def one(key: str) -> None: ...

    for key in "aba":
        one.enqueue(key)
    assert State.HELD in {job.state for job in kit.assert_enqueued(one, count=3)}
    assert [ran.outcome for ran in kit.drain()] == ["finished"] * 3


def test_a_rate_and_a_delay_pass_without_waiting(tq: TomQueue, kit: Kit) -> None:
    """Each at its moment."""

    @tq.job(name="ping", rate="1/min")
    def ping() -> None: ...

    @tq.job(name="later", concurrency=1)
    def later() -> None: ...

    for _ in range(3):
        ping.enqueue()
    later.using(delay=3600).enqueue()
    assert [ran.name for ran in kit.run_due(timedelta(seconds=30))] == ["ping"]
    assert [ran.name for ran in kit.run_due(timedelta(minutes=3))] == ["ping"] * 2
    assert [ran.name for ran in kit.run_due(timedelta(hours=1))] == ["later"]
