"""What the type checker says about jobs: ``make check`` fails if one of the errors marked here is not found."""

from dataclasses import dataclass
from typing import assert_type

from tomqueue import InProcessWorker, Job, JobContext, Prepared, Priority, TomQueue, WorkedOff, Workflow, chain, group


def usage(tq: TomQueue) -> None:
    """Use a plain job, one that takes the context, and classes."""

    @tq.job
    def send(user_id: int, *, again: bool = False) -> str:
        return str(user_id)

    @tq.job(queue="reports", priority=Priority.LOW, max_attempts=5, backoff=[1, 10, 60], retry_on=(OSError,))
    def report(ctx: JobContext, month: str) -> None: ...

    @tq.job
    @dataclass
    class Newsletter:
        text: str

        def process(self) -> None: ...

    assert_type(tq.work_off(100), WorkedOff)
    with tq.start_worker(threads=2) as worker:
        assert_type(worker, InProcessWorker)
    assert_type(send(7), str)
    assert_type(send.enqueue(7, again=True), Job)
    assert_type(send.prepare(7), Prepared)
    assert_type(send.using(delay=60).using(queue="slow").enqueue(7), Job)
    assert_type(tq.enqueue(Newsletter("hi"), delay=60), Job)
    assert_type(tq.enqueue_many([send.prepare(1), report.prepare("may")]), list[Job])
    assert_type(tq.enqueue(chain(send.prepare(1), group(send.prepare(2), on_success=send.prepare(3)))), Workflow)
    report.enqueue("may")

    send.enqueue("wrong")  # type: ignore[arg-type]
    send.enqueue()  # type: ignore[call-arg]
    send.using(delay=60).enqueue("wrong")  # type: ignore[arg-type]
    send.using(delay="soon")  # type: ignore[arg-type]
    send.using(dealy=60)  # type: ignore[call-arg]
    report("may")  # type: ignore[call-arg, arg-type]
    report.enqueue(7)  # type: ignore[arg-type]
    Newsletter(7)  # type: ignore[arg-type]
    tq.enqueue(Newsletter("hi"), later=True)  # type: ignore[call-overload]
    tq.job(quue="slow")  # type: ignore[call-overload]
    chain(send)  # type: ignore[arg-type]


async def asynchronous_usage(tq: TomQueue) -> None:
    """Use a job from asynchronous code."""

    @tq.job
    async def fetch(url: str) -> bytes:
        return url.encode()

    assert_type(await fetch("u"), bytes)
    assert_type(await fetch.aenqueue("u"), Job)
    await fetch.aenqueue(7)  # type: ignore[arg-type]


def delayed_usage(tq: TomQueue) -> None:
    """Call methods later."""

    @tq.target
    @dataclass
    class User:
        name: str

        def activate(self, device: str) -> None: ...

        @tq.handle_asynchronously
        def greet(self, ctx: JobContext, times: int) -> str:
            return self.name * times

        @tq.handle_asynchronously(priority="low", queue=lambda user: user.name, delay=60)
        def remind(self, text: str) -> None: ...

        @tq.handle_asynchronously(run_at=None)
        @classmethod
        def reindex(cls, size: int) -> int:
            return size

    @tq.target(name="Other")
    class Other: ...

    @tq.job
    def send(user_id: int) -> None: ...

    user = User("ann")
    assert_type(Other(), Other)
    assert_type(tq.delay(user, queue="slow").activate("phone"), Job)
    assert_type(tq.delay(send, delay=60)(7), Job)
    assert_type(user.greet(3), Job)
    assert_type(user.remind("x"), Job)
    assert_type(user.remind.prepare("x"), Prepared)
    assert_type(user.remind.without_delay("x"), None)
    assert_type(User.reindex(5), Job)
    assert_type(User.reindex.without_delay(5), int)

    user.greet("x")  # type: ignore[arg-type]
    user.remind()  # type: ignore[call-arg]
    tq.delay(send)("x")  # type: ignore[arg-type]
    tq.delay(user, dealy=60)  # type: ignore[call-overload]
    tq.handle_asynchronously(quue="x")  # type: ignore[call-overload]
