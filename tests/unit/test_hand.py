"""What a worker holds of a broker's messages."""

from tests.news import ids, news
from tomqueue.transport.rabbitmq.hand import Hand


def test_most_urgent_first_and_queues_in_turn() -> None:
    """Within a queue and priority in the order of arrival."""
    hand = Hand()
    for tag, one in enumerate([news(1), news(2), news(3, "mailers"), news(4, priority=0), news(5)], 1):
        hand.put(tag, [one])
    assert hand.most_urgent() == 0
    assert ids(hand.take(2)) == [4, 1]
    assert ids(hand.take(10)) == [3, 2, 5]
    assert hand.most_urgent() is None
    assert not hand.has_news


def test_a_message_is_settled_with_the_last_of_its_jobs() -> None:
    """And only once."""
    hand = Hand()
    hand.put(7, [news(1), news(2)])
    first, second = hand.take(2)
    assert hand.settle(first, requeue=False) is None
    assert hand.settle(first, requeue=False) is None
    assert hand.settled() == ([], [])
    assert hand.settle(second, requeue=False) is True
    assert hand.settled() == ([7], [])
    assert hand.settled() == ([], [])


def test_one_requeued_job_requeues_its_message() -> None:
    """The others' rows are gone when it comes again."""
    hand = Hand()
    hand.put(7, [news(1), news(2)])
    first, second = hand.take(2)
    hand.settle(first, requeue=True)
    hand.settle(second, requeue=False)
    assert hand.settled() == ([], [7])


def test_what_was_lost_with_its_channel_says_so() -> None:
    """What was settled before does not come back, and what comes by the next channel is whole."""
    hand = Hand()
    hand.put(1, [news(1)])
    (lost,) = hand.take(1)
    hand.put(2, [news(2)])
    hand.lose()
    assert hand.take(1) == []
    assert hand.settle(lost, requeue=True) is False
    hand.put(1, [news(1)])
    (again,) = hand.take(1)
    assert hand.settle(again, requeue=True) is True


def test_what_waits_of_a_queue_can_be_put_back() -> None:
    """What was received of it already stays in its hands."""
    hand = Hand()
    hand.put(1, [news(1, "mailers")])
    (held,) = hand.take(1)
    hand.put(2, [news(2, "mailers")])
    hand.put(3, [news(3)])
    hand.put_back("mailers")
    assert hand.settled() == ([], [2])
    assert ids(hand.take(10)) == [3]
    assert hand.settle(held, requeue=False) is True


def test_what_is_gathered_is_shown_together() -> None:
    """So what arrives first is not started before what is more urgent, and the last served queue goes last."""
    hand = Hand()
    hand.put(1, [news(1)])
    hand.put(2, [news(2, "mailers")])
    assert ids(hand.take(2)) == [1, 2]
    hand.put(3, [news(3)])
    assert ids(hand.take(1)) == [3]
    hand.gather()
    hand.put(4, [news(4)])
    hand.put(5, [news(5, "mailers")])
    hand.put(6, [news(6, "reports", priority=0)])
    assert (hand.take(9), hand.most_urgent(), hand.has_news) == ([], None, False)
    hand.show()
    assert ids(hand.take(9)) == [6, 5, 4]
