"""Events tell, and change nothing."""

import pytest

from tomqueue.errors import JobTimeout, SettingsError
from tomqueue.events import Events


def test_every_subscriber_hears() -> None:
    """In the order of subscribing, with the details; others do not."""
    heard: list[object] = []
    events = Events(heard.append)
    events.on("job.started", lambda job: heard.append(("first", job)))
    events.on("job.started", lambda job: heard.append(("second", job)))
    events.on("job.failed", lambda **_details: heard.append("not me"))
    events.emit("job.started", job=7)
    events.emit("job.finished", job=7)
    assert heard == [("first", 7), ("second", 7)]


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(1), TypeError("wrong signature")])
def test_a_subscriber_that_raises_is_reported(error: BaseException) -> None:
    """Those after it hear all the same."""
    reported: list[BaseException] = []
    heard: list[int] = []
    events = Events(reported.append)

    def fail(job: int) -> None:
        raise error

    events.on("job.started", fail)
    events.on("job.started", lambda job: heard.append(job + 1))
    events.emit("job.started", job=7)
    assert (reported, heard) == ([error], [8])


def test_an_interruption_passes_through() -> None:
    """The time-out of a job is not an observer's to swallow."""
    events = Events(lambda _: None)

    def hang(job: int) -> None:
        raise JobTimeout

    events.on("job.started", hang)
    with pytest.raises(JobTimeout):
        events.emit("job.started", job=7)


def test_an_unknown_event_is_refused() -> None:
    """The message lists the events."""
    with pytest.raises(SettingsError, match=r"no event is called 'job.done'; there are job.enqueued, "):
        Events(lambda _: None).on("job.done", print)
