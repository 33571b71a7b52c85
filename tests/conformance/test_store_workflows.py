"""Conformance of workflows: the rows of a chain or group go on as their jobs end, whoever ends them and however."""

import random
import threading
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select

from tests.conformance.jobs import SERVERS, change, new, row
from tomqueue.definition import Chain, Group, Prepared, chain, group, plan_of
from tomqueue.definition.workflow import Item
from tomqueue.errors import JobNotFound, JobStateError
from tomqueue.job import Claimed, State
from tomqueue.store.base import Delete, Ending, Release
from tomqueue.store.catalog import Catalog
from tomqueue.store.leases import Fate, Freed, Leases
from tomqueue.store.sql import SqlStore
from tomqueue.store.workflows import Workflow, WorkflowState, WorkflowTable


def call(name: str) -> Prepared:
    """Return a call of a job that nobody runs."""
    definition: Any = SimpleNamespace(name=name)
    return Prepared(definition=definition, payload="{}")


class Flow:
    """A workflow, whose jobs end as the test says. Jobs are called by their names."""

    def __init__(self, store: SqlStore, said: Chain | Group, **terms: Any) -> None:
        self.store = store
        self.catalog = Catalog(store)
        self.table = WorkflowTable(store)
        plan = plan_of(said)
        jobs = [new(one.definition.name, **terms) for one in plan.calls]
        self.id, rows = self.table.insert(plan, plan.posts, jobs)
        self.ids = {one.definition.name: known.id for one, known in zip(plan.calls, rows, strict=True)}
        self.freed: list[int] = []
        store.ties.on_freed = self.freed.extend

    def claim(self, *names: str) -> list[Claimed]:
        """Claim jobs that are ready."""
        claimed = self.store.claim([self.ids[name] for name in names], 1, 7).values()
        return [one for one in claimed if isinstance(one, Claimed)]

    def end(self, *names: str) -> None:
        """Let jobs succeed."""
        claimed = self.claim(*names)
        assert len(claimed) == len(names)
        assert all(self.store.finish([Delete(one.id, one.token, one.tied) for one in claimed]))

    def fail(self, *names: str, keep: bool = True) -> None:
        """Let jobs fail for good."""
        endings: list[Ending] = [
            Release(id=one.id, token=one.token, tied=one.tied, attempts=1, failed=True, last_error="no")
            if keep
            else Delete(one.id, one.token, one.tied, failed=True)
            for one in self.claim(*names)
        ]
        assert all(self.store.finish(endings))

    def states(self) -> dict[str, State]:
        """Return what the jobs are doing that are in the table."""
        names = {job: name for name, job in self.ids.items()}
        return {names[job.id]: job.state for job in self.table.jobs(self.id, limit=None, after=0)}

    def named(self, *states: State) -> set[str]:
        """Return the jobs in any of these states."""
        return {name for name, state in self.states().items() if state in states}

    @property
    def ready(self) -> set[str]:
        """The jobs that may run."""
        return self.named(State.READY)

    def read(self) -> Workflow:
        """Read the workflow."""
        return self.table.get(self.id)


def chain_of(*names: str) -> Chain:
    """Return a chain of jobs."""
    return chain(*map(call, names))


def test_the_links_of_a_chain_run_one_after_another(store: SqlStore) -> None:
    """Each is held until the one before it has succeeded; who frees it learns of it after the commit."""
    flow = Flow(store, chain_of("a", "b", "c"))
    assert flow.states() == {"a": State.READY, "b": State.HELD, "c": State.HELD}
    flow.end("a")
    assert flow.freed == [flow.ids["b"]]
    assert flow.states() == {"b": State.READY, "c": State.HELD}
    assert row(store, flow.ids["b"]).announced_at is None
    flow.end("b")
    flow.end("c")
    found = flow.read()
    assert (found.state, found.total, found.done, found.pending) == (WorkflowState.SUCCEEDED, 3, 3, 0)
    assert found.finished_at is not None


def test_a_failed_link_keeps_the_rest_until_it_is_retried(store: SqlStore) -> None:
    """A retry lets the chain go on; an attempt that fails and is tried again changes nothing."""
    flow = Flow(store, chain_of("a", "b", "c"))
    (claimed,) = flow.claim("a")
    store.finish([Release(id=claimed.id, token=claimed.token, tied=True, attempts=1)])
    flow.fail("a")
    found = flow.read()
    assert (found.state, found.failed, found.pending) == (WorkflowState.FAILED, 1, 2)
    assert {type(count) for count in (found.failed, found.pending, found.done, found.total)} == {int}
    assert flow.states() == {"a": State.FAILED, "b": State.HELD, "c": State.HELD}
    flow.catalog.retry(flow.ids["a"])
    assert flow.read().state is WorkflowState.RUNNING
    flow.end("a")
    assert flow.ready == {"b"}


def test_the_callbacks_of_a_group_run_once_each(store: SqlStore) -> None:
    """``on_complete`` when each job has ended, ``on_success`` when all have succeeded: here after a retry."""
    flow = Flow(store, group(call("a"), call("b"), call("c"), on_success=call("s"), on_complete=call("e")))
    flow.end("a", "b")
    assert flow.ready == {"c"}
    flow.fail("c")
    assert flow.ready == {"e"}
    flow.end("e")
    flow.catalog.retry(flow.ids["c"])
    assert flow.ready == {"c"}
    flow.end("c")
    assert flow.ready == {"s"}
    flow.end("s")
    assert (flow.read().state, flow.states()) == (WorkflowState.SUCCEEDED, {})
    assert Counter(flow.freed) == {flow.ids["e"]: 1, flow.ids["s"]: 1}


def test_ends_of_one_batch_are_counted_together(store: SqlStore) -> None:
    """Successes, failures and a plain job in one transaction, also of several workflows."""
    one = Flow(store, group(call("a"), call("b"), on_complete=call("e")))
    two = Flow(store, chain_of("x", "y"))
    (plain,) = store.insert([new("plain")])
    alone = store.claim([plain.id], 1, 7)[plain.id]
    assert isinstance(alone, Claimed)
    (first, second), (third,) = one.claim("a", "b"), two.claim("x")
    release = Release(id=second.id, token=7, tied=True, attempts=1, failed=True)
    deleted = [Delete(first.id, 7, tied=True), Delete(alone.id, 7), Delete(third.id, 7, tied=True)]
    assert all(store.finish([*deleted, release]))
    assert (one.ready, two.ready) == ({"e"}, {"y"})
    assert row(store, plain.id) is None


def test_chains_and_groups_nest(store: SqlStore) -> None:
    """A link after a group waits for all of it; a chain in a group is one member of it."""
    inner = group(call("b"), chain(call("c"), group(call("d"), call("e")), call("f")), on_success=call("s"))
    flow = Flow(store, chain(call("a"), inner, call("z")))
    ran = []
    while ready := flow.ready:
        ran.append(ready)
        flow.end(*ready)
    assert ran == [{"a"}, {"b", "c"}, {"d", "e"}, {"f"}, {"s"}, {"z"}]
    assert flow.read().state is WorkflowState.SUCCEEDED


def test_a_chain_that_fails_in_a_group_has_ended_there(store: SqlStore) -> None:
    """For ``on_complete`` it counts as one member that has failed, whatever of it still waits."""
    flow = Flow(store, group(call("a"), chain_of("b", "c"), on_complete=call("e")))
    flow.end("a")
    flow.fail("b")
    assert flow.ready == {"e"}


def test_a_link_whose_job_before_is_deleted_is_cancelled(store: SqlStore, catalog: Catalog) -> None:
    """It says why; retried, it goes on without what is gone."""
    flow = Flow(store, chain_of("a", "b", "c"))
    catalog.delete(flow.ids["a"])
    cancelled = catalog.get(flow.ids["b"])
    assert (cancelled.state, cancelled.cancelled_at is None) == (State.FAILED, False)
    assert cancelled.last_error == f"workflow {flow.id}: what it waits for was deleted"
    assert flow.read().state is WorkflowState.FAILED
    assert catalog.retry(flow.ids["b"]).state is State.READY
    flow.end("b")
    flow.end("c")
    found = flow.read()
    assert (found.state, found.done, found.deleted) == (WorkflowState.INCOMPLETE, 2, 1)


def test_failed_jobs_that_are_not_kept_count_as_deleted(store: SqlStore) -> None:
    """``on_complete`` runs, ``on_success`` does not."""
    flow = Flow(store, group(call("a"), call("b"), on_success=call("s"), on_complete=call("e")))
    flow.fail("a", keep=False)
    flow.end("b")
    assert flow.ready == {"e"}
    assert flow.named(State.FAILED) == {"s"}


def test_a_waiting_job_that_is_cancelled_waits_again_when_it_is_retried(store: SqlStore, catalog: Catalog) -> None:
    """A retry does not take it before its turn."""
    flow = Flow(store, chain_of("a", "b", "c"))
    assert catalog.cancel(flow.ids["b"]).state is State.FAILED
    assert flow.read().state is WorkflowState.RUNNING
    assert catalog.retry(flow.ids["b"]).state is State.HELD
    catalog.cancel(flow.ids["b"])
    flow.end("a")
    assert flow.read().state is WorkflowState.FAILED
    assert catalog.retry(flow.ids["b"]).state is State.READY
    flow.end("b")
    assert flow.ready == {"c"}


def test_jobs_that_kill_their_process_end_too(store: SqlStore) -> None:
    """The supervisor's word that a job has crashed too often is an end as any other."""
    flow = Flow(store, group(call("a"), on_complete=call("e")))
    (claimed,) = flow.claim("a")
    Leases(store).free(1, [Freed(id=claimed.id, fate=Fate.CRASHED)], 1)
    assert flow.ready == {"e"}


def test_a_time_of_its_own_comes_after_its_turn(store: SqlStore) -> None:
    """A link with a delay waits for both; an expiry is counted from its turn on."""
    flow = Flow(store, chain_of("a", "b"), delay=3600.0)
    change(store, flow.ids["a"], run_at=store.now())
    flow.end("a")
    assert flow.states() == {"b": State.SCHEDULED}
    assert flow.freed == []
    later = Flow(store, chain_of("a", "b"))
    before = store.now() - timedelta(hours=2)
    change(store, later.ids["b"], run_at=before, expires_at=before + timedelta(hours=1))
    later.end("a")
    found = row(store, later.ids["b"])
    assert found.expires_at - found.run_at == timedelta(hours=1)
    assert found.run_at > before + timedelta(hours=1)


def test_a_workflow_can_be_cancelled_and_goes_on_when_retried(store: SqlStore, catalog: Catalog) -> None:
    """What waits has failed at once, a callback too; what runs is asked to end."""
    flow = Flow(store, group(call("a"), call("b"), on_success=call("s"), on_complete=call("e")))
    (running,) = flow.claim("a")
    found = flow.table.cancelling(flow.id)
    assert sum(catalog.cancel_all(ids, "cancelled") for ids in flow.table.unfailed(found)) == 4
    assert flow.states() == {"a": State.RUNNING, "b": State.FAILED, "s": State.FAILED, "e": State.FAILED}
    store.finish([Release(id=running.id, token=running.token, tied=True, attempts=1)])
    assert (flow.read().state, flow.ready) == (WorkflowState.CANCELLED, set())
    for name in ("a", "b", "s"):
        catalog.retry(flow.ids[name])
    flow.end("a", "b")
    assert flow.ready == {"s"}


def test_a_finished_workflow_cannot_be_cancelled_and_is_pruned(store: SqlStore) -> None:
    """Only what has finished is, in pieces; then nobody knows it."""
    flow, open_one = Flow(store, chain_of("a")), Flow(store, chain_of("b"))
    flow.end("a")
    with pytest.raises(JobStateError, match=f"workflow {flow.id} has finished"):
        flow.table.cancelling(flow.id)
    assert [one.id for one in flow.table.find(unfinished=True, limit=None, after=0)] == [open_one.id]
    assert flow.table.prune(store.now() - timedelta(hours=1), 10) == 0
    assert flow.table.prune(store.now() + timedelta(hours=1), 10) == 1
    with pytest.raises(JobNotFound, match=f"no workflow has id {flow.id}"):
        flow.read()
    assert [one.id for one in flow.table.find(unfinished=False, limit=10, after=0)] == [open_one.id]


def test_what_does_not_go_on_by_itself_is_found(store: SqlStore) -> None:
    """A failed link, and rows that somebody deleted by plain SQL; not what can run, or a person cancelled."""
    failed, gone, alive, cancelled = (Flow(store, chain_of("a", "b")) for _ in range(4))
    failed.fail("a")
    found = cancelled.table.cancelling(cancelled.id)
    assert sum(cancelled.catalog.cancel_all(ids, "cancelled") for ids in cancelled.table.unfailed(found)) == 2
    with store.writing() as connection:
        connection.execute(store.tables.jobs.delete().where(store.tables.jobs.c.id == gone.ids["a"]))
    assert {one.id for one in alive.table.stuck(100)} == {failed.id, gone.id}


def test_a_job_says_what_it_waits_for(store: SqlStore, catalog: Catalog) -> None:
    """The jobs of the step before, also those deeper in it, the failed ones first."""
    flow = Flow(store, chain(group(call("a"), chain_of("b", "c")), call("z")))
    flow.fail("b")
    awaited = flow.table.awaited_by(catalog.get(flow.ids["z"]))
    assert awaited is not None
    assert [job.name for job in awaited.jobs] == ["b", "a", "c"]
    assert (awaited.pending, awaited.failed) == (2, 1)
    assert flow.table.awaited_by(catalog.get(flow.ids["a"])) is None


def test_steps_that_somebody_deleted_do_not_keep_a_job_from_ending(store: SqlStore) -> None:
    """The job's own end counts more than what is told of it."""
    flow = Flow(store, chain_of("a", "b"))
    with store.writing() as connection:
        connection.execute(store.tables.steps.delete())
    flow.end("a")
    assert flow.states() == {"b": State.HELD}


def test_a_large_group_is_written_and_freed_in_pieces(store: SqlStore) -> None:
    """More rows than one statement takes, and each of them is freed."""
    flow = Flow(store, chain(call("first"), group(*(call(str(place)) for place in range(1200)), on_success=call("s"))))
    assert list(flow.ids.values()) == sorted(flow.ids.values())
    flow.end("first")
    assert len(flow.ready) == len(set(flow.freed)) == 1200


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_the_last_two_jobs_may_end_at_the_same_moment(store: SqlStore) -> None:
    """In two transactions: one of them frees the callback, and it does so once."""
    for _ in range(10):
        flow = Flow(store, group(call("a"), call("b"), on_success=call("s")))
        together = threading.Barrier(2)
        threads = [threading.Thread(target=end_together, args=(flow, name, together)) for name in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert flow.ready == {"s"}
        assert flow.freed == [flow.ids["s"]]


def end_together(flow: Flow, name: str, together: threading.Barrier) -> None:
    """Let a job succeed when the others do."""
    (claimed,) = flow.claim(name)
    together.wait(20)
    flow.store.finish([Delete(claimed.id, claimed.token, tied=True)])


# What holds whatever happens ----------------------------------------------------------------------------


def some_workflow(chance: random.Random, names: Iterable[str], depth: int = 3) -> Item:
    """Return some workflow."""
    kind = chance.choice(["chain", "group", "call"]) if depth else "call"
    if kind == "call":
        return call(next(names))  # type: ignore[call-overload]
    items = [some_workflow(chance, names, depth - 1) for _ in range(chance.randint(1, 3))]
    if kind == "chain":
        return chain(*items)
    callbacks = [some_workflow(chance, names, depth - 1) if chance.random() < 0.5 else None for _ in range(2)]
    return group(*items, on_success=callbacks[0], on_complete=callbacks[1])


def counted(flow: Flow) -> None:
    """Check that what every step counts is what can be read from its jobs, and that nothing waits without reason."""
    store, jobs, steps = flow.store, flow.store.tables.jobs, flow.store.tables.steps
    with store.reading() as connection:
        rows = connection.execute(select(jobs).where(jobs.c.workflow == flow.id)).all()
        known = {one.number: one for one in connection.execute(select(steps).where(steps.c.workflow == flow.id))}
    pending, failed = Counter[int | None](), Counter[int | None]()
    for one in rows:
        (pending if one.failed_at is None else failed)[one.step] += 1
    for number in sorted(known):  # a chain is told by the step of it whose turn it is
        step = known[number]
        assert (step.pending, step.failed) == (pending[number], failed[number]), (number, known)
        if step.begun and (step.next_step is None or step.pending or step.failed):
            (pending if step.pending else failed if step.failed else Counter())[step.parent] += 1
    whole = flow.table.get(flow.id)
    assert (whole.finished_at is None) == bool(pending[None] or failed[None])
    for one in rows:
        if one.failed_at is None:
            turn = known.get(one.waits_for_step)
            assert one.held == (turn is not None and not turn.begun), one


def disturb(flow: Flow, chance: random.Random, name: str, state: State) -> None:
    """Let something happen to a job; what its state does not allow is nothing."""
    what = chance.choices(["end", "fail", "cancel", "retry", "delete"], [8, 2, 2, 3, 1])[0]
    if what == "end" and state is State.READY:
        flow.end(name)
    elif what == "fail":
        flow.fail(name, keep=chance.random() < 0.7)
    elif what == "cancel":
        flow.catalog.cancel_all([flow.ids[name]])
    elif what == "retry":
        flow.catalog.retry_all([flow.ids[name]])
    elif what == "delete":
        flow.catalog.delete_all([flow.ids[name]])


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_to_its_jobs_a_workflow_counts_them_and_ends(
    store: SqlStore, catalog: Catalog, seed: int
) -> None:
    """Ends, failures, cancels, retries and deletes in any order; then all is retried, and the workflow finishes."""
    chance = random.Random(seed)
    said = some_workflow(chance, iter(map(str, range(1000))))
    flow = Flow(store, chain(said, call("last")))
    for _ in range(25):
        states = flow.states()
        if not states:
            break
        name = chance.choice(sorted(states))
        disturb(flow, chance, name, states[name])
        counted(flow)
    while flow.named(State.READY, State.FAILED):
        catalog.retry_all([flow.ids[name] for name in flow.named(State.FAILED)])
        if ready := flow.ready:
            flow.end(*ready)
        counted(flow)
    assert flow.states() == {}
    assert flow.read().finished_at is not None
