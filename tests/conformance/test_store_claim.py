"""Conformance of Store.take and Store.claim: which rows a worker gets, and that nobody else gets them."""

import random
import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import select

from tests.conformance.jobs import (
    BULK,
    FUTURE,
    HIGH,
    LOW,
    NORMAL,
    PAST,
    SERVERS,
    ago,
    change,
    insert,
    names,
    new,
    row,
    take,
    want,
)
from tomqueue.job import Claimed
from tomqueue.store.base import NOTHING_LEFT, Answer, Delete, Ending, Hold, Release
from tomqueue.store.catalog import Catalog, Filter
from tomqueue.store.sql import SqlStore

# Take ----------------------------------------------------------------------------------------------------


def test_a_claim_returns_the_row_and_marks_it(store: SqlStore) -> None:
    """The claimed row carries what the worker needs; the table says who has it since when."""
    before = store.now()
    (inserted,) = store.insert([new("a", payload='"😀"', meta="{}", max_attempts=3, expires_at=FUTURE)])
    (claimed,) = take(store, want(worker=2**62 + 1), token=2**63 - 1)
    assert claimed == Claimed(
        id=inserted.id,
        queue="default",
        rank=NORMAL,
        name="a",
        payload='"😀"',
        attempts=1,
        max_attempts=3,
        run_at=inserted.run_at,
        created_at=inserted.created_at,
        expires_at=FUTURE,
        parks=0,
        suspect=False,
        meta="{}",
        tied=False,
        token=2**63 - 1,
    )
    found = row(store, inserted.id)
    assert (found.locked_by, found.claim_token, found.attempts) == (2**62 + 1, 2**63 - 1, 1)
    assert before <= found.locked_at <= store.now()
    assert found.announced_at == inserted.announced_at


def test_more_urgent_rows_are_taken_first(store: SqlStore) -> None:
    """Priority is strict over all queues, whatever the order of the inserts."""
    insert(store, new("bulk", "a", BULK), new("low", "b", LOW), new("normal", "b"), new("high", "a", HIGH))
    assert names(take(store, want("b", "a"))) == ["high", "normal", "low", "bulk"]


def test_queues_are_served_in_the_order_of_the_turn(store: SqlStore) -> None:
    """Within a priority the first queue named comes first: round robin is the worker's."""
    insert(store, new("a", "a"), new("b", "b"), new("c", "c"), new("other", "other"))
    assert names(take(store, want("c", "a", "b"))) == ["c", "a", "b"]


def test_rows_of_a_queue_are_taken_by_their_stamp(store: SqlStore) -> None:
    """First announced, first taken; ids break the tie."""
    third, first, second = insert(store, new("third"), new("first"), new("second"))
    change(store, third, announced_at=ago(store, 1))
    change(store, first, second, announced_at=ago(store, 2))
    assert names(take(store)) == ["first", "second", "third"]


def test_at_most_the_limit_is_taken(store: SqlStore) -> None:
    """The limit holds over priorities and queues together."""
    insert(store, new("1", "a", HIGH), new("2", "a"), new("3", "b"), new("4", "b"))
    assert names(take(store, want("a", "b", limit=3))) == ["1", "2", "3"]
    assert names(take(store, want("a", "b", limit=3))) == ["4"]


def test_only_more_urgent_rows_are_taken_below_a_rank(store: SqlStore) -> None:
    """``below`` leaves what is not more urgent."""
    insert(store, new("normal"), new("high", priority=HIGH))
    assert names(take(store, want(below=NORMAL))) == ["high"]
    assert names(take(store, want(below=0))) == []


def test_only_less_urgent_rows_are_taken_from_a_rank_on(store: SqlStore) -> None:
    """``first`` leaves what is more urgent; with ``below`` there may be nothing in between."""
    insert(store, *(new(name, priority=rank) for rank, name in enumerate(("high", "normal", "low", "bulk"))))
    assert names(take(store, want(first=2, below=2))) == []
    assert names(take(store, want(first=1, below=3))) == ["normal", "low"]
    assert names(take(store, want(first=3))) == ["bulk"]


def test_a_take_of_no_queue_is_empty(store: SqlStore) -> None:
    """While every queue is paused there is nothing to take, and a finish goes on."""
    (job,) = insert(store, new())
    take(store)
    paused = want()
    paused.queues = ()
    assert store.take(paused, 2, lambda _: None) == ([], [])
    assert store.take(paused, 2, lambda _: None, [Delete(job, 1)]) == ([], [Hold.OURS])


def test_marks_move_past_what_was_taken(store: SqlStore) -> None:
    """The low-water mark stands at the last row taken, and only what is past it is taken next."""
    first, second, third = insert(store, new("1"), new("2"), new("3"))
    wanted = want(limit=2)
    assert names(take(store, wanted)) == ["1", "2"]
    assert wanted.marks["default", NORMAL][1] == second
    change(store, first, locked_by=None, claim_token=None)
    assert names(take(store, wanted)) == ["3"]
    assert names(take(store, wanted)) == []
    wanted.marks.clear()
    assert names(take(store, wanted)) == ["1"]
    assert third > second > first


def test_marks_find_later_rows_of_the_same_stamp(store: SqlStore) -> None:
    """A bulk insert gives one stamp to all its rows; small takes pass none of them over."""
    insert(store, *(new(str(i)) for i in range(50)))
    wanted = want(limit=7)
    taken: list[str] = []
    while found := take(store, wanted):
        taken += names(found)
    assert taken == [str(i) for i in range(50)]


def test_an_empty_take_moves_no_mark(store: SqlStore) -> None:
    """A look that took nothing changes nothing."""
    wanted = want()
    assert take(store, wanted) == []
    assert wanted.marks == {}


def test_only_what_was_announced_before_a_moment_is_taken(store: SqlStore) -> None:
    """Each queue and priority has a moment of its own; of those that have none nothing is taken."""
    insert(store, new("old"), new("young"), new("high", priority=HIGH), new("elsewhere", "other"))
    ids = {job.name: job.id for job in Catalog(store).find(Filter())}
    change(store, ids["old"], ids["elsewhere"], announced_at=ago(store, 60))
    change(store, ids["young"], ids["high"], announced_at=ago(store, 20))
    moment = ago(store, 30)
    wanted = want("other", "default", before={("default", HIGH): moment, ("default", NORMAL): moment})
    assert names(take(store, wanted)) == ["old"]
    assert names(take(store, wanted)) == []
    wanted.before = {("default", HIGH): ago(store, 0), ("other", NORMAL): moment}
    assert names(take(store, wanted)) == ["high", "elsewhere"]


def test_a_look_that_finds_nothing_before_a_moment_moves_the_mark_to_it(store: SqlStore) -> None:
    """The next look begins there; what was announced at that very moment is not passed over."""
    (job,) = insert(store, new("a"))
    moment = row(store, job).announced_at
    wanted = want(before={("default", NORMAL): moment})
    assert take(store, wanted) == []
    assert list(wanted.marks) == [("default", NORMAL)]
    wanted.before = {("default", NORMAL): moment + timedelta(microseconds=1)}
    assert names(take(store, wanted)) == ["a"]
    change(store, job, locked_by=None, claim_token=None, announced_at=moment - timedelta(seconds=1))
    assert take(store, wanted) == []
    wanted.marks.clear()
    assert names(take(store, wanted)) == ["a"]


def test_a_take_says_from_which_rank_on_it_may_have_left_something(store: SqlStore) -> None:
    """Where it took as much as it was to, or came to a suspect, which is taken alone; else it left nothing."""
    high, *_, suspect = insert(store, new(priority=HIGH), *(new() for _ in range(2)), new(priority=LOW))
    change(store, suspect, suspect=True)
    wanted = want(limit=1)
    lefts = []
    for limit in (1, 5, 5, 5):
        wanted.limit = limit
        lefts.append(([job.id for job in take(store, wanted)], wanted.left))
    assert lefts[0] == ([high], HIGH)
    assert (len(lefts[1][0]), lefts[1][1]) == (2, LOW)
    assert lefts[2] == ([suspect], LOW)
    assert lefts[3] == ([], NOTHING_LEFT)


def test_ids_are_recorded_before_they_are_claimed(store: SqlStore) -> None:
    """The record gets just the ids of the claim, most urgent first, and the claim happens only after it."""
    insert(store, new("2"), new("1", priority=HIGH))
    recorded: list[int] = []
    claimed, _ = store.take(want(), 5, recorded.extend)
    assert recorded == [found.id for found in claimed]
    assert names(claimed) == ["1", "2"]


def test_a_record_that_fails_claims_nothing(store: SqlStore) -> None:
    """Where the ids cannot be written down, the rows stay free for others, and marks stay where they were."""
    insert(store, new("a"))

    def refuse(ids: Sequence[int]) -> None:
        raise MemoryError

    wanted = want()
    with pytest.raises(MemoryError):
        store.take(wanted, 5, refuse)
    assert wanted.marks == {}
    assert names(take(store, wanted)) == ["a"]


@pytest.mark.parametrize(
    "values",
    [
        {"locked_by": 9, "claim_token": 9},
        {"failed_at": PAST},
        {"held": True},
        {"parked_at": PAST},
        {"run_at": FUTURE},
        {"announced_at": None},
        {"announced_at": None, "run_at": FUTURE},
    ],
    ids="+".join,
)
def test_a_row_that_is_not_ready_is_not_taken(store: SqlStore, values: dict[str, object]) -> None:
    """Claimed, failed, held, parked, future and unannounced rows stay; the next ready one is found behind them."""
    insert(store, *(new("stays") for _ in range(3)), new("goes"))
    jobs = store.tables.jobs
    with store.writing() as connection:
        connection.execute(jobs.update().where(jobs.c.name == "stays").values(values))
    assert names(take(store)) == ["goes"]
    assert names(take(store)) == []


def test_a_suspect_is_taken_alone(store: SqlStore) -> None:
    """What may have killed its process runs with nobody beside it: before it, then it, then what is after it."""
    ids = insert(store, *(new(str(i)) for i in range(4)), new("low", priority=LOW))
    change(store, ids[1], ids[2], suspect=True)
    wanted = want()
    assert [names(take(store, wanted)) for _ in range(5)] == [["0"], ["1"], ["2"], ["3", "low"], []]


@pytest.mark.parametrize("takers", [2, 4])
def test_no_row_is_taken_twice(store: SqlStore, takers: int) -> None:
    """Concurrent takers drain two thousand rows, each exactly once."""
    expected = insert(store, *(new(queue=random.choice("ab"), priority=random.randrange(4)) for _ in range(2000)))
    taken: list[list[int]] = [[] for _ in range(takers)]
    errors: list[Exception] = []

    def drain(place: int) -> None:
        wanted = want("a", "b", limit=37, worker=place)
        endings: list[Delete] = []
        try:
            for token in range(place * 10_000, (place + 1) * 10_000):
                claimed, held = store.take(wanted, token, lambda _: None, endings)
                assert all(held)
                taken[place] += [found.id for found in claimed]
                endings = [Delete(found.id, found.token) for found in claimed]
                if not claimed and not wanted.marks:
                    return
                if not claimed:
                    wanted.marks.clear()
        except Exception as error:  # noqa: BLE001 - shown by the test
            errors.append(error)

    threads = [threading.Thread(target=drain, args=(place,)) for place in range(takers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(row_id for ids in taken for row_id in ids) == expected
    assert list(Catalog(store).find(Filter())) == []


def test_a_take_finishes_in_its_transaction(store: SqlStore) -> None:
    """Endings and the next claim are one transaction: each ending is answered at its place."""
    insert(store, new("1"), new("2"), new("3"), new("4"))
    one, two, three = take(store, want(limit=3), token=7)
    endings: list[Ending] = [
        Delete(one.id, 7),
        Delete(two.id, 8),
        Release(id=three.id, token=7, attempts=3, run_at=FUTURE),
    ]
    claimed, held = store.take(want(), 9, lambda _: None, endings)
    assert held == [Hold.OURS, Hold.LOST, Hold.OURS]
    assert names(claimed) == ["4"]
    assert row(store, one.id) is None
    assert row(store, two.id).claim_token == 7
    assert row(store, three.id).attempts == 3


def test_endings_are_finished_though_nothing_is_ready(store: SqlStore) -> None:
    """A batch is finished whether or not there is a next one."""
    insert(store, new())
    (only,) = take(store, token=7)
    assert store.take(want(), 9, lambda _: None, [Delete(only.id, 7)]) == ([], [Hold.OURS])


def test_a_row_that_is_given_back_can_be_taken_again(store: SqlStore) -> None:
    """A release that keeps its stamp keeps its place in the queue."""
    insert(store, new("1"), new("2"))
    (one,) = take(store, want(limit=1), token=7)
    store.finish([Release(id=one.id, token=7, attempts=0, keep_announced=True)])
    again = take(store, token=8)
    assert names(again) == ["1", "2"]
    assert [found.attempts for found in again] == [1, 1]


# Claim by key --------------------------------------------------------------------------------------------


def test_a_claim_by_key_answers_for_every_id(store: SqlStore) -> None:
    """Each id is answered: the row, or why it cannot be had, in the order of the states."""
    ids = insert(store, *(new(str(i)) for i in range(6)))
    ready, failed, held, parked, leased, future = ids
    change(store, failed, failed_at=PAST, held=True)
    change(store, held, held=True, parked_at=PAST)
    change(store, parked, parked_at=PAST, run_at=FUTURE)
    change(store, leased, locked_by=9, claim_token=9)
    change(store, future, run_at=FUTURE)
    answers = dict(store.claim([future, ready, failed, held, parked, leased, 10**12], 3, 4))
    claimed = answers.pop(ready)
    assert isinstance(claimed, Claimed)
    assert (claimed.name, claimed.attempts, claimed.token) == ("0", 1, 4)
    assert answers == {
        future: Answer.NOT_DUE,
        failed: Answer.FAILED,
        held: Answer.HELD,
        parked: Answer.PARKED,
        leased: Answer.LEASED,
        10**12: Answer.GONE,
    }
    assert store.claim([ready], 3, 5) == {ready: Answer.LEASED}
    assert row(store, leased).claim_token == 9


def test_a_due_row_can_be_claimed_before_it_is_announced(store: SqlStore) -> None:
    """Runnable is runnable, whatever the stamp says."""
    (due,) = insert(store, new(run_at=PAST))
    assert isinstance(store.claim([due], 1, 2)[due], Claimed)


def test_a_claim_of_nothing_is_empty(store: SqlStore) -> None:
    """No ids, no answers."""
    assert dict(store.claim([], 1, 2)) == {}


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
def test_a_row_that_someone_holds_is_busy(store: SqlStore) -> None:
    """Silence is never "gone": a row that another transaction holds longer than a moment is busy, the others go on."""
    locked, free = insert(store, new("locked"), new("free"))
    with store.engine.connect() as other, other.begin():
        other.execute(select(store.tables.jobs.c.id).where(store.tables.jobs.c.id == locked).with_for_update())
        answers = store.claim([locked, free, 10**12], 1, 2)
        assert answers[locked] is Answer.BUSY
        assert isinstance(answers[free], Claimed)
        assert answers[10**12] is Answer.GONE
        assert take(store) == []
    assert isinstance(store.claim([locked], 1, 2)[locked], Claimed)


@pytest.mark.parametrize("kind", SERVERS, indirect=True)
@pytest.mark.parametrize("deleted", [False, True])
def test_a_row_that_someone_touches_for_a_moment_is_waited_for(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, *, deleted: bool
) -> None:
    """What another transaction leaves alone in time is claimed, what it deleted is gone."""
    (touched,) = insert(store, new())
    jobs = store.tables.jobs
    with store.engine.connect() as other:
        other.execute(jobs.delete() if deleted else jobs.update().values(updated_at=ago(store, 1)))
        monkeypatch.setattr("tomqueue.store.picking.time.sleep", lambda _: other.commit())
        answer = store.claim([touched], 1, 2)[touched]
    assert answer is Answer.GONE if deleted else isinstance(answer, Claimed)


def test_a_take_has_the_clock_of_the_database(store: SqlStore) -> None:
    """Not due is not due: a stamp does not make a future row ready."""
    (future,) = insert(store, new())
    change(store, future, run_at=store.now() + timedelta(hours=1))
    assert take(store) == []
    change(store, future, run_at=ago(store, 0))
    assert [found.id for found in take(store)] == [future]
