"""The checker can fail: each kind of trouble, put into a ledger by hand, is found, and only that."""

from pathlib import Path

import pytest

from tests.faults.checker import Counts, Unknown, check, longest_wait, recoveries
from tests.faults.ledger import Event, Ledger, What

NOTHING_WRONG: dict[str, int] = {}


def story(*lines: str) -> list[Event]:
    """Return events from lines like ``started a pid=1 at=2.5``; one a second, by process 1, unless they say more."""
    events = []
    for place, line in enumerate(lines):
        what, key, *rest = line.split()
        more = dict(word.split("=") for word in rest)
        moment = float(more.get("at", place))
        due = float(more.get("due", 0))
        attempt = int(more.get("attempt", 1))
        events.append(
            Event(what=What(what), key=key, pid=int(more.get("pid", 1)), time=moment, attempt=attempt, due=due)
        )
    return sorted(events, key=lambda event: event.time)


GOOD = ("enqueued a", "committed a", "started a", "finished a", "settled a")


def counted(*lines: str, effects: tuple[str, ...] = (), unknown: Unknown = Unknown.EITHER) -> Counts:
    """Return what the checker makes of a story."""
    return check(story(*lines), effects, unknown)


def test_a_good_run_has_nothing_wrong() -> None:
    """A job that ran, one that was rolled back, and one of a dead process that ran again elsewhere."""
    counts = counted(
        *GOOD, "enqueued b", "rolled_back b",
        "enqueued c", "committed c", "started c", "started c pid=2 attempt=2", "finished c pid=2 attempt=2",
        "settled c pid=2",
    )  # fmt: skip
    assert counts.wrong() == NOTHING_WRONG
    assert (counts.jobs, counts.restarted, counts.duplicated, counts.recovered) == (2, 1, 0, 0)


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        (("enqueued a", "committed a"), {"lost": 1}),
        (("enqueued a", "committed a", "started a"), {"lost": 1}),
        (("enqueued a", "rolled_back a", "started a", "finished a"), {"phantom": 1}),
        (("started a", "finished a"), {"phantom": 1}),
        (("enqueued a due=9", "committed a", "started a", "finished a"), {"early": 1}),
        (("enqueued a", "started a"), {"lost": 1}),
        (
            ("enqueued a", "committed a", "started a", "started a pid=2", "finished a", "finished a pid=2"),
            {"overlapping": 1},
        ),
        (
            ("enqueued a", "committed a", "started a", "started a pid=2", "settled a", "finished a pid=2"),
            {"not_owned": 1},
        ),
        ((*GOOD, "settled a"), {"not_owned": 1}),
        (("enqueued a", "committed a", "withdrawn a"), {"not_kept": 1}),
        (("enqueued a", "committed a", "withdrawn a", "started a", "kept a"), {"revived": 1}),
        (("enqueued a", "committed a", "started a", "withdrawn a", "finished a", "kept a"), {"revived": 1}),
        (("enqueued a", "committed a", "started a", "asked_to_end a"), {"not_kept": 1}),
        (
            ("enqueued a", "committed a", "asked_to_end a", "started a", "started a pid=2", "cut a pid=2", "kept a"),
            {"revived": 1},
        ),
    ],
)
def test_what_must_not_be_is_found(lines: tuple[str, ...], wrong: dict[str, int]) -> None:
    """Lost before and after its start, phantom in two ways, early, overlapping, and finished by a non-owner."""
    assert counted(*lines).wrong() == wrong


def test_cancelled_jobs_may_end_as_they_were_answered() -> None:
    """One that waited is kept; so is one that ran, or it finished; one that was claimed ahead may begin once."""
    counts = counted(
        "enqueued a", "committed a", "started a", "withdrawn a", "kept a",  # its worker had died: it waited
        "enqueued b", "committed b", "started b", "asked_to_end b", "cut b", "kept b",
        "enqueued c", "committed c", "asked_to_end c", "started c", "finished c", "settled c",
        "enqueued d-atomic", "committed d-atomic", "started d-atomic", "finished d-atomic", "withdrawn d-atomic",
        "kept d-atomic",
        "enqueued e-atomic", "committed e-atomic", "asked_to_end e-atomic", "started e-atomic", "finished e-atomic",
        "settled e-atomic",
        effects=("e-atomic",),
    )  # fmt: skip
    assert counts.wrong() == NOTHING_WRONG
    assert counted("enqueued d-atomic", "withdrawn d-atomic", "kept d-atomic", effects=("d-atomic",)).wrong() == {
        "effects_off": 1
    }


def test_an_overlap_of_the_first_and_the_third_run_is_found() -> None:
    """Also when the run between them ended long before."""
    lines = (
        "enqueued a", "committed a", "started a", "started a pid=2 attempt=2", "cut a pid=2 attempt=2",
        "started a pid=3 attempt=3", "finished a", "finished a pid=3 attempt=3",
    )  # fmt: skip
    assert counted(*lines).wrong() == {"overlapping": 1}
    assert counted(*lines).wrong(may_overlap=True) == NOTHING_WRONG


def test_an_effect_counts_once() -> None:
    """Missing, doubled, and of a job that was rolled back."""
    ran = ("enqueued a-atomic", "committed a-atomic", "started a-atomic", "finished a-atomic")
    assert counted(*ran, effects=("a-atomic",)).wrong() == NOTHING_WRONG
    assert counted(*ran).wrong() == {"effects_off": 1}
    assert counted(*ran, effects=("a-atomic", "a-atomic")).wrong() == {"effects_off": 1}
    rolled_back = ("enqueued a-atomic", "rolled_back a-atomic")
    assert counted(*rolled_back, effects=("a-atomic",)).wrong() == {"effects_off": 1}


def test_what_nobody_knows_is_judged_by_what_must_be_true_of_it() -> None:
    """A producer that died: before its commit, after it, or no one can say."""
    ran, did_not = ("enqueued a", "started a", "finished a"), ("enqueued a",)
    assert counted(*ran, unknown=Unknown.ABSENT).wrong() == {"phantom": 1}
    assert counted(*did_not, unknown=Unknown.ABSENT).wrong() == NOTHING_WRONG
    assert counted(*did_not, unknown=Unknown.PRESENT).wrong() == {"lost": 1}
    assert counted(*ran, unknown=Unknown.PRESENT).wrong() == NOTHING_WRONG
    assert counted(*ran).recovered == 1


def test_runs_again_are_counted_and_can_be_forbidden() -> None:
    """A second end of a job's code is a duplicate; a second start alone is not."""
    counts = counted(*GOOD[:-1], "started a pid=2", "finished a pid=2")
    assert (counts.restarted, counts.duplicated) == (1, 1)
    assert counts.wrong() == NOTHING_WRONG
    assert counts.wrong(may_restart=False) == {"duplicated": 1, "restarted": 1}


def test_recovery_is_the_longest_wait_behind_a_fault() -> None:
    """What was finished, not yet due or came later does not count; without anyone who waited there is no number."""
    lines = (
        "enqueued done at=1", "started done at=2", "finished done at=3",
        "enqueued cut at=4", "started cut at=5", "enqueued waiting at=6", "enqueued later at=6 due=60",
        "fault kill at=10",
        "started waiting pid=2 at=11", "started cut pid=2 at=12.5", "enqueued new at=13", "started new at=40",
        "started later at=60", "fault again at=90",
    )  # fmt: skip
    assert recoveries(story(*lines)) == [2.5]


def test_the_longest_wait_is_of_any_job_from_the_fault_on() -> None:
    """Counted from the fault, from when the job was enqueued or from when it was due, whichever was last."""
    before = ("enqueued a at=1", "started a at=9", "enqueued b at=2", "fault away at=10", "started b at=12")
    assert longest_wait(story(*before)) == [2.0]
    assert longest_wait(story(*before, "enqueued c at=11", "started c at=14.5", "started c at=30")) == [3.5]
    assert longest_wait(story(*before, "enqueued d at=11 due=20", "started d at=21")) == [2.0]
    assert longest_wait(story("enqueued a at=1", "fault away at=2")) == []


def test_the_ledger_gives_back_what_was_written(tmp_path: Path) -> None:
    """In the order of time, and it counts."""
    ledger = Ledger(tmp_path / "ledger")
    ledger.write(What.STARTED, "a", attempt=2, time=5.0)
    ledger.write(What.ENQUEUED, "a", due=4.5, time=4.0)
    assert [(event.what, event.key, event.time, event.attempt, event.due) for event in ledger.read()] == [
        (What.ENQUEUED, "a", 4.0, 0, 4.5),
        (What.STARTED, "a", 5.0, 2, 0.0),
    ]
    assert (ledger.count(What.STARTED), ledger.count(What.FINISHED)) == (1, 0)
    assert ledger.has(What.STARTED, "a")
    assert not ledger.has(What.FINISHED, "a")
    ledger.close()
