"""What Delayed::Job lets a queue, a job and a plugin say."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.harness import record_events, row, work
from tomqueue import JobContext, Priority, TomQueue
from tomqueue.errors import DefinitionError, EnqueueError, SettingsError


def test_a_queue_has_a_priority(tq: TomQueue) -> None:
    """It counts where neither the call nor the job says one; numbers go through the map."""
    tq.queue_attributes["mailers"] = {"priority": "high"}
    tq.queue_attributes["numbers"] = {"priority": 7}
    tq.queue_attributes["nothing"] = {}
    tq.priority_map[7] = Priority.BULK

    @tq.job
    def plain() -> None: ...

    @tq.job(priority="low", queue="mailers")
    def own() -> None: ...

    assert plain.enqueue().priority == "normal"
    assert plain.using(queue="mailers").enqueue().priority == "high"
    assert plain.using(queue="numbers").enqueue().priority == "bulk"
    assert plain.using(queue="nothing").enqueue().priority == "normal"
    assert plain.using(queue="mailers", priority="low").enqueue().priority == "low"
    assert own.enqueue().priority == "low"
    del tq.queue_attributes["mailers"]
    assert plain.using(queue="mailers").enqueue().priority == "normal"
    assert list(tq.queue_attributes) == ["numbers", "nothing"]
    assert len(tq.queue_attributes) == 2
    assert "numbers" in repr(tq.queue_attributes)


@pytest.mark.parametrize(
    ("queue", "attributes", "message"),
    [
        ("a b", {"priority": "high"}, "queue='a b' must match"),
        ("a", {"priority": "urgent"}, r"queue_attributes\['a'\]: priority='urgent' is unknown"),
        ("a", {"pause": True}, "has 'pause': a queue has a priority, and no more"),
        ("a", "high", "must be a dict"),
    ],
)
def test_wrong_attributes_are_refused_where_they_are_written(
    tq: TomQueue, queue: str, attributes: Any, message: str
) -> None:
    """And what was said before stays."""
    with pytest.raises(SettingsError, match=message):
        tq.queue_attributes[queue] = attributes
    assert dict(tq.queue_attributes) == {}


def test_an_instance_names_its_queue(tq: TomQueue) -> None:
    """By ``queue_name()``: the call goes first, then the instance, then the declaration."""

    @tq.job(queue="declared")
    @dataclass
    class Mail:
        tenant: str

        def process(self) -> None: ...

        def queue_name(self) -> str | None:
            return self.tenant or None

    tq.queue_attributes["acme"] = {"priority": "high"}
    job = tq.enqueue(Mail("acme"))
    assert (job.queue, job.priority) == ("acme", "high")
    assert tq.enqueue(Mail("")).queue == "declared"
    assert tq.enqueue(Mail("acme"), queue="said").queue == "said"
    with pytest.raises(EnqueueError, match=r"queue_name\(\)='a b' must match"):
        tq.enqueue(Mail("a b"))


def test_a_job_says_whether_it_is_kept_when_it_failed(tq: TomQueue) -> None:
    """By option, or by the method of an instance, which goes first; None says nothing."""

    @tq.job(max_attempts=1, delete_failed_jobs=True)
    def gone() -> None:
        raise OSError

    @tq.job(max_attempts=1, delete_failed_jobs=True)
    @dataclass
    class Kept:
        keep: bool | None

        def process(self) -> None:
            raise OSError

        def delete_failed_jobs(self) -> bool | None:
            return None if self.keep is None else not self.keep

    first, second, third = gone.enqueue(), tq.enqueue(Kept(keep=True)), tq.enqueue(Kept(keep=None))
    work(tq)
    assert row(tq, first.id) is row(tq, third.id) is None
    assert row(tq, second.id).failed_at is not None


def test_a_setting_that_one_job_does_not_share(tq: TomQueue) -> None:
    """``False`` keeps a job where the others are deleted."""

    @tq.job(max_attempts=1, delete_failed_jobs=False)
    def kept() -> None:
        raise OSError

    other = TomQueue(tq.settings.database_url, delete_failed_jobs=True)
    other.registry = tq.registry
    job = kept.enqueue()
    work(other)
    other.close()
    assert row(tq, job.id).failed_at is not None


def test_fields_of_these_names_are_only_fields(tq: TomQueue) -> None:
    """Nobody's data is taken for a method."""

    @tq.job
    @dataclass
    class Profile:
        display_name: str
        queue_name: str = "x"
        delete_failed_jobs: bool = True

        def process(self) -> None:
            raise OSError

    job = tq.enqueue(Profile("Ann"), max_attempts=1)
    work(tq)
    assert (job.queue, row(tq, job.id).failed_at is None) == ("default", False)


@pytest.mark.parametrize("name", ["queue_name", "delete_failed_jobs", "display_name"])
def test_what_a_method_cannot_take_is_refused_at_the_declaration(tq: TomQueue, name: str) -> None:
    """They are called with the instance alone."""
    wrong: Callable[..., Any] = lambda self, job: job  # noqa: E731
    broken = type("Broken", (), {"process": lambda self: None, name: wrong})
    with pytest.raises(DefinitionError, match=rf"{name}\(\) is called with \(self\)"):
        tq.job(broken)
    with pytest.raises(DefinitionError, match="delete_failed_jobs='yes' must be True or False"):
        tq.job(name="x", delete_failed_jobs="yes")(lambda: None)  # type: ignore[call-overload]


def test_every_point_of_the_lifecycle_is_reached(tq: TomQueue) -> None:
    """Delayed::Job's plugins, as the page for those who come from it maps them: layers around, events after."""
    order: list[str] = []

    def layer(name: str) -> Callable[[Any, Callable[[Any], Any]], Any]:
        def around(context: Any, proceed: Callable[[Any], Any]) -> Any:
            order.append(f"{name} begins")
            try:
                return proceed(context)
            finally:
                order.append(f"{name} ends")

        around.__name__ = name
        return around

    tq.enqueue_layers.insert(layer("enqueue"), before="Persist")
    tq.worker_layers.insert(layer("loop"), before="Pop")
    tq.worker_layers.insert(layer("perform"), before="Claim")
    tq.worker_layers.insert(layer("invoke_job"), after="Timeout")
    for event in ("worker.started", "worker.stopped", "job.enqueued", "job.retried", "job.failed"):
        tq.on(event, lambda _event=event, **_details: order.append(_event))

    @tq.job(max_attempts=2, backoff=0)
    def fails(ctx: JobContext) -> None:
        order.append(f"attempt {ctx.attempt}")
        raise OSError

    fails.enqueue()
    events = record_events(tq)
    work(tq)
    run = ["loop begins", "perform begins", "invoke_job begins"]
    over = ["invoke_job ends", "perform ends", "loop ends"]
    turns = [step for step in order if step not in {"job.retried", "job.failed"}]
    assert turns[:3] == ["enqueue begins", "job.enqueued", "enqueue ends"]
    assert [turns[3], turns[-1]] == ["worker.started", "worker.stopped"]
    assert [step for step in turns[4:-1] if step not in {"loop begins", "loop ends"}] == [
        *run[1:], "attempt 1", *over[:2], *run[1:], "attempt 2", *over[:2],
    ]  # fmt: skip
    assert turns[4:7] == run
    assert events.count("job.retried") == events.count("job.failed") == 1
