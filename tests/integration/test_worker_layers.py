"""Layers of an application's own, beside the named ones, in both stacks."""

from collections.abc import Callable

import pytest

from tests.harness import Reporter, change, happens, row, work, working
from tomqueue import Discard, TomQueue
from tomqueue.enqueue.request import Request
from tomqueue.errors import SettingsError
from tomqueue.worker.attempt import Attempt

Proceed = Callable[[Attempt], bool]


def test_layers_stand_where_they_were_put(tq: TomQueue) -> None:
    """Just outside or just inside the named layer; those inside Claim know the job."""
    order: list[str] = []

    def layer(name: str) -> Callable[[Attempt, Proceed], bool]:
        def act(attempt: Attempt, proceed: Proceed) -> bool:
            order.append(f"{name} {attempt.job.name if attempt.is_held else 'no job yet'}")
            return proceed(attempt)

        act.__name__ = name
        return act

    tq.worker_layers.insert(layer("inner"), after="Timeout")
    tq.worker_layers.insert(layer("outer"), before="Claim")
    tq.worker_layers.insert(layer("middle"), after="Claim")
    tq.worker_layers.insert(layer("innermost"), after="inner")

    @tq.job(name="job")
    def job() -> None:
        order.append("job")

    job.enqueue()
    work(tq)
    assert order == ["outer no job yet", "middle job", "inner job", "innermost job", "job"]


def test_layers_of_the_enqueue_stack(tq: TomQueue) -> None:
    """One before Persist may change what is stored, one after it knows the ids."""
    known: list[int] = []

    def tenant(request: Request, proceed: Callable[[Request], None]) -> None:
        for draft in request.drafts:
            draft.meta = '{"tenant":"acme"}'
            draft.queue = "acme"
        proceed(request)

    def tell(request: Request, proceed: Callable[[Request], None]) -> None:
        known.extend(job.id for job in request.jobs)
        proceed(request)

    tq.enqueue_layers.insert(tenant, before="Persist")
    tq.enqueue_layers.insert(tell, after="Persist")

    @tq.job
    def job() -> None: ...

    enqueued = job.enqueue()
    assert known == [enqueued.id]
    assert (row(tq, enqueued.id).meta, row(tq, enqueued.id).queue) == ('{"tenant":"acme"}', "acme")


@pytest.mark.parametrize(
    "where", [{"before": "Timeouts"}, {"after": "Timeouts"}, {}, {"before": "Pop", "after": "Pop"}]
)
def test_an_unknown_place_is_refused(tq: TomQueue, where: dict[str, str]) -> None:
    """The message lists the layers that there are."""
    with pytest.raises(SettingsError, match="ErrorHandling, Pop, Claim, Timeout"):
        tq.worker_layers.insert(lambda attempt, proceed: proceed(attempt), **where)
    with pytest.raises(SettingsError, match="Inline, Persist, Publish"):
        tq.enqueue_layers.insert(lambda request, proceed: proceed(request), **where)


def test_a_layer_inside_claim_may_end_the_job(tq: TomQueue) -> None:
    """What it raises is how the job ends."""

    def refuse(attempt: Attempt, proceed: Proceed) -> bool:
        raise Discard("the tenant is gone")

    tq.worker_layers.insert(refuse, after="Claim")

    @tq.job
    def job() -> None: ...

    enqueued = job.enqueue()
    work(tq)
    assert row(tq, enqueued.id).last_error == "the tenant is gone"


@pytest.mark.parametrize("trouble", [ValueError("a layer's mistake"), SystemExit(3), None])
def test_a_layer_outside_claim_that_fails_loses_no_row(
    tq: TomQueue, reporter: Reporter, trouble: BaseException | None
) -> None:
    """What was taken and did not reach Claim is given back uncharged, and runs when the layer is well again."""
    failures = 3
    ran: list[int] = []

    def fragile(attempt: Attempt, proceed: Proceed) -> bool:
        nonlocal failures
        if failures:
            failures -= 1
            if trouble is None:
                return True
            raise trouble
        return proceed(attempt)

    tq.worker_layers.insert(fragile, before="Claim")

    @tq.job
    def job() -> None:
        ran.append(1)

    enqueued = job.enqueue()
    change(tq, enqueued.id, crashes=1)
    with working(tq.tools()):
        assert happens(lambda: row(tq, enqueued.id) is None)
    assert ran == [1]
    assert reporter.errors == ([] if trouble is None else [trouble])
