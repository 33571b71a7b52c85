"""Unique jobs on the command line: what is shown, found and refused."""

from typing import Any

from tests.harness import work
from tomqueue import TomQueue


def keyed(tq: TomQueue, name: str, **terms: Any) -> Any:
    """Return a declared job that is enqueued with the key ``k``."""
    job: Any = tq.registry.find(name)
    return job.using(unique="k", **terms)


def test_a_job_is_shown_and_found_by_its_key(cli: Any, tq: TomQueue) -> None:
    """Also where it does not hold it any more."""
    job = keyed(tq, "resize", unique_until="finish", unique_for=3600).enqueue("a.png").id
    keyed(tq, "resize").using(unique="other").enqueue("a.png")
    shown = cli("jobs", "show", str(job))
    for label, value in (("unique key", "k"), ("unique until", "finish"), ("unique held", "True")):
        assert any(line.startswith(label) and line.endswith(f" {value}") for line in shown.splitlines()), shown
    assert "unique expires at" in shown
    tq.jobs.cancel(job)
    (found,) = cli.json("jobs", "list", "--unique-key", "k")
    assert (found["id"], found["unique_key"], found["unique_held"]) == (job, "k", False)
    assert [found.id for found in tq.jobs.list(unique_key="k")] == [job]
    assert "1 job" in cli("jobs", "delete", "--all", "--failed", "--unique-key", "k", "--yes")
    assert tq.jobs.list(unique_key="k") == []


def test_a_retry_names_the_newer_job(cli: Any, tq: TomQueue) -> None:
    """It is refused while that one holds the key; ``explain`` says so before."""
    first = keyed(tq, "send").enqueue(1).id
    work(tq)
    second = keyed(tq, "send", delay=3600).enqueue(2).id
    (failed, taken) = cli.json("explain", str(first))["findings"]
    assert (failed["code"], taken["code"]) == ("failed", "unique_key_taken")
    assert taken["text"] == f"job {second} holds its unique key by now"
    cli("jobs", "retry", str(first), code=1)
    assert f"job {first} is failed and cannot be retried: job {second} holds its unique key" in cli.stderr
    cli("jobs", "cancel", str(second))
    assert "unique_key_taken" not in [found["code"] for found in cli.json("explain", str(first))["findings"]]
    cli("jobs", "retry", str(first))
    assert tq.jobs.get(first).unique_held


def test_a_job_that_goes_on_without_its_key_is_explained(cli: Any, tq: TomQueue) -> None:
    """It runs beside the one that holds it."""
    first = keyed(tq, "send", max_attempts=2).enqueue(1).id
    tq.on("job.started", lambda **_details: keyed(tq, "send", delay=3600).enqueue(2))
    work(tq)
    (lost,) = [one for one in cli.json("explain", str(first))["findings"] if one["code"] == "unique_key_lost"]
    assert "holds its unique key by now; it goes on without it, and runs too" in lost["text"]
