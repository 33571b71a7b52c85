"""Which processes ``run``, ``work`` and ``workoff`` start, from their options."""

from typing import Any

import click
import pytest
from click.testing import CliRunner

from tomqueue.cli.pools import pool, worker_options, workers
from tomqueue.daemon.crew import Place


def places(*words: str) -> list[Place]:
    """Return the places that a command line asks for; raises UsageError."""
    found: list[Place] = []

    @click.command()
    @worker_options
    def run(**options: Any) -> None:
        found.extend(workers(**options))

    outcome = CliRunner().invoke(run, list(words), standalone_mode=False)
    if outcome.exception is not None:
        raise outcome.exception
    return found


def test_pools_are_added_up() -> None:
    """Each names its queues and how many processes; a star is all queues, no number is one process."""
    found = places("--pool=mailers, tasks:2", "--pool=*:2", "--pool", "reports", "--threads", "3")
    queues = [("mailers", "tasks"), ("mailers", "tasks"), (), (), ("reports",)]
    assert [place.options.queues for place in found] == queues
    assert {place.options.threads for place in found} == {3}


def test_without_pools() -> None:
    """Processes and queues are what they were."""
    assert [place.options.queues for place in places("-p", "2", "--queues", "a,b")] == [("a", "b")] * 2
    assert [place.name for place in places("-p", "2")] == [None, None]


def test_names_are_numbered() -> None:
    """From 1, over all pools: a process that is replaced has the name of its place."""
    found = places("--pool=a:2", "--pool=b", "--name", "web-1")
    assert [place.name for place in found] == ["web-1.1", "web-1.2", "web-1.3"]


@pytest.mark.parametrize(
    ("words", "ranks"),
    [
        ((), range(4)),
        (("--min-priority", "normal"), range(2)),
        (("--max-priority", "low"), range(2, 4)),
        (("--min-priority", "low", "--max-priority", "normal"), range(1, 3)),
        (("--min-priority", "high", "--max-priority", "high"), range(1)),
    ],
)
def test_priorities(words: tuple[str, ...], ranks: range) -> None:
    """At least means as urgent or more, at most as urgent or less."""
    (place,) = places("-p", "1", *words)
    assert place.options.ranks == ranks


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--pool", "a", "-p", "2"), "leave out --queues and --processes"),
        (("--pool", "a", "--queues", "b"), "leave out --queues and --processes"),
        (("--pool", "a:0"), "'a:0': after the colon stands a number of processes, 1 to 512"),
        (("--pool", "a:many"), "after the colon stands a number"),
        (("--pool", "a:"), "after the colon stands a number"),
        (("--pool", ":2"), "':2' names no queue"),
        (("--pool", "a b:2"), "a queue='a b' must match"),
        (("--min-priority", "high", "--max-priority", "low"), "--min-priority high is more urgent than --max-priority"),
        (("--min-priority", "urgent"), "'urgent' is not one of 'high', 'normal', 'low', 'bulk'"),
        (("--name", "a/b"), "the name='a/b' must match"),
    ],
)
def test_what_contradicts_itself_is_refused(words: tuple[str, ...], message: str) -> None:
    """With what is wrong and how it is written."""
    with pytest.raises(click.UsageError) as refused:
        places(*words)
    assert message in refused.value.format_message()


def test_a_pool_of_its_own() -> None:
    """A name is one process."""
    assert pool("mailers") == (("mailers",), 1)
