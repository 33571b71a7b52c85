"""Priorities: names, ranks, and Delayed::Job's numbers."""

import logging

import pytest

from tomqueue.errors import EnqueueError
from tomqueue.priority import Priority, priority_of

LOGGER = logging.getLogger("tomqueue.test")


def test_ranks() -> None:
    """0 is the most urgent; a rank that plain SQL wrote counts as the nearest."""
    assert [priority.rank for priority in Priority] == [0, 1, 2, 3]
    assert [Priority.of_rank(rank) for rank in (-7, 0, 1, 2, 3, 99)] == [
        "high",
        "high",
        "normal",
        "low",
        "bulk",
        "bulk",
    ]


def test_names_are_priorities() -> None:
    """A str or a Priority stands for itself."""
    assert priority_of("low", {}, LOGGER) is Priority.LOW
    assert priority_of(Priority.HIGH, {0: Priority.BULK}, LOGGER) is Priority.HIGH
    with pytest.raises(EnqueueError, match="priority='urgent' is unknown: use one of high, normal, low, bulk"):
        priority_of("urgent", {}, LOGGER)


def test_numbers_go_through_the_map(caplog: pytest.LogCaptureFixture) -> None:
    """Always; an unmapped one is normal, with a warning."""
    assert priority_of(0, {0: Priority.BULK}, LOGGER) is Priority.BULK
    assert caplog.records == []
    assert priority_of(3, {0: Priority.BULK}, LOGGER) is Priority.NORMAL
    assert [record.levelname for record in caplog.records] == ["WARNING"]
