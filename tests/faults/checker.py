"""What the ledger proves: how many jobs were lost, ran twice, overlapped, came too early or never should have run."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from itertools import pairwise

from tests.faults.ledger import Event, What, is_atomic

__all__ = ["Counts", "Unknown", "check", "forget", "longest_wait", "recoveries"]

CLOCKS_DIFFER = 0.01
"""Seconds by which the database's clock may have been slewed against the boot clock during a run."""


class Unknown(Enum):
    """What must be true of keys whose producer died before it could say whether they are committed."""

    ABSENT = "they were not committed, and never run"
    PRESENT = "they were committed, and run"
    EITHER = "they may have been committed; a job that was, runs"


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What a run shows; ``wrong`` says what must be zero: always, or where a scenario says so."""

    jobs: int
    """Keys that were committed, as far as their producers know."""
    recovered: int
    """Keys of which nobody knew whether they were committed, and that ran to their end."""
    lost: int
    """Keys that were committed and did not run to their end."""
    phantom: int
    """Keys that started although they were rolled back or never enqueued."""
    restarted: int
    """Starts beyond the first of a key."""
    duplicated: int
    """Ends of a job's code beyond the first of a key."""
    overlapping: int
    """Keys of which two runs were under way at one moment."""
    early: int
    """Keys that started before their time."""
    not_owned: int
    """Finishes that were accepted of a worker although another one had started the job since."""
    effects_off: int
    """Atomic jobs whose effect is not in the database exactly once."""
    charged: int = 0
    """Keys that were charged more than one attempt."""
    revived: int = 0
    """Keys that a person had cancelled and that began, or came to an end, after the answer allowed it."""
    not_kept: int = 0
    """Keys that a person had cancelled and that are not there as that, although they did not finish."""

    def wrong(self, *, may_overlap: bool = False, may_restart: bool = True, may_charge: bool = True) -> dict[str, int]:
        """Return what must not be, by name."""
        never = {"lost", "phantom", "early", "not_owned", "effects_off", "revived", "not_kept"}
        never |= set() if may_overlap else {"overlapping"}
        never |= set() if may_restart else {"restarted", "duplicated"}
        never |= set() if may_charge else {"charged"}
        return {name: count for name in sorted(never) if (count := getattr(self, name))}

    def __str__(self) -> str:
        return ", ".join(f"{getattr(self, field.name)} {field.name}" for field in fields(self))


def check(events: Sequence[Event], effects: Iterable[str], unknown: Unknown = Unknown.EITHER) -> Counts:
    """Count; ``events`` in the order of their time, ``effects`` the keys that atomic jobs left in the database."""
    keys = Keys(events)
    done = Counter(event.key for event in events if event.what is What.FINISHED)
    starts = Counter(event.key for event in events if event.what is What.STARTED)
    cancels = Cancels(events)
    may_run = keys.committed | (keys.unknown if unknown is not Unknown.ABSENT else set())
    must_run = (may_run if unknown is Unknown.PRESENT else keys.committed) - cancels.all
    by_key = grouped(events)
    return Counts(
        jobs=len(keys.committed),
        recovered=len(keys.unknown & set(done)),
        lost=len(must_run - set(done)) + len((keys.unknown & set(starts)) - set(done) - must_run - cancels.all),
        phantom=len(set(starts) - may_run),
        restarted=sum(starts.values()) - len(starts),
        duplicated=sum(done.values()) - len(done),
        overlapping=sum(overlaps(of_key) for of_key in by_key.values()),
        early=sum(is_early(of_key) for of_key in by_key.values()),
        not_owned=sum(not_owned(of_key) for of_key in by_key.values()),
        effects_off=effects_off(Counter(effects), must_run, may_run - cancels.kept, set(done)),
        charged=len({event.key for event in events if event.what is What.STARTED and event.attempt > 1}),
        revived=sum(is_revived(of_key) for of_key in by_key.values()),
        not_kept=len((cancels.withdrawn | (cancels.asked - set(done))) - cancels.kept),
    )


def forget(events: Sequence[Event], since: float, until: float) -> list[Event]:
    """Leave out what a server cannot know to which everybody fell back at ``until``, with the data of ``since``.

    Keys that were enqueued meanwhile, and that anything was finished meanwhile.
    """
    meanwhile = {event.key for event in events if event.what is What.ENQUEUED and since <= event.time <= until}
    return [
        event
        for event in events
        if event.key not in meanwhile and not (event.what is What.SETTLED and since <= event.time <= until)
    ]


class Keys:
    """Which keys were committed, rolled back, and which of them nobody knows."""

    def __init__(self, events: Sequence[Event]) -> None:
        enqueued, self.committed, rolled_back = (
            {event.key for event in events if event.what is what}
            for what in (What.ENQUEUED, What.COMMITTED, What.ROLLED_BACK)
        )
        self.unknown = enqueued - self.committed - rolled_back


class Cancels:
    """Which keys a person cancelled, by the answer, and which of them are kept as that."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.withdrawn, self.asked, self.kept = (
            {event.key for event in events if event.what is what}
            for what in (What.WITHDRAWN, What.ASKED_TO_END, What.KEPT)
        )
        self.all = self.withdrawn | self.asked


def is_revived(events: Sequence[Event]) -> bool:
    """Say whether a key went on after it was withdrawn, or began more than once after it was asked to end.

    Once it may: what a worker has claimed ahead counts as running.
    """
    withdrawn = next((event.time for event in events if event.what is What.WITHDRAWN), None)
    asked = next((event.time for event in events if event.what is What.ASKED_TO_END), None)
    steps = {What.STARTED, What.FINISHED, What.SETTLED}
    if withdrawn is not None and any(event.what in steps and event.time > withdrawn for event in events):
        return True
    return asked is not None and sum(event.what is What.STARTED and event.time > asked for event in events) > 1


def grouped(events: Sequence[Event]) -> dict[str, list[Event]]:
    """Return the events of each key."""
    by_key: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        by_key[event.key].append(event)
    return by_key


def overlaps(events: Sequence[Event]) -> bool:
    """Say whether a run began before one that began earlier, and did end, had ended. One that died has no end."""
    runs = []
    for start in (event for event in events if event.what is What.STARTED):
        ends = (
            event.time
            for event in events
            if event.what in {What.FINISHED, What.CUT} and event.time >= start.time
            and (event.pid, event.attempt) == (start.pid, start.attempt)
        )  # fmt: skip
        runs.append((start.time, next(ends, start.time)))
    longest = 0.0
    for (_, end), (begin, _) in pairwise(sorted(runs)):
        longest = max(longest, end)
        if begin < longest:
            return True
    return False


def is_early(events: Sequence[Event]) -> bool:
    """Say whether a run began before the time for which the key was enqueued."""
    due = next((event.due for event in events if event.what is What.ENQUEUED), 0.0)
    return any(event.what is What.STARTED and event.time < due - CLOCKS_DIFFER for event in events)


def not_owned(events: Sequence[Event]) -> int:
    """Return how many finishes were accepted of a process that was not the last to start the job, or of a second."""
    owner, wrong, is_settled = 0, 0, False
    for event in events:
        if event.what is What.STARTED:
            owner = event.pid
        elif event.what is What.SETTLED:
            wrong += event.pid != owner or is_settled
            is_settled = True
    return wrong


def effects_off(effects: Counter[str], must_run: set[str], may_run: set[str], done: set[str]) -> int:
    """Return how many atomic keys have another number of effects than they should."""
    wanted = {key for key in must_run | (may_run & done) if is_atomic(key)}
    return sum(effects[key] != (key in wanted) for key in wanted | set(effects))


def recoveries(events: Sequence[Event]) -> list[float]:
    """Return for each fault the seconds until the last job that it kept waiting had started again.

    Those are the jobs that were enqueued and due before it, not finished then, and that started afterwards; so it is
    an upper bound: what any of them waited for a free slot is in it. A fault that kept no job waiting has no number.
    """
    by_key = grouped(events)
    found = []
    for fault in (event.time for event in events if event.what is What.FAULT):
        waits = [wait for of_key in by_key.values() if (wait := waited(of_key, fault)) is not None]
        if waits:
            found.append(max(waits))
    return found


def longest_wait(events: Sequence[Event]) -> list[float]:
    """Return the longest that a job waited for its start from the first fault on; nothing when none started then."""
    fault = min((event.time for event in events if event.what is What.FAULT), default=0.0)
    waits = []
    for of_key in grouped(events).values():
        ready = next((max(event.time, event.due) for event in of_key if event.what is What.ENQUEUED), None)
        start = next((event.time for event in of_key if event.what is What.STARTED), None)
        if ready is not None and start is not None and start > fault:
            waits.append(start - max(ready, fault))
    return [max(waits)] if waits else []


def waited(events: Sequence[Event], fault: float) -> float | None:
    """Return how long after the fault a key started that it kept waiting; None for one that it did not."""
    was_there = any(event.what is What.ENQUEUED and max(event.time, event.due) <= fault for event in events)
    was_done = any(event.what is What.FINISHED and event.time <= fault for event in events)
    if not was_there or was_done:
        return None
    return next((event.time - fault for event in events if event.what is What.STARTED and event.time > fault), None)
