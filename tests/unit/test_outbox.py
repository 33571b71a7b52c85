"""What waits to be published."""

from datetime import timedelta

from tests.news import STAMP, news
from tomqueue.transport.rabbitmq.outbox import Outbox, parcels_of


def sizes(outbox: Outbox) -> list[int]:
    """Take everything; return how many jobs each message is about."""
    taken = []
    while (parcel := outbox.take()) is not None:
        taken.append(len(parcel.ids))
    return taken


def test_a_call_becomes_as_few_messages_as_can_be() -> None:
    """Of one queue, priority and stamp, at most 64 jobs, most urgent first."""
    later = STAMP + timedelta(seconds=1)
    given = [news(1, priority=3), *(news(number) for number in range(2, 132)), news(200, stamp=later), news(3, "a", 0)]
    found = [(parcel.priority, parcel.queue, parcel.stamp, len(parcel.ids)) for parcel in parcels_of(given)]
    assert found == [
        (0, "a", STAMP, 1),
        (1, "default", STAMP, 64),
        (1, "default", STAMP, 64),
        (1, "default", STAMP, 2),
        (1, "default", later, 1),
        (3, "default", STAMP, 1),
    ]


def test_the_oldest_is_dropped_when_it_is_full() -> None:
    """Whole messages, counted by their jobs."""
    outbox = Outbox(100)
    assert outbox.put(parcels_of([news(number) for number in range(1, 65)])) == 0
    assert outbox.put(parcels_of([news(number) for number in range(1, 51)])) == 64
    assert len(outbox) == 50
    assert sizes(outbox) == [50]
    assert len(outbox) == 0


def test_what_comes_together_is_kept_whole() -> None:
    """A call about more jobs than may wait drops what is older, and nothing of its own: nobody had time to take it."""
    outbox = Outbox(100)
    outbox.put(parcels_of([news(1)]))
    assert outbox.put(parcels_of([news(number) for number in range(1, 201)])) == 1
    assert len(outbox) == 200
    assert outbox.put(parcels_of([news(1)])) == 128
    assert sizes(outbox) == [64, 9]


def test_a_stream_becomes_few_messages() -> None:
    """What waits one behind the other for the same queue and priority is told in one go, each with its own stamp."""
    outbox = Outbox(1000)
    for number in range(1, 131):
        outbox.put(parcels_of([news(number, stamp=STAMP + timedelta(seconds=number % 7))]))
    parcel = outbox.take()
    assert parcel is not None
    assert parcel.ids == list(range(1, 65))
    assert parcel.stamp == STAMP
    assert parcel.by_stamp()[STAMP + timedelta(seconds=1)] == list(range(1, 65, 7))
    assert len(outbox) == 66
    assert sizes(outbox) == [64, 2]


def test_other_queues_priorities_and_second_tries_go_by_themselves() -> None:
    """Their order stays."""
    outbox = Outbox(100)
    outbox.put(parcels_of([news(1)]))
    outbox.put(parcels_of([news(2, "other")]))
    outbox.put(parcels_of([news(3, "other", 0)]))
    tried = parcels_of([news(4, "other", 0)])
    tried[0].is_retried = True
    outbox.put([*tried, *parcels_of([news(5, "other", 0)])])
    assert sizes(outbox) == [1, 1, 1, 1, 1]


def test_what_was_not_published_is_first_again() -> None:
    """In its order."""
    outbox = Outbox(100)
    outbox.put(parcels_of([news(1), news(2)]) + parcels_of([news(3, "b")]))
    outbox.put(parcels_of([news(number) for number in range(1, 4)]))
    first, second = outbox.take(), outbox.take()
    assert first is not None
    assert second is not None
    outbox.put_back([first, second])
    assert sizes(outbox) == [2, 1, 3]
