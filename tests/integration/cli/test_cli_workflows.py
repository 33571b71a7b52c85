"""The commands about workflows, as a person sees them."""

from tests.integration.cli.conftest import CommandLine
from tomqueue import TomQueue, chain, group
from tomqueue.definition import Chain, Prepared


def call(tq: TomQueue, name: str, *arguments: object) -> Prepared:
    """Return a call of a job of the application."""
    prepared: Prepared = tq.registry.find(name).prepare(*arguments)  # type: ignore[attr-defined]
    return prepared


def failing(tq: TomQueue) -> Chain:
    """Return a chain whose first link fails."""
    return chain(call(tq, "send", 7), call(tq, "resize", "a.png"))


def test_a_workflow_is_listed_and_shown(cli: CommandLine, tq: TomQueue) -> None:
    """With its counts, and with the jobs that are still there."""
    assert cli("workflows", "list") == "no such workflows\n"
    tq.enqueue(failing(tq))
    done = tq.enqueue(group(call(tq, "resize", "b.png"), call(tq, "resize", "c.png")))
    tq.work_off()
    lines = cli("workflows", "list").splitlines()
    assert lines[0].split() == ["ID", "STATE", "JOBS", "DONE", "PENDING", "FAILED", "CREATED"]
    assert lines[1].split()[:6] == ["1", "failed", "2", "0", "1", "1"]
    assert lines[2].split()[:6] == ["2", "succeeded", "2", "2", "0", "0"]
    assert len(cli("workflows", "list", "--unfinished").splitlines()) == 2
    assert "only the first 1" in (cli("workflows", "list", "--limit", "1"), cli.stderr)[1]
    shown = cli("workflows", "show", "1")
    assert "state       failed" in shown
    assert [line.split()[1] for line in shown.splitlines() if " send" in line or " resize" in line] == [
        "failed",
        "held",
    ]
    listed = cli.json("workflows", "list")
    assert [(one["id"], one["state"], one["done"]) for one in listed] == [(1, "failed", 0), (done.id, "succeeded", 2)]
    found = cli.json("workflows", "show", "1")
    assert [(job["name"], job["state"], job["workflow"]) for job in found["jobs"]] == [
        ("send", "failed", 1),
        ("resize", "held", 1),
    ]


def test_a_workflow_is_cancelled(cli: CommandLine, tq: TomQueue) -> None:
    """All that waits has failed then; what is not there is named."""
    tq.enqueue(group(call(tq, "resize", "b.png"), call(tq, "resize", "c.png"), on_success=call(tq, "resize", "d.png")))
    assert cli("workflows", "cancel", "1") == "cancelled 3 jobs of workflow 1\n"
    assert cli.json("workflows", "show", "1")["state"] == "cancelled"
    assert {job["last_error"] for job in cli.json("workflows", "show", "1")["jobs"]} == {"workflow 1 was cancelled"}
    assert cli.json("workflows", "cancel", "1") == {"cancelled": {"1": 0}}
    cli("workflows", "show", "9", code=3)
    assert "no workflow has id 9" in cli.stderr
    cli("workflows", "cancel", "9", code=3)


def test_a_job_says_which_workflow_it_is_in_and_what_it_waits_for(cli: CommandLine, tq: TomQueue) -> None:
    """By ``show``, and by ``explain`` with what to do."""
    first, second = tq.enqueue(failing(tq)).jobs
    assert "after job 1 send (ready)" in cli("explain", str(second.id))
    tq.work_off()
    assert "workflow" in cli("jobs", "show", str(second.id))
    explained = cli("explain", str(second.id))
    assert f"it waits for its turn in workflow 1, after job {first.id} send (failed)" in " ".join(explained.split())
    assert f"tomqueue jobs retry {first.id}" in explained
    assert cli.json("explain", str(second.id))["findings"][0]["code"] == "waits_for_jobs"


def test_doctor_names_what_does_not_go_on(cli: CommandLine, tq: TomQueue) -> None:
    """A workflow that waits for a person."""
    workflow = tq.enqueue(failing(tq))
    assert "every workflow goes on" in cli("doctor", code=1)
    tq.work_off()
    told = " ".join(cli("doctor").split())
    assert f"workflow {workflow.id} does not go on by itself: 1 failed, 1 waiting" in told
    for _ in range(6):
        tq.enqueue(failing(tq))
    tq.work_off()
    assert "2 more workflows do not go on by themselves" in " ".join(cli("doctor").split())
