"""Whatever error whichever statement meets: all of a call happened or nothing, and calling again is the cure."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from tests.faults.cold_journeys import COLD_JOURNEYS
from tests.faults.injection import TROUBLES, Injector, Trouble, faulty_engine
from tests.faults.journeys import JOURNEYS, Journey
from tomqueue.errors import OutcomeUnknown, StoreUnavailable
from tomqueue.settings import Settings
from tomqueue.store.migrate import migrate
from tomqueue.store.open import open_store
from tomqueue.store.sql import SqlStore
from tomqueue.store.transactions import TRANSIENT_RETRIES

ALL = {**JOURNEYS, **COLD_JOURNEYS}
MOST_STATEMENTS = 60
EVERY_TROUBLE = ("FinishAndTake", "Renew")
"""Of what is hot and what is cold, the calls that meet every trouble; the others meet one of each kind."""


@pytest.fixture(scope="module")
def store(url: str, injector: Injector) -> Iterator[SqlStore]:
    """Give a store each of whose statements can fail."""
    opened = open_store(Settings(database_url=url, sqlite_synchronous="OFF"), faulty_engine(url, injector))
    migrate(opened.engine, opened.tables)
    yield opened
    opened.close()


def outcome(journey: Journey) -> str:
    """Make the call; any other error than these two would be one that nobody expects of the store."""
    try:
        journey.act()
    except StoreUnavailable:
        return "nothing"
    except OutcomeUnknown:
        return "unknown"
    return "all"


@pytest.mark.parametrize("name", ALL)
def test_all_or_nothing_at_every_statement(kind: str, store: SqlStore, injector: Injector, name: str) -> None:
    """The error says what became of the call; what passes by itself is tried again at once; then all is done."""
    wrong = [
        f"{trouble} at statement {at}: {problem}"
        for trouble in TROUBLES[kind]
        if name in EVERY_TROUBLE or not trouble.rare
        for at, problem in broken(ALL[name], store, injector, trouble)
    ]
    assert wrong == []


def broken(
    make: Callable[[SqlStore], Journey], store: SqlStore, injector: Injector, trouble: Trouble
) -> Iterator[tuple[int, str]]:
    """Break a journey at its first statement, at its second and so on; return what was wrong."""
    for at in count(1):
        assert at < MOST_STATEMENTS
        journey = make(store)
        injector.arm(trouble, at)
        try:
            said = outcome(journey)
            struck = injector.disarm()
            problem = judged(journey, trouble, said)
        except Exception as error:  # noqa: BLE001 - told with the others
            injector.disarm()
            struck, problem = 1, f"{type(error).__name__}: {error}"
        if problem:
            yield at, problem
        if not struck:
            return


def judged(journey: Journey, trouble: Trouble, said: str) -> str:
    """Compare what was said with what is there; then let the caller go on, and look again."""
    seen = journey.looks()
    if trouble.passes and said != "all":
        return f"was not tried again, but said {said!r}"
    if said == "unknown" and not trouble.loses:
        return "the connection is there, and the outcome is said to be unknown"
    expected = {"all": {True}, "nothing": {False}, "unknown": seen}[said]
    if seen and not journey.in_steps and seen != expected:
        return f"said {said!r}, but {seen}"
    if said != "all":
        journey.again()
    seen = journey.looks()
    return f"{seen} in the end" if False in seen else ""


@pytest.mark.parametrize("kind", ["postgres", "mariadb"], indirect=True)
@pytest.mark.parametrize("name", EVERY_TROUBLE)
def test_what_does_not_pass_is_not_tried_for_ever(kind: str, store: SqlStore, injector: Injector, name: str) -> None:
    """A deadlock that comes again and again is an error after a few tries, with pauses between them."""
    journey = ALL[name](store)
    injector.arm(TROUBLES[kind][0], at=3, times=1000)
    assert outcome(journey) == "nothing"
    assert injector.disarm() <= 2 * TRANSIENT_RETRIES
    journey.again()
    assert journey.looks() == {True}
