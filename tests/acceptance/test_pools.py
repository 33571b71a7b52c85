"""What a supervisor starts, as its options say: pools, names, priorities, and when it ends."""

import json
import signal

from tests.acceptance.conftest import MakeSite
from tests.acceptance.site import Site, wait_until
from tomqueue import State


def test_pools_have_processes_and_names_of_their_own(site: Site) -> None:
    """Each serves its queues; a process that is replaced keeps its name."""
    site.enqueue("note", "mail", queue="mailers")
    site.enqueue("note", "other", queue="other")
    with site.started("run", "--pool=mailers,tasks:2", "--pool=reports", "--name", "web") as running:

        def workers() -> list[tuple[str, str]]:
            return sorted(
                (one["name"], ",".join(one["queues"])) for one in json.loads(site.run("workers", "--json").stdout)
            )

        site.wait_for_lines(1, "mail")
        named = [("web.1", "mailers,tasks"), ("web.2", "mailers,tasks"), ("web.3", "reports")]
        wait_until(lambda: workers() == named, "three named workers")
        children = set(running.children())
        running.send(signal.SIGHUP)
        wait_until(lambda: not children & set(running.children()) and workers() == named, "the same names again")
        running.send(signal.SIGTERM)
        assert running.wait() == 0
    assert site.tq.jobs.count(queue="other") == 1


def test_only_some_priorities_are_served(site: Site) -> None:
    """``--min-priority`` and ``--max-priority`` leave the others to others."""
    for priority in ("high", "normal", "low", "bulk"):
        site.enqueue("note", priority, priority=priority)
    site.run("workoff", "-p", "1", "--min-priority", "low", "--max-priority", "normal")
    assert [line.split()[0] for line in site.lines()] == ["normal", "low"]
    site.run("workoff", "-p", "1", "--min-priority", "normal")
    with site.started("run", "-p", "1", "--min-priority", "normal") as running:
        wait_until(lambda: len(json.loads(site.run("workers", "--json").stdout)) == 1, "a worker's lease")
        told = "no live worker of queue default takes priority bulk (1 worker: high to normal only)"
        assert told in site.run("explain", "4").stdout
        running.send(signal.SIGTERM)
        assert running.wait() == 0
    site.run("workoff", "-p", "1", "--max-priority", "bulk")
    assert [line.split()[0] for line in site.lines()] == ["normal", "low", "high", "bulk"]


def test_exit_on_complete(site: Site) -> None:
    """``run`` and ``work`` end when nothing is ready, as ``workoff`` does."""
    for command in ("run", "work"):
        site.enqueue("note", command)
        site.run(command, "-p", "1", "--exit-on-complete")
    assert [line.split()[0] for line in site.lines()] == ["run", "work"]


def test_term_may_interrupt_at_once(make_site: MakeSite) -> None:
    """With ``on_term=interrupt`` a running job is raised JobInterrupted at once, may clean up, and is not charged."""
    site = make_site(grace=60, on_term="interrupt")
    job = site.enqueue("slow", "long", 60)
    with site.started("work", "-p", "1") as running:
        site.wait_for_lines(1, "begin")
        running.send(signal.SIGTERM)
        assert running.wait() == 0
    assert site.lines("interrupted long")
    after = site.tq.jobs.get(job)
    assert (after.state, after.attempts, after.crashes) == (State.READY, 0, 0)
