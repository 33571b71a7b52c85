"""The hostile broker does what it says, and the same again with the same seed."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest

from tests.faults.malice import CORRUPTIONS, Malice, Odds, Parcel, pieces
from tomqueue.transport.base import Notification
from tomqueue.transport.rabbitmq.message import BadMessage, decode, encode_body, encode_properties

STAMP = datetime(2026, 1, 1, tzinfo=UTC)
NEVER = Odds(drop=0, double=0, delay=0, shatter=0, corrupt=0, forge=0)


def parcel() -> Parcel:
    """Return a message as a publisher makes it, about three jobs."""
    news = [Notification(job, "default", 1, STAMP, f"v1:{job}") for job in (7, 8, 9)]
    return Parcel("q", encode_body(news, STAMP), dict(encode_properties(1, STAMP, "x").headers))


def treated(seed: int) -> list[Parcel]:
    """Return what arrives of a hundred messages."""
    malice = Malice(["q", "r"], seed)
    return [one for _ in range(100) for one in malice.treat(parcel())]


def test_a_seed_is_a_mischief() -> None:
    """A failure can be repeated by its seed, and another seed does something else."""
    assert treated(1) == treated(1)
    assert treated(1) != treated(2)


def test_without_odds_every_message_arrives_as_it_is() -> None:
    """What is told of is what happened: the counts begin with nothing."""
    malice = Malice(["q"], 1, NEVER)
    assert malice.treat(parcel()) == [parcel()]
    assert not any(malice.counts.values())


def test_pieces_tell_of_the_same_jobs() -> None:
    """A message that is broken up is still news of all that it was about."""
    said = [news.job_id for one in pieces(parcel()) for news in decode("default", 1, one.headers, one.body)]
    assert said == [7, 8, 9]


@pytest.mark.parametrize("name", [name for name, _ in CORRUPTIONS])
def test_whatever_arrives_is_news_or_refused(name: str) -> None:
    """No corruption raises anything but the one error that a worker expects, and each changes the message."""
    malice = Malice(["q", "r"], 1)
    corrupt = dict(CORRUPTIONS)[name]
    tries = [corrupt(malice, parcel()) for _ in range(20)]
    assert any(one != parcel() for one in tries)
    for one in tries:
        with suppress(BadMessage):
            decode("default", 1, one.headers, one.body)
