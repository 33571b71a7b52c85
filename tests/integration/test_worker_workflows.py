"""What a worker does for workflows: ends that others may wait for are not kept waiting."""

import threading
from collections.abc import Sequence

import pytest

from tests.harness import happens, row, store_of, working
from tomqueue import TomQueue, chain, group
from tomqueue.store.base import Ending, Hold


def test_the_end_of_a_link_is_committed_by_the_slot_itself(tq: TomQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by the keeper, a tenth of a second later; and what it frees is announced at once, not at the next look."""
    store = store_of(tq)
    committed: list[tuple[str, int]] = []
    finish = store.finish

    def noting(endings: Sequence[Ending]) -> list[Hold]:
        committed.append((threading.current_thread().name, len(endings)))
        return finish(endings)

    @tq.job(name="link")
    def link() -> None: ...

    with working(tq.tools()):  # whose first look is over once a job has run
        link.enqueue()
        assert happens(lambda: tq.jobs.count() == 0)
        monkeypatch.setattr(store, "finish", noting)
        workflow = tq.enqueue(chain(link.prepare(), link.prepare(), link.prepare()))
        assert happens(lambda: tq.workflows.get(workflow.id).finished_at)
    assert committed == [("worker-under-test", 1)] * 3


def test_what_is_freed_is_announced_by_who_frees_it(tq: TomQueue) -> None:
    """Where no worker looks: the row has its stamp when the call that ended the job before it has returned."""

    @tq.job(name="part")
    def part() -> None: ...

    first, callback = tq.enqueue(group(part.prepare(), on_complete=part.prepare())).jobs
    tq.jobs.cancel(first.id)
    assert row(tq, callback.id).announced_at is not None
